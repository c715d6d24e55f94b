package proc

import (
	"testing"
	"time"
)

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
	if !p.slow.parts.known || p.slow.cgroups.v2 != "/a.slice" {
		t.Fatalf("nothing was read of it: %+v", p.slow)
	}
	w.move(p, w.targets[1], descended, w.now.UnixMilli())
	if p.slow != (slowReadings{}) || p.statm != noStatm || p.by != descended {
		t.Errorf("in its new group: %+v, descriptor %d, %d", p.slow, p.statm, p.by)
	}
	w.measure(w.now.UnixMilli())
	w.publish(nil)
	if u := w.usage("b"); !u.Parts || u.Shmem != 4<<10 || u.CgroupV2 != "/a.slice" || u.Processes != 1 {
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

// TestReviewSchedule: young processes are looked at at their ages, old ones at once as old, spread.
func TestReviewSchedule(t *testing.T) {
	f := newFake(t)
	w := watch(t, Options{Root: f.dir})
	w.tick(0)
	ms := epoch.UnixMilli()
	p := w.newProcess(seen{pid: 10}, ms)
	p.start = 3600 * ticksPerSec // now
	for _, age := range young {
		w.schedule(p, ms)
		if want := epoch.Add(age).UnixMilli(); p.review.at != want {
			t.Errorf("due %d ms after first sight, want %s", p.review.at-epoch.UnixMilli(), age)
		}
		ms = p.review.at
		p.review.decided = true
	}
	w.schedule(p, ms)
	if got := time.Duration(p.review.at-ms) * time.Millisecond; got != slowCheck {
		t.Errorf("a grown process is due after %s, want %s", got, slowCheck)
	}
	due := map[int64]bool{}
	for pid := range int32(100) {
		old := w.newProcess(seen{pid: pid + 1}, ms)
		old.start = 1
		w.schedule(old, ms)
		if wait := old.review.at - ms; wait <= 0 || wait > slowCheck.Milliseconds() {
			t.Errorf("an old process is due after %d ms", wait)
		}
		due[old.review.at] = true
	}
	if len(due) < 50 {
		t.Errorf("100 old processes come due at %d times only", len(due))
	}
}
