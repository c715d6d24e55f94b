package collector

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// group writes a cgroup of version 2 with sizes in bytes; limits are as the kernel writes them.
func (h *fakeHost) group(path, most, high string, current int64) {
	h.t.Helper()
	h.write("sys/fs/cgroup/cgroup.controllers", "memory\n")
	at := "sys/fs/cgroup" + path
	h.write(at+"/memory.max", most+"\n")
	h.write(at+"/memory.high", high+"\n")
	h.write(at+"/memory.current", fmt.Sprintln(current))
	h.write(at+"/memory.stat", "active_file 0\ninactive_file 0\nslab_reclaimable 0\n")
}

// TestHierarchicalLimit: the limit of a cgroup of version 1 whose ancestors are not visible, as in a
// container, is in its own memory.stat.
func TestHierarchicalLimit(t *testing.T) {
	h := newFakeHost(t) // 7.8 GiB
	at := "sys/fs/cgroup/memory/"
	stat := "cache 1\nhierarchical_memory_limit 536870912\nhierarchical_memsw_limit 9223372036854771712\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n"
	h.write(at+"memory.limit_in_bytes", "9223372036854771712\n")
	h.write(at+"memory.usage_in_bytes", fmt.Sprintln(502*mib))
	h.write(at+"memory.stat", stat)
	h.write(at+"worker/memory.limit_in_bytes", "9223372036854771712\n")
	h.write(at+"worker/memory.usage_in_bytes", fmt.Sprintln(100*mib))
	h.write(at+"worker/memory.stat", stat)
	h.process(10, "node", "4:memory:/worker\n", 98<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.MemoryLimit, "5.36870912e+08", "a")
	b.expect(metric.MemoryUsedRatio, "0.9765625", "a") // of what is visible, the outermost that the limit holds for
	b.expect(metric.MemoryLimitInfo, "1", "a", "cgroup_v1_hierarchical", BasisCgroup)

	h.write(at+"memory.limit_in_bytes", "536870912\n") // that of an ancestor which is visible
	b.mustTick(limitsEvery)
	b.expect(metric.MemoryLimitInfo, "1", "a", sourceCgroupV1, BasisCgroup)
	b.expect(metric.MemoryUsedRatio, "0.9765625", "a")

	h.write(at+"worker/memory.stat", strings.Replace(stat, "_limit 536870912", "_limit some", 1))
	if err := b.tick(limitsEvery); err == nil || !strings.Contains(err.Error(), "hierarchical_memory_limit") {
		t.Errorf("error %v, want it to name hierarchical_memory_limit", err)
	}
	b.expect(metric.MemoryUsedRatio, "", "a")
}

// TestMemberInALimitedCgroup: where the members are in several cgroups with limits of their own, the
// fullest counts.
func TestMemberInALimitedCgroup(t *testing.T) {
	h := newFakeHost(t)
	h.group("/pods", "max", "max", 1000*mib)
	h.group("/pods/a", "1048576000", "max", 100*mib)
	h.group("/pods/b", "max", "1048576000", 950*mib)
	h.group("/pods/b/inner", "max", "max", 900*mib)
	h.process(10, "node", "0::/pods/a\n", 90<<10, 0, 0, 0)
	h.process(11, "node", "0::/pods/b/inner\n", 10<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.MemoryUsedRatio, "0.95", "a")
	b.expect(metric.MemoryLimit, "1.048576e+09", "a")
	b.expect(metric.MemoryLimitInfo, "1", "a", "cgroup_v2_high", "fullest_cgroup")
	b.expect(metric.MemoryResident, "1.048576e+08", "a") // of all members
	for range 3 {
		b.mustTick(time.Second)
	}
	b.expect(metric.MemoryLevel, "3", "a")

	h.group("/pods/a", "1048576000", "max", 980*mib)
	h.group("/pods/b", "max", "1048576000", 10*mib)
	b.mustTick(time.Second)
	b.expect(metric.MemoryUsedRatio, "0.98", "a")
	b.expect(metric.MemoryLimitInfo, "1", "a", sourceCgroupV2, "fullest_cgroup")

	h.group("/pods", "1048576000", "max", 990*mib) // one that holds both is fuller still
	b.mustTick(limitsEvery)
	b.expect(metric.MemoryUsedRatio, "0.99", "a")
	b.expect(metric.MemoryLimitInfo, "1", "a", sourceCgroupV2, BasisCgroup)

	h.write("sys/fs/cgroup/pods/b/memory.current", "lots\n") // one of them is not known: it may be the fullest
	if err := b.tick(time.Second); err == nil || !strings.Contains(err.Error(), "/pods/b") {
		t.Errorf("error %v, want it to name the cgroup", err)
	}
	b.expect(metric.MemoryUsedRatio, "", "a")
}

// TestLimitSaysWhichFile: memory.high is another limit than memory.max: beyond it the kernel slows the
// service down instead of ending it.
func TestLimitSaysWhichFile(t *testing.T) {
	h := newFakeHost(t)
	h.group("/a", "2000000000", "1000000000", 100*mib)
	h.process(10, "node", "0::/a\n", 90<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.MemoryLimitInfo, "1", "a", "cgroup_v2_high", BasisCgroup)
	h.group("/a", "1000000000", "max", 100*mib)
	b.mustTick(limitsEvery)
	b.expect(metric.MemoryLimitInfo, "1", "a", sourceCgroupV2, BasisCgroup)
}

// TestNoCgroupIsVisible: a limit that may exist and cannot be read is not the host's.
func TestNoCgroupIsVisible(t *testing.T) {
	f := func(name, cgroup, namespace, limit string, c MemoryConfig, reported bool) {
		t.Helper()
		h := newFakeHost(t)
		h.process(10, "node", cgroup, 90<<10, 0, 0, 0)
		h.write("proc/self/ns/x", "")
		if err := os.Symlink("cgroup:["+namespace+"]", h.proc()+"/self/ns/cgroup"); err != nil {
			t.Fatal(err)
		}
		b := newBench(t, h, nodeTarget())
		b.addTarget("a", c)
		err := b.tick(0)
		if (err != nil) != reported || err != nil && !strings.Contains(err.Error(), "mount") {
			t.Errorf("%s: error %v, want one: %v, that says what to mount", name, err, reported)
		}
		b.expect(metric.MemoryLimit, limit, "a")
	}
	const first, other, host = "4026531835", "4026532741", "8.388608e+09"
	f("in a container", "0::/\n", other, "", MemoryConfig{}, true)
	f("on a host, in a cgroup of version 2", "0::/system.slice/a.service\n", first, "", MemoryConfig{}, true)
	f("on a host, in a cgroup of version 1", "4:memory:/docker/a\n0::/\n", first, "", MemoryConfig{}, true)
	f("with a limit of its own", "0::/system.slice/a.service\n", first, "5.36870912e+08", MemoryConfig{Limit: 512 * mib}, false)
	f("on a host without the controller", "1:cpu:/docker/a\n0::/\n", first, host, MemoryConfig{}, false)
	f("on a host without cgroups", "", first, host, MemoryConfig{}, false)
}

// TestLimitPerProcess: of a service of many workers, the largest counts, in the sweep and between two.
func TestLimitPerProcess(t *testing.T) {
	h := newFakeHost(t)
	h.process(10, "node", "0::/\n", 60<<10, 10<<10, 0, 0)
	h.process(11, "node", "0::/\n", 384<<10, 10<<10, 0, 0)
	h.process(12, "node", "0::/\n", 100<<10, 10<<10, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{LimitPerProcess: 512 * mib})
	b.mustTick(0)
	b.expect(metric.MemoryUsedRatio, "0.75", "a")
	b.expect(metric.MemoryUsed, "4.02653184e+08", "a")
	b.expect(metric.MemoryLimit, "5.36870912e+08", "a")
	b.expect(metric.MemoryLimitInfo, "1", "a", sourceConfig, "largest_process")
	b.expect(metric.MemoryResident, "5.70425344e+08", "a") // of all members
	h.process(12, "node", "0::/\n", 448<<10, 10<<10, 0, 0)
	source := b.sources[1].(*targetSource)
	from, need := source.next()
	meter := from.open()
	defer meter.close()
	r, err := meter.read(make([]byte, 4096), need)
	if err != nil || r.used != 448*mib || r.resident != (60+384+448)*mib {
		t.Errorf("between two sweeps: %+v, %v, want the largest and the resident memory of all", r, err)
	}
	b.mustTick(time.Second)
	b.expect(metric.MemoryUsedRatio, "0.875", "a")
	for pid := 20; pid < 40; pid++ { // all of them together are closer to what the host has
		h.process(pid, "node", "0::/\n", 390<<10, 0, 0, 0)
	}
	b.mustTick(time.Minute)
	b.expect(metric.MemoryLimitInfo, "1", "a", sourceHost, BasisRSS)
}
