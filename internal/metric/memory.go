package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The memory of a target.
var (
	MemoryResident         = series.NewGauge("spillway_memory_resident_bytes", "Resident memory (RSS) of the target's processes.", "target").Windowed()
	MemoryAnon             = series.NewGauge("spillway_memory_anon_bytes", "Anonymous part of the resident memory: heap, stacks and private data.", "target")
	MemoryFile             = series.NewGauge("spillway_memory_file_bytes", "File-backed part of the resident memory: programs, libraries and mapped files.", "target")
	MemoryShmem            = series.NewGauge("spillway_memory_shmem_bytes", "Shared-memory part of the resident memory, including tmpfs.", "target")
	MemorySwap             = series.NewGauge("spillway_memory_swap_bytes", "Swapped-out memory of the target's processes.", "target")
	MemoryPeak             = series.NewGauge("spillway_memory_peak_bytes", "Sum of the peak resident memory of each process of the target (VmHWM).", "target")
	MemoryVirtual          = series.NewGauge("spillway_memory_virtual_bytes", "Size of the address spaces of the target's processes, most of which need not be in memory.", "target")
	MemoryPSS              = series.NewGauge("spillway_memory_proportional_bytes", "Resident memory with shared pages divided among the processes that share them (PSS); needs memory.proportional.", "target")
	MemoryUSS              = series.NewGauge("spillway_memory_unique_bytes", "Resident memory that would be freed if the target exited (USS); needs memory.proportional.", "target")
	MemoryWindowMax        = series.NewGauge("spillway_memory_window_max_bytes", "Largest resident memory over the window: the peak between two scrapes.", "target")
	MemoryWindowMin        = series.NewGauge("spillway_memory_window_min_bytes", "Smallest resident memory over the window.", "target")
	MemoryUsed             = series.NewGauge("spillway_memory_used_bytes", "Memory that counts toward the limit; the basis label of spillway_memory_limit_info says how it is counted.", "target").Windowed()
	MemoryLimit            = series.NewGauge("spillway_memory_limit_bytes", "Lowest limit on the target's memory.", "target")
	MemoryUsedRatio        = series.NewGauge("spillway_memory_used_ratio", "Used memory as a share of the limit.", "target").Windowed()
	MemoryLimitInfo        = series.NewGauge("spillway_memory_limit_info", "Source of the limit (config, cgroup_v1, cgroup_v1_hierarchical, cgroup_v2 for memory.max, cgroup_v2_high for memory.high, host) and what counts toward it (rss, cgroup, fullest_cgroup, largest_process, available).", "target", "source", "basis")
	MemoryLevel            = series.NewGauge("spillway_memory_level", "Memory pressure with hysteresis: 0 normal, 1 warning, 2 critical, 3 emergency.", "target")
	MemoryGrowth           = series.NewGauge("spillway_memory_growth_bytes_per_second", "Robust trend of the used memory, by the same time of day on other days once two days are there; 0 when there is none.", "target")
	MemoryGrowthConfidence = series.NewGauge("spillway_memory_growth_confidence", "How sure the growth is, from 0 to 1; below 0.5 the rhythm of the day may explain it, or a leak is not known yet.", "target")
	MemoryFastGrowth       = series.NewGauge("spillway_memory_fast_growth_bytes_per_second", "Growth of the used memory over the last seconds, negative while it falls; absent without enough readings.", "target")
	MemoryExhaustion       = series.NewGauge("spillway_memory_exhaustion_seconds", "Seconds until the used memory reaches the limit by its growth and its rhythm of the day; +Inf when it is not growing.", "target")
)

var memoryDescs = []*series.Desc{
	MemoryResident, MemoryAnon, MemoryFile, MemoryShmem, MemorySwap, MemoryPeak, MemoryVirtual, MemoryPSS, MemoryUSS,
	MemoryWindowMax, MemoryWindowMin, MemoryUsed, MemoryLimit, MemoryUsedRatio, MemoryLimitInfo,
	MemoryLevel, MemoryGrowth, MemoryGrowthConfidence, MemoryFastGrowth, MemoryExhaustion,
}
