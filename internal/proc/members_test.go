package proc

import "testing"

// TestMemberStartsAfresh: what was read of a process for one target says nothing in the next.
func TestMemberStartsAfresh(t *testing.T) {
	f := newFake(t)
	for pid := 10; pid < 13; pid++ {
		f.put(fakeProcess{pid: pid, comm: "node", resident: 100, shared: 10, shmem: 4, cgroup: "0::/a.slice\n"})
	}
	w := watch(t, Options{Root: f.dir, Targets: []Target{
		target("a", Config{Match: Match{Comm: "node"}}), target("b", Config{Match: Match{Comm: "other"}}),
	}})
	w.tick(0)
	p := w.find(10)
	if !p.slow.own.known.has(FigureShmem) || p.slow.cgroups.v2 != "/a.slice" {
		t.Fatalf("nothing was read of it: %+v", p.slow)
	}
	w.move(p, w.targets[1], descended, w.now.UnixMilli())
	if p.slow != (slowReadings{}) || p.statm != noStatm || p.by != descended {
		t.Errorf("in its new group: %+v, descriptor %d, %d", p.slow, p.statm, p.by)
	}
	w.measure(w.now.UnixMilli())
	w.publish(nil)
	if u := w.usage("b"); u.get(FigureShmem) != 4<<10 || u.CgroupV2 != "/a.slice" || u.Processes != 1 {
		t.Errorf("read again: %+v", u)
	}
	if a, b := w.usage("a"), w.usage("b"); a.Processes != 2 || a.Exits != 1 || b.Starts != 1 {
		t.Errorf("left %+v, joined %+v", a, b)
	}
	for i, m := range w.members {
		if m.index != i {
			t.Errorf("process %d is at %d and believes %d", m.pid, i, m.index)
		}
	}
}
