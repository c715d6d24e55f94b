package journal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"
)

func outcome(o string) func(*Record) { return func(r *Record) { r.Outcome = o } }

func TestFinishKeepingAndLater(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, _ *clock) {
		step, run := begin(t, j, Record{Target: "svc"}), begin(t, j, Record{Target: "svc"})
		if err := j.FinishLater(step, outcome("partial")); err != nil {
			t.Fatal(err)
		}
		if err := j.FinishKeeping(t.Context(), run, outcome("done"), "cooldown/svc/a", []byte("until")); err != nil {
			t.Fatal(err)
		}
		// What was handed over before is written when the later result is.
		for id, want := range map[string]string{step: "partial", run: "done"} {
			if r, _, err := j.Get(id); err != nil || r.Outcome != want {
				t.Errorf("%s: %q, %v, want %q", id, r.Outcome, err, want)
			}
		}
		if v, err := j.State("cooldown/svc/a"); string(v) != "until" || err != nil {
			t.Errorf("state %q, %v", v, err)
		}
		if err := j.FinishLater(step, outcome("done")); !errors.Is(err, ErrNotOpen) {
			t.Errorf("twice: %v", err)
		}
		// A state that cannot be kept does not take the result with it.
		other := begin(t, j, Record{Target: "svc"})
		if err := j.FinishKeeping(t.Context(), other, outcome("done"), "k", make([]byte, maxStateValue+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		if r, _, err := j.Get(other); err != nil || r.Outcome != "done" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// What was handed over is in the file when the journal was closed.
func TestFinishLaterOutlivesClose(t *testing.T) {
	o := Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 500 {
		ids = append(ids, begin(t, j, Record{Target: "svc"}))
	}
	for _, id := range ids {
		if err := j.FinishLater(id, outcome("done")); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, err = Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if n := len(j.Interrupted()); n != 0 {
		t.Errorf("%d of 500 results were lost", n)
	}
}

// Results are written although intents never stop coming, and intents do not wait for them.
func TestResultsAreNotStarved(t *testing.T) {
	j, err := Open(Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	run := begin(t, j, Record{Target: "svc"})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := j.Begin(ctx, Record{Target: "flood"}); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan error, 1)
	go func() { done <- j.Finish(t.Context(), run, outcome("done")) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a result was not written while intents came")
	}
	cancel()
	wg.Wait()
}
