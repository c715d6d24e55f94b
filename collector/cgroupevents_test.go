package collector

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// unified writes a cgroup of version 2.
func (h *fakeHost) unified(path string, oomKills int) {
	h.write("sys/fs/cgroup/cgroup.controllers", "memory\n")
	at := "sys/fs/cgroup" + path
	h.write(at+"/memory.max", "max\n")
	h.write(at+"/memory.current", "1000000\n")
	h.write(at+"/memory.stat", "active_file 0\ninactive_file 0\nslab_reclaimable 0\n")
	h.write(at+"/memory.events", fmt.Sprintf("low 0\nhigh 3\nmax 2\noom 1\noom_kill %d\noom_group_kill 0\n", oomKills))
	h.write(at+"/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n")
	h.write(at+"/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n")
}

func TestCgroupEvents(t *testing.T) {
	h := newFakeHost(t)
	h.unified("/pod/a", 1)
	h.unified("/pod", 1)
	h.process(10, "node", "0::/pod/a\n", 400, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.CgroupOOMKills, "1", "a")
	b.expect(metric.CgroupEvents, "3", "a", "high")
	b.expect(metric.CgroupEvents, "2", "a", "max")
	b.expect(metric.CgroupEvents, "1", "a", "oom")
	b.expect(metric.CgroupWaiting, "2.5", "a", "memory")
	b.expect(metric.CgroupStalled, "1", "a", "memory")
	b.expect(metric.CgroupWaiting, "0.5", "a", "cpu")
	problems, err := testutil.CollectAndLint(NewExporter(b.store))
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	h.unified("/pod/a", 2)
	h.unified("/pod", 2)
	b.mustTick(time.Second)
	b.expect(metric.CgroupOOMKills, "1", "a") // of the last reading, not absent
	b.mustTick(limitsEvery)
	b.expect(metric.CgroupOOMKills, "2", "a")

	// The container is killed and another one made in its place before the next reading: the pod
	// has counted the kill.
	if err := os.Rename(filepath.Join(h.sys(), "fs/cgroup/pod/a"), filepath.Join(h.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	h.unified("/pod/b", 0)
	h.unified("/pod", 3)
	if err := os.RemoveAll(filepath.Join(h.proc(), "10")); err != nil {
		t.Fatal(err)
	}
	h.process(11, "node", "0::/pod/b\n", 400, 0, 0, 0)
	b.mustTick(time.Minute)
	b.expect(metric.CgroupOOMKills, "3", "a")
	b.expect(metric.CgroupEvents, "3", "a", "high") // never down
	h.unified("/pod/b", 1)
	h.unified("/pod", 4)
	b.mustTick(time.Minute)
	b.expect(metric.CgroupOOMKills, "4", "a")
}

// A kill that takes the cgroup of the container with it, and the one that its engine made above: crun
// puts a container into libpod-ID.scope/container, and both are made anew when it is restarted.
func TestCgroupEventsOfARestartedContainer(t *testing.T) {
	h := newFakeHost(t)
	made := func(scope string, kills, total int) {
		h.unified("/machine.slice/"+scope+"/container", kills)
		h.unified("/machine.slice/"+scope, kills)
		h.unified("/machine.slice", total)
	}
	gone := func(scope string) {
		if err := os.Rename(filepath.Join(h.sys(), "fs/cgroup/machine.slice", scope), filepath.Join(t.TempDir(), "gone")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(h.proc(), "10")); err != nil {
			t.Fatal(err)
		}
	}
	made("libpod-a.scope", 0, 7)
	h.process(10, "node", "0::/machine.slice/libpod-a.scope/container\n", 400, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.CgroupOOMKills, "0", "a")
	gone("libpod-a.scope")
	made("libpod-a.scope", 0, 8) // the same name, another cgroup
	h.process(10, "node", "0::/machine.slice/libpod-a.scope/container\n", 400, 0, 0, 0)
	b.mustTick(time.Minute)
	b.expect(metric.CgroupOOMKills, "1", "a")
	gone("libpod-a.scope")
	made("libpod-b.scope", 0, 9) // another name, as with --rm
	h.process(11, "node", "0::/machine.slice/libpod-b.scope/container\n", 400, 0, 0, 0)
	b.mustTick(time.Minute)
	b.expect(metric.CgroupOOMKills, "2", "a")
}

// A second process in another cgroup makes the one above both the target's: its past is not the target's.
func TestCgroupEventsOfAWiderCgroup(t *testing.T) {
	h := newFakeHost(t)
	h.unified("/system.slice/a.service", 2)
	h.unified("/system.slice/b.service", 40)
	h.unified("/system.slice", 42)
	h.process(10, "node", "0::/system.slice/a.service\n", 400, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.CgroupOOMKills, "2", "a")
	h.process(11, "node", "0::/system.slice/b.service\n", 400, 0, 0, 0)
	b.mustTick(time.Minute)
	b.expect(metric.CgroupOOMKills, "2", "a")
	h.unified("/system.slice", 43)
	b.mustTick(time.Minute)
	b.expect(metric.CgroupOOMKills, "3", "a")
}

func TestCgroupEventsVersion1(t *testing.T) {
	h := newFakeHost(t)
	at := "sys/fs/cgroup/memory/docker/a/"
	h.write("sys/fs/cgroup/memory/memory.stat", "")
	h.write(at+"memory.limit_in_bytes", "8000000\n")
	h.write(at+"memory.usage_in_bytes", "7000000\n")
	h.write(at+"memory.stat", "total_inactive_file 1\ntotal_active_file 2\n")
	h.write(at+"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
	h.write(at+"memory.failcnt", "77\n")
	h.process(10, "node", "4:memory:/docker/a\n", 400, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.CgroupOOMKills, "5", "a")
	b.expect(metric.CgroupEvents, "77", "a", "max")
	h.write(at+"memory.oom_control", "oom_kill many\n")
	if err := b.tick(time.Minute); err == nil {
		t.Error("a count that is not a number passes")
	}
}

func TestHostOOMKills(t *testing.T) {
	h := newFakeHost(t)
	h.write("proc/vmstat", "nr_free_pages 12\noom_kill 3\n")
	b := newBench(t, h, nodeTarget())
	b.add(NewHostSource(HostOptions{Procfs: h.proc(), Store: b.store}))
	b.mustTick(0)
	b.expect(metric.HostOOMKills, "3")
}
