package proc

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestShortLivedCommandsAreNoTargets: on a busy host commands come and go, each under a name of its own.
// None becomes a target, whatever room there is, until a process of it has lived for a minute or it uses
// 1 % of the host.
func TestShortLivedCommandsAreNoTargets(t *testing.T) {
	f := newFake(t)
	f.write("meminfo", "MemTotal:       4096000 kB\nMemFree: 1 kB\n")
	f.put(fakeProcess{pid: 10, comm: "server", resident: 100})
	f.put(fakeProcess{pid: 11, comm: "young", resident: 90, start: startedAt(-30)})
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 20}})
	seen := make(map[string]bool)
	for i := range 60 { // five minutes
		w.tick(time.Duration(min(i, 1)) * 5 * time.Second)
		for name := range strings.FieldsSeq(discoveredNames(t, w)) {
			seen[name] = true
		}
		if i == 5 && seen["young"] {
			t.Error("a process of 55 s is a target")
		}
		if e, err := w.Explain(11); i == 5 && (err != nil || !strings.Contains(e.Reason, "has not lived for a minute")) {
			t.Errorf("of a process of 55 s it is said: %q, %v", e.Reason, err)
		}
		if i == 6 && !seen["young"] {
			t.Error("a process of a minute is not a target")
		}
		f.remove(100 + i - 1)
		f.put(fakeProcess{pid: 100 + i, comm: fmt.Sprintf("command-%d", i), resident: 9000, start: startedAt(5 * i)}) // 0.9 % with pages of 4 KiB
		f.remove(400 + (i-1)/5)
		f.put(fakeProcess{pid: 400 + i/5, comm: "sleep", resident: 50, start: startedAt(25 * (i / 5))})
		if i == 40 {
			f.put(fakeProcess{pid: 300, comm: "large", resident: 11000, start: startedAt(5 * i)})
		}
		if i == 41 && !seen["large"] {
			t.Error("a process of more than 1 % of the memory is not a target at once")
		}
	}
	if len(seen) != 3 {
		t.Errorf("targets %v, want server, young, large and the rest", seen)
	}
}

// TestFailingUnitIsATarget: a unit that is restarted every few seconds has no process of a minute.
func TestFailingUnitIsATarget(t *testing.T) {
	for by, want := range map[string]bool{ByUnit: true, ByComm: false} {
		f := newFake(t)
		w := watch(t, Options{Root: f.dir, Discover: &Discover{By: by, Top: 5}})
		w.tick(0)
		for i := range 14 {
			if i%2 == 0 {
				f.put(service(10+i, 5*i))
			} else {
				f.remove(10 + i - 1)
			}
			w.tick(5 * time.Second)
		}
		if got := strings.Contains(discoveredNames(t, w), "srv"); got != want {
			t.Errorf("by %s: a unit that fails again and again is a target: %v, want %v", by, got, want)
		}
	}
}
