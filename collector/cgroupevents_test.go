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
		t.Error("a count that is no number passes")
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
