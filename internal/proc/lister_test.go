package proc

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// newest makes the fake say which pid was given out last, in the namespace of this process.
func (f *fakeProc) newest(pid int) { f.write("loadavg", fmt.Sprintf("0.10 0.20 0.30 1/100 %d\n", pid)) }

func (f *fakeProc) native(nspid string) {
	f.t.Helper()
	f.put(fakeProcess{pid: 7, comm: "spillway"})
	f.write("7/status", "Name:\tspillway\nNSpid:\t"+nspid+"\nUid:\t0\t0\t0\t0\n")
	if err := os.Symlink("7", f.path("self")); err != nil {
		f.t.Fatal(err)
	}
}

// watchNodes holds no descriptors: a held file of the fake outlives its removal, that of a real
// procfs does not.
func watchNodes(t *testing.T, f *fakeProc) *watched {
	t.Helper()
	w := watch(t, Options{Root: f.dir, MaxHeld: -1, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	w.tick(0)
	return w
}

// TestListsOnlyWhenAProcessWasMade: what the newest pid does not show is seen by the listing that
// is taken anyhow, what it shows is seen at once.
func TestListsOnlyWhenAProcessWasMade(t *testing.T) {
	f := newFake(t)
	f.native(fmt.Sprint(os.Getpid()))
	f.put(fakeProcess{pid: 10, comm: "node"})
	f.newest(10)
	w := watchNodes(t, f)
	expect := func(what string, d time.Duration, want string) {
		t.Helper()
		w.tick(d)
		if got := w.pids("a"); got != want {
			t.Errorf("%s: members %q, want %q", what, got, want)
		}
	}
	f.put(fakeProcess{pid: 11, comm: "node"})
	f.newest(11)
	expect("a new pid", time.Second, "10 11")
	f.put(fakeProcess{pid: 12, comm: "node"})
	expect("a process that was not shown", time.Second, "10 11")
	expect("the listing that is taken anyhow", relistEvery, "10 11 12")
	f.put(fakeProcess{pid: 13, comm: "node"})
	f.remove(10)
	expect("a member ended", time.Second, "11 12")
	expect("after a member ended", time.Second, "11 12 13")
	f.write("loadavg", "nonsense\n")
	f.put(fakeProcess{pid: 14, comm: "node"})
	expect("a newest pid that cannot be read", time.Second, "11 12 13 14")
}

// TestAlwaysListsInAnotherNamespace: loadavg there speaks of other processes.
func TestAlwaysListsInAnotherNamespace(t *testing.T) {
	for _, nspid := range []string{fmt.Sprintf("7\t%d", os.Getpid()), fmt.Sprint(os.Getpid() + 1), ""} {
		f := newFake(t)
		f.native(nspid)
		f.put(fakeProcess{pid: 10, comm: "node"})
		f.newest(10)
		w := watchNodes(t, f)
		f.put(fakeProcess{pid: 11, comm: "node"})
		w.tick(time.Second)
		if got := w.pids("a"); got != "10 11" {
			t.Errorf("NSpid %q: members %q, want %q", nspid, got, "10 11")
		}
	}
}

// TestDearListingsAreRationed: a listing of 20 ms is taken every 5.12 s at most.
func TestDearListingsAreRationed(t *testing.T) {
	f := newFake(t)
	f.native(fmt.Sprint(os.Getpid()))
	f.put(fakeProcess{pid: 10, comm: "node"})
	f.newest(10)
	w := watchNodes(t, f)
	w.lister.cost = 20 * time.Millisecond
	f.put(fakeProcess{pid: 11, comm: "node"})
	f.newest(11)
	for i := range 5 {
		w.tick(time.Second)
		if got := w.pids("a"); got != "10" {
			t.Fatalf("after %d s: members %q, want %q", i+1, got, "10")
		}
	}
	w.tick(time.Second)
	if got := w.pids("a"); got != "10 11" {
		t.Errorf("members %q, want %q", got, "10 11")
	}
}
