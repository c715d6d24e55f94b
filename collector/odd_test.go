package collector

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// want is a series that is expected; value "" = absent.
type want struct {
	desc  *series.Desc
	value string
	label []string
}

// TestOddLinesOfMeminfo: a line that cannot be understood costs its own figure and what follows from
// it, and is reported.
func TestOddLinesOfMeminfo(t *testing.T) {
	good := []string{"MemTotal:       8192000 kB", "MemAvailable:   6144000 kB", "SwapTotal:      1024 kB", "SwapFree:       512 kB", "Hugetlb:        0 kB"}
	all := []want{
		{metric.HostMemoryTotal, "8.388608e+09", nil},
		{metric.HostMemoryAvailable, "6.291456e+09", nil},
		{metric.HostSwapTotal, "1.048576e+06", nil},
		{metric.HostSwapFree, "524288", nil},
		{metric.HostMemoryHugetlb, "0", nil},
		{metric.MemoryLimit, "8.388608e+09", []string{HostTarget}},
		{metric.MemoryUsed, "2.097152e+09", []string{HostTarget}},
		{metric.MemoryLimit, "8.388608e+09", []string{"a"}},
	}
	f := func(name, text, reported string, lost ...int) {
		t.Helper()
		h := newFakeHost(t)
		h.process(10, "node", "0::/\n", 400<<10, 0, 0, 0)
		h.write("proc/meminfo", text)
		b := newBench(t, h, nodeTarget())
		b.add(NewHostSource(HostOptions{Procfs: h.proc(), Store: b.store, Thresholds: testThresholds}))
		b.addTarget("a", MemoryConfig{})
		err := b.tick(0)
		if reported == "" && err != nil || reported != "" && (err == nil || !strings.Contains(err.Error(), reported)) {
			t.Errorf("%s: error %v, want it to say %q", name, err, reported)
		}
		for i, w := range all {
			value := w.value
			if slices.Contains(lost, i) {
				value = ""
			}
			got := ""
			if v, _, ok := b.store.Value(w.desc, w.label...); ok {
				got = strconv.FormatFloat(v, 'g', -1, 64)
			}
			if got != value {
				t.Errorf("%s: %s%v = %q, want %q", name, w.desc.Name, w.label, got, value)
			}
		}
	}
	odd := func(i int, line string) string {
		lines := slices.Clone(good)
		lines[i] = line
		return strings.Join(lines, "\n") + "\n"
	}
	text := strings.Join(good, "\n") + "\n"
	f("as it is", text, "")
	f("a blank line", "\n"+text+"\n\n", "")
	f("a name only", text+"DirectMap4k:\n", "")
	f("a line that is not asked for", text+"Zswapped: -4 MB\nnonsense\n", "")
	f("without the newline at the end", strings.TrimSuffix(text, "\n"), "")
	f("free swap below 0", odd(3, "SwapFree: -12 kB"), "SwapFree", 3)
	f("swap of no size", odd(2, "SwapTotal:"), "SwapTotal", 2)
	f("available without its unit", odd(1, "MemAvailable:   6144000"), "MemAvailable", 1, 6)
	f("available that is not there", odd(1, "Buffers: 1 kB"), "MemAvailable", 1, 6)
	f("huge pages below 0", odd(4, "Hugetlb: -1 kB"), "Hugetlb", 4, 5, 6, 7)
	f("total that is not a number", odd(0, "MemTotal: much kB"), "MemTotal", 0, 5, 6, 7)
}

// TestOddLinesOfVmstat: an odd line costs nothing but its own figure.
func TestOddLinesOfVmstat(t *testing.T) {
	f := func(text, kills, reported string) {
		t.Helper()
		h, b := newHostBench(t)
		h.write("proc/vmstat", text)
		err := b.tick(0)
		if reported == "" && err != nil || reported != "" && (err == nil || !strings.Contains(err.Error(), reported)) {
			t.Errorf("%q: error %v, want it to say %q", text, err, reported)
		}
		b.expect(metric.HostOOMKills, kills)
		b.expect(metric.HostMemoryTotal, "8.388608e+09")
	}
	f("nr_free_pages 12\noom_kill 3\n", "3", "")
	f("nr_free_pages\noom_kill 3\n", "3", "")
	f("\nnr_free_pages -12\noom_kill 3\n\n", "3", "")
	f("nr_free_pages 12\noom_kill\n", "", "oom_kill")
	f("nr_free_pages 12\noom_kill -1\n", "", "oom_kill")
	f("nr_free_pages 12\n", "", "")
}

// TestOddLinesOfPressure: one resource costs nothing of another.
func TestOddLinesOfPressure(t *testing.T) {
	h, b := newHostBench(t)
	h.write("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00\n")
	h.write("proc/pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=-1\n")
	h.write("proc/pressure/memory", "\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=4000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n")
	if err := b.tick(0); err == nil || !strings.Contains(err.Error(), "cpu") || !strings.Contains(err.Error(), "io") {
		t.Errorf("error %v, want that the pressure of cpu and io cannot be read", err)
	}
	b.expect(metric.HostWaiting, "", "cpu")
	b.expect(metric.HostWaiting, "2", "io")
	b.expect(metric.HostStalled, "", "io")
	b.expect(metric.HostWaiting, "4", "memory")
	b.expect(metric.HostStalled, "1", "memory")
	b.expect(metric.MemoryUsedRatio, "0.25", HostTarget)

	h, b = newHostBench(t) // a kernel that has one of the three
	h.write("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=4000000\n")
	b.mustTick(0)
	b.expect(metric.HostWaiting, "4", "memory")
}

// TestOddLinesOfCgroupEvents: an odd line costs its own figure, in the readings that are repeated from
// memory too, and is reported in each.
func TestOddLinesOfCgroupEvents(t *testing.T) {
	h := newFakeHost(t)
	h.unified("/a", 7)
	h.process(10, "node", "0::/a\n", 400, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.CgroupOOMKills, "7", "a")
	h.write("sys/fs/cgroup/a/memory.events", "low 0\nhigh\n\nmax 2\noom 1\noom_kill 8\n")
	h.write("sys/fs/cgroup/a/memory.pressure", "some avg10=0.00\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n")
	for _, d := range []time.Duration{limitsEvery, time.Second} {
		err := b.tick(d)
		if err == nil || !strings.Contains(err.Error(), "high") || !strings.Contains(err.Error(), "memory.pressure") {
			t.Errorf("after %s: error %v, want it to name high and memory.pressure", d, err)
		}
		b.expect(metric.CgroupEvents, "", "a", "high")
		b.expect(metric.CgroupEvents, "2", "a", "max")
		b.expect(metric.CgroupOOMKills, "8", "a")
		b.expect(metric.CgroupWaiting, "", "a", "memory")
		b.expect(metric.CgroupStalled, "1", "a", "memory")
		b.expect(metric.CgroupWaiting, "0.5", "a", "cpu")
	}
	h.write("sys/fs/cgroup/a/memory.events", "low 0\nhigh 3\nmax 2\noom 1\noom_kill\n")
	if err := b.tick(limitsEvery); err == nil || !strings.Contains(err.Error(), "oom_kill") {
		t.Errorf("error %v, want it to name oom_kill", err)
	}
	b.expect(metric.CgroupOOMKills, "", "a")
	b.expect(metric.CgroupEvents, "3", "a", "high")
	h.unified("/a", 9)
	b.mustTick(limitsEvery)
	b.expect(metric.CgroupOOMKills, "9", "a") // no kill is counted twice
}

// TestOddEventsAboveARestartedCgroup: kills that could not be read before are not kills that came in
// since.
func TestOddEventsAboveARestartedCgroup(t *testing.T) {
	h := newFakeHost(t)
	h.unified("/pod", 40)
	h.write("sys/fs/cgroup/pod/memory.events", "low 0\noom_kill\n")
	h.unified("/pod/a", 0)
	h.process(10, "node", "0::/pod/a\n", 400, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	h.unified("/pod", 40)
	h.unified("/pod/b", 0)
	h.remove(10)
	if err := os.RemoveAll(filepath.Join(h.sys(), "fs/cgroup/pod/a")); err != nil {
		t.Fatal(err)
	}
	h.process(11, "node", "0::/pod/b\n", 400, 0, 0, 0)
	b.mustTick(time.Minute)
	b.expect(metric.CgroupOOMKills, "0", "a")
}
