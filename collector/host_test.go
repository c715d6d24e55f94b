package collector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

func newHostBench(t *testing.T) (*fakeHost, *bench) {
	t.Helper()
	h := newFakeHost(t)
	b := newBench(t, h, proc.Options{})
	b.add(NewHostSource(HostOptions{Procfs: h.proc(), Store: b.store, Thresholds: testThresholds}))
	return h, b
}

func TestHostAsText(t *testing.T) {
	h, b := newHostBench(t)
	h.write("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n")
	h.write("proc/pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n")
	h.write("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
	b.mustTick(0)
	b.text(`# HELP spillway_host_memory_available_bytes Memory available to new processes without swapping, as estimated by the kernel.
# TYPE spillway_host_memory_available_bytes gauge
spillway_host_memory_available_bytes 6.291456e+09
# HELP spillway_host_memory_total_bytes Memory of the host.
# TYPE spillway_host_memory_total_bytes gauge
spillway_host_memory_total_bytes 8.388608e+09
# HELP spillway_host_pressure_stalled_seconds_total Time during which all tasks of the host that had work waited for the resource.
# TYPE spillway_host_pressure_stalled_seconds_total counter
spillway_host_pressure_stalled_seconds_total{resource="io"} 0.25
spillway_host_pressure_stalled_seconds_total{resource="memory"} 0
# HELP spillway_host_pressure_waiting_seconds_total Time during which at least one task of the host waited for the resource.
# TYPE spillway_host_pressure_waiting_seconds_total counter
spillway_host_pressure_waiting_seconds_total{resource="cpu"} 1.5
spillway_host_pressure_waiting_seconds_total{resource="io"} 2
spillway_host_pressure_waiting_seconds_total{resource="memory"} 0
# HELP spillway_host_swap_free_bytes Free swap space of the host.
# TYPE spillway_host_swap_free_bytes gauge
spillway_host_swap_free_bytes 524288
# HELP spillway_host_swap_total_bytes Swap space of the host.
# TYPE spillway_host_swap_total_bytes gauge
spillway_host_swap_total_bytes 1.048576e+06
# HELP spillway_memory_limit_info Source of the limit (config, cgroup_v1, cgroup_v1_hierarchical, cgroup_v2 for memory.max, cgroup_v2_high for memory.high, host) and what counts toward it (rss, cgroup, fullest_cgroup, largest_process, available).
# TYPE spillway_memory_limit_info gauge
spillway_memory_limit_info{basis="available",source="host",target="host"} 1
# HELP spillway_memory_used_ratio Used memory as a share of the limit.
# TYPE spillway_memory_used_ratio gauge
spillway_memory_used_ratio{target="host"} 0.25
`)
	b.expect(metric.MemoryUsed, "2.097152e+09", HostTarget)
	b.expect(metric.MemoryLevel, "0", HostTarget)
}

func TestHostWithoutAvailable(t *testing.T) {
	h, b := newHostBench(t)
	b.mustTick(0) // without PSI: not a failure
	h.write("proc/meminfo", "MemTotal: 1000 kB\n")
	if err := b.tick(time.Second); err == nil || !strings.Contains(err.Error(), "MemAvailable") {
		t.Errorf("error %v, want that MemAvailable is missing", err)
	}
	b.expect(metric.HostMemoryTotal, "1.024e+06")
	b.expect(metric.HostMemoryAvailable, "")
	b.expect(metric.MemoryUsed, "", HostTarget)
	b.expect(metric.MemoryLevel, "", HostTarget)
	h.write("proc/meminfo", "nonsense\n")
	if err := b.tick(time.Second); err == nil {
		t.Error("a meminfo without figures is not an error")
	}
	b.expect(metric.HostMemoryTotal, "")
}

// A database host: 720 of 755 GiB are set aside as huge pages of 1 GiB, and none is in use.
const hugeMeminfo = `MemTotal:       791674880 kB
MemFree:        20971520 kB
MemAvailable:   18350080 kB
HugePages_Total:       0
HugePages_Free:        0
Hugepagesize:       2048 kB
Hugetlb:        754974720 kB
`

func TestHugePagesAreNeitherLimitNorUsed(t *testing.T) {
	h := newFakeHost(t)
	h.process(10, "node", "0::/\n", 512<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.add(NewHostSource(HostOptions{Procfs: h.proc(), Store: b.store, Thresholds: testThresholds}))
	b.addTarget("a", MemoryConfig{})
	h.write("proc/meminfo", hugeMeminfo)
	b.mustTick(0)
	b.expect(metric.MemoryLimit, "3.758096384e+10", HostTarget) // 35 GiB
	b.expect(metric.MemoryUsed, "1.879048192e+10", HostTarget)  // 17.5 GiB
	b.expect(metric.MemoryUsedRatio, "0.5", HostTarget)
	b.expect(metric.MemoryLevel, "0", HostTarget)
	b.expect(metric.MemoryLimit, "3.758096384e+10", "a")
	b.expect(metric.HostMemoryTotal, "8.1067507712e+11")
	b.expect(metric.HostMemoryHugetlb, "7.7309411328e+11")

	// Pressure of what is left is still seen: 34 of 35 GiB.
	h.write("proc/meminfo", strings.Replace(hugeMeminfo, "18350080", "1048576", 1))
	b.mustTick(5 * time.Second)
	b.expect(metric.MemoryUsed, "3.6507222016e+10", HostTarget)
	b.expect(metric.MemoryLevel, "3", HostTarget)
}

func TestHugePagesAsKernelsTellThem(t *testing.T) {
	const rest = "MemTotal: 8192000 kB\nMemAvailable: 1024000 kB\n"
	for _, tt := range []struct{ name, lines, huge, limit string }{
		{"not built in", "", "", "8.388608e+09"},
		{"none", "HugePages_Total: 0\nHugepagesize: 2048 kB\nHugetlb: 0 kB\n", "0", "8.388608e+09"},
		{"before 4.16", "HugePages_Total: 2000\nHugepagesize: 2048 kB\n", "4.194304e+09", "4.194304e+09"},
		{"pages of two sizes", "HugePages_Total: 100\nHugepagesize: 2048 kB\nHugetlb: 4096000 kB\n", "4.194304e+09", "4.194304e+09"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, b := newHostBench(t)
			h.write("proc/meminfo", rest+tt.lines)
			b.mustTick(0)
			b.expect(metric.HostMemoryHugetlb, tt.huge)
			b.expect(metric.MemoryLimit, tt.limit, HostTarget)
		})
	}
}

func TestHugePagesThatCannotBe(t *testing.T) {
	h, b := newHostBench(t)
	h.write("proc/meminfo", "MemTotal: 8192000 kB\nMemAvailable: 1024000 kB\nHugetlb: 8192000 kB\n")
	if err := b.tick(0); err == nil || !strings.Contains(err.Error(), "huge pages") {
		t.Errorf("error %v, want one about huge pages", err)
	}
	b.expect(metric.MemoryLimit, "", HostTarget)
	b.expect(metric.MemoryUsed, "", HostTarget)
}

const arcstats = `9 1 0x01 147 39984 5049513427 7166911422146
name                            type data
hits                            4    1084
size                            4    %s
c                               4    5368709120
c_min                           4    1073741824
`

func TestZFSCacheIsNotUsed(t *testing.T) {
	h, b := newHostBench(t) // 7.8125 GiB, of which 5.859375 are available
	b.mustTick(0)
	b.expect(metric.HostMemoryARC, "")
	b.expect(metric.MemoryUsed, "2.097152e+09", HostTarget)
	f := func(size, arc, used string) {
		t.Helper()
		h.write("proc/spl/kstat/zfs/arcstats", fmt.Sprintf(arcstats, size))
		b.mustTick(5 * time.Second)
		b.expect(metric.HostMemoryARC, arc)
		b.expect(metric.MemoryUsed, used, HostTarget)
	}
	f("2147483648", "1.073741824e+09", "1.023410176e+09")
	f("1073741824", "0", "2.097152e+09")
	f("536870912", "0", "2.097152e+09") // it starts below its minimum
	f("6442450944", "5.36870912e+09", "0")
	h.write("proc/spl/kstat/zfs/arcstats", fmt.Sprintf(arcstats, "many"))
	if err := b.tick(5 * time.Second); err == nil || !strings.Contains(err.Error(), `size "many"`) {
		t.Errorf("error %v, want one that names the size", err)
	}
	b.expect(metric.HostMemoryARC, "")
	b.expect(metric.MemoryUsed, "", HostTarget) // not the cache counted as used
	b.expect(metric.MemoryLimit, "8.388608e+09", HostTarget)
	h.write("proc/spl/kstat/zfs/arcstats", "name type data\nsize 4 100\n")
	if err := b.tick(5 * time.Second); err == nil || !strings.Contains(err.Error(), "c_min") {
		t.Errorf("error %v, want that c_min is missing", err)
	}
}

func FuzzARC(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(arcstats, "2147483648")))
	f.Add([]byte("size 4 1\nc_min 4 18446744073709551615\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if n, err := parseARC(raw); err != nil && n != 0 {
			t.Errorf("%d with error %v", n, err)
		}
	})
}
