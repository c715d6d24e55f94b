package proc

import (
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestBirths: the end of a process is noticed when it comes, and that a process was made.
func TestBirths(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cmd := exec.Command("sleep", "600.125")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tracker, err := New(Options{Targets: []Target{target("a", Config{Match: Match{Cmdline: Exprs{`^sleep 600\.125$`}}})}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	for deadline := time.Now().Add(10 * time.Second); ; { // until it has become another program
		if err := tracker.Refresh(t.Context(), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if u, _ := tracker.Usage("a"); u.Processes == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process is not found")
		}
	}
	u, _ := tracker.Usage("a")
	b := NewBirths(tracker, "a")
	defer b.Close()
	before := b.Newest()
	b.Watch(u.OldestTicks + 1)
	if watched, _ := b.Watched(u.OldestTicks + 1); watched {
		t.Error("a process that is not there is watched")
	}
	b.Watch(u.OldestTicks)
	if watched, ended := b.Watched(u.OldestTicks); !watched || ended {
		t.Fatalf("watched %v, ended %v, want a process that runs", watched, ended)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.Wakes():
	case <-time.After(10 * time.Second):
		t.Fatal("the end is not noticed")
	}
	if _, ended := b.Watched(u.OldestTicks); !ended {
		t.Error("the process has ended and counts as running")
	}
	_ = cmd.Wait()
	if err := exec.Command("true").Run(); err != nil {
		t.Fatal(err)
	}
	if after := b.Newest(); before >= 0 && after == before {
		t.Errorf("the newest process is %d before and after one was made", before)
	}
	b.Watch(0)
	if watched, _ := b.Watched(u.OldestTicks); watched {
		t.Error("it is still watched")
	}
}
