package collector

import (
	"strings"
	"testing"
	"time"

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
	b.text(`# HELP spillway_host_memory_available_bytes Memory that new processes can have without swapping, as the kernel estimates it.
# TYPE spillway_host_memory_available_bytes gauge
spillway_host_memory_available_bytes 6.291456e+09
# HELP spillway_host_memory_total_bytes Memory of the host.
# TYPE spillway_host_memory_total_bytes gauge
spillway_host_memory_total_bytes 8.388608e+09
# HELP spillway_host_pressure_stalled_seconds_total Time in which all tasks of the host that had work waited for the resource.
# TYPE spillway_host_pressure_stalled_seconds_total counter
spillway_host_pressure_stalled_seconds_total{resource="io"} 0.25
spillway_host_pressure_stalled_seconds_total{resource="memory"} 0
# HELP spillway_host_pressure_waiting_seconds_total Time in which at least one task of the host waited for the resource.
# TYPE spillway_host_pressure_waiting_seconds_total counter
spillway_host_pressure_waiting_seconds_total{resource="cpu"} 1.5
spillway_host_pressure_waiting_seconds_total{resource="io"} 2
spillway_host_pressure_waiting_seconds_total{resource="memory"} 0
# HELP spillway_host_swap_free_bytes Swap space of the host that is free.
# TYPE spillway_host_swap_free_bytes gauge
spillway_host_swap_free_bytes 524288
# HELP spillway_host_swap_total_bytes Swap space of the host.
# TYPE spillway_host_swap_total_bytes gauge
spillway_host_swap_total_bytes 1.048576e+06
# HELP spillway_memory_limit_info Where the limit comes from (config, cgroup_v1, cgroup_v2, host) and what is counted against it (rss, cgroup, available).
# TYPE spillway_memory_limit_info gauge
spillway_memory_limit_info{basis="available",source="host",target="host"} 1
# HELP spillway_memory_used_ratio Used memory as a share of the limit.
# TYPE spillway_memory_used_ratio gauge
spillway_memory_used_ratio{target="host"} 0.25
`)
	b.expect(MemoryUsed, "2.097152e+09", HostTarget)
	b.expect(MemoryLevel, "0", HostTarget)
}

func TestHostWithoutAvailable(t *testing.T) {
	h, b := newHostBench(t)
	b.mustTick(0) // without PSI: not a failure
	h.write("proc/meminfo", "MemTotal: 1000 kB\n")
	if err := b.tick(time.Second); err == nil || !strings.Contains(err.Error(), "MemAvailable") {
		t.Errorf("error %v, want that MemAvailable is missing", err)
	}
	b.expect(HostMemoryTotal, "1.024e+06")
	b.expect(HostMemoryAvailable, "")
	b.expect(MemoryUsed, "", HostTarget)
	b.expect(MemoryLevel, "", HostTarget)
	h.write("proc/meminfo", "nonsense\n")
	if err := b.tick(time.Second); err == nil {
		t.Error("a meminfo without figures is no error")
	}
	b.expect(HostMemoryTotal, "")
}
