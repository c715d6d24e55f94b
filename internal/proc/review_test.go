package proc

import (
	"testing"
	"time"
)

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
	if at, whole := time.Duration(p.review.at-ms)*time.Millisecond, time.Duration(p.review.whole-ms)*time.Millisecond; at != nameCheck || whole != slowCheck {
		t.Errorf("the name of a grown process is due after %s and all of it after %s, want %s and %s", at, whole, nameCheck, slowCheck)
	}
	due := map[int64]bool{}
	for pid := range int32(100) {
		old := w.newProcess(seen{pid: pid + 1}, ms)
		old.start = 1
		w.schedule(old, ms)
		if wait := old.review.whole - ms; wait <= 0 || wait > slowCheck.Milliseconds() {
			t.Errorf("an old process is due after %d ms", wait)
		}
		if old.review.at != old.review.whole {
			t.Errorf("the name of an old process is due after %d ms", old.review.at-ms)
		}
		due[old.review.at] = true
	}
	if len(due) < 50 {
		t.Errorf("100 old processes come due at %d times only", len(due))
	}
}
