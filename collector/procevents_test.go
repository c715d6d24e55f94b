package collector

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestProcessEvents watches the children of this very process end.
func TestProcessEvents(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := proc.New(proc.Options{Targets: []proc.Target{{Name: "me", Config: proc.Config{Match: proc.Match{Exe: exe}, Children: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	store := series.NewStore(series.Options{})
	src := NewEventsSource(EventsOptions{Tracker: tracker, Store: store, Window: 3})
	defer src.(io.Closer).Close()
	now := time.Now()
	var b series.Batch
	sample := func() error {
		now = now.Add(time.Second)
		if err := tracker.Refresh(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		b.Reset(now)
		err := src.Sample(t.Context(), &b)
		store.Commit(&b)
		return err
	}
	if err := sample(); err != nil {
		if !errors.Is(err, proc.ErrNoEvents) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	_ = exec.Command("sh", "-c", "kill -TERM $$").Run() // how it ends is what is looked at
	_ = exec.Command("sh", "-c", "exit 1").Run()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for {
		if err := sample(); err != nil {
			t.Fatal(err)
		}
		term, _, ok := store.Value(metric.ProcessExitReasons, "me", "SIGTERM")
		failed, _, ok2 := store.Value(metric.ProcessExitReasons, "me", "exit_error")
		if ok && ok2 && term == 1 && failed == 1 {
			break
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("SIGTERM %v %v, exit_error %v %v, want 1 each", term, ok, failed, ok2)
		}
	}
	if lost, _, ok := store.Value(metric.ProcessEventsLost); !ok || lost != 0 {
		t.Errorf("lost %v, %v", lost, ok)
	}
}

// TestProcessEventsRefused: the reason is reported with each sample, and asking again waits.
func TestProcessEventsRefused(t *testing.T) {
	tries := 0
	src := NewEventsSource(EventsOptions{Store: series.NewStore(series.Options{}), Open: func() (*proc.Events, error) {
		tries++
		return nil, proc.ErrNoEvents
	}})
	now := time.Now()
	for range 3 {
		var b series.Batch
		b.Reset(now)
		if err := src.Sample(t.Context(), &b); !errors.Is(err, proc.ErrNoEvents) {
			t.Errorf("%v, want ErrNoEvents", err)
		}
		now = now.Add(reopenEvery / 2)
	}
	if tries != 2 {
		t.Errorf("asked %d times, want 2", tries)
	}
}

func TestRecentPeak(t *testing.T) {
	r := recentPeak{values: make([]int64, 3)}
	for i, want := range []int64{5, 9, 9, 9, 2} {
		if got := r.push([]int64{5, 9, 0, 2, 1}[i]); got != want {
			t.Errorf("sample %d: %d, want %d", i, got, want)
		}
	}
}
