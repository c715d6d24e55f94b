package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The memory of the host.
var (
	HostMemoryTotal     = series.NewGauge("spillway_host_memory_total_bytes", "Memory of the host.")
	HostMemoryAvailable = series.NewGauge("spillway_host_memory_available_bytes", "Memory available to new processes without swapping, as estimated by the kernel.")
	HostMemoryHugetlb   = series.NewGauge("spillway_host_memory_hugetlb_bytes", "Memory of the host reserved for huge pages, in use or not; counted in neither the limit nor the used memory.")
	HostMemoryARC       = series.NewGauge("spillway_host_memory_zfs_arc_reclaimable_bytes", "Part of the ZFS cache (ARC) above its minimum size, which shrinks when memory is needed; not counted as used memory.")
	HostSwapTotal       = series.NewGauge("spillway_host_swap_total_bytes", "Swap space of the host.")
	HostSwapFree        = series.NewGauge("spillway_host_swap_free_bytes", "Free swap space of the host.")
	HostWaiting         = series.NewCounter("spillway_host_pressure_waiting_seconds_total", "Time during which at least one task of the host waited for the resource.", "resource")
	HostOOMKills        = series.NewCounter("spillway_host_oom_kills_total", "Processes of the host killed by the kernel for lack of memory.")
	HostStalled         = series.NewCounter("spillway_host_pressure_stalled_seconds_total", "Time during which all tasks of the host that had work waited for the resource.", "resource")
)

var hostDescs = []*series.Desc{
	HostMemoryTotal, HostMemoryAvailable, HostMemoryHugetlb, HostMemoryARC, HostSwapTotal,
	HostSwapFree, HostWaiting, HostStalled, HostOOMKills,
}
