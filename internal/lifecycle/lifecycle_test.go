package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLifecycle: the last step first, each within its time, and one that hangs takes none from
// those after it.
func TestLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const kept = 2 * time.Second
		var log bytes.Buffer
		l := New(slog.New(slog.NewTextHandler(&log, nil)))
		gate := make(chan struct{})
		var mu sync.Mutex
		var order []string
		note := func(name string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
		}
		l.AddKept("journal", kept, func(ctx context.Context) error {
			note("journal")
			if end, ok := ctx.Deadline(); !ok || time.Until(end) < kept*9/10 {
				t.Errorf("the journal has until %s, %v", end, ok)
			}
			return nil
		})
		for range 8 {
			l.Add("hung", 20*time.Second, func(context.Context) error { note("hung"); <-gate; return nil })
		}
		l.Add("failing", time.Second, func(context.Context) error { note("failing"); return errors.New("no such thing") })
		l.Add("patient", 5*time.Second, func(ctx context.Context) error {
			note("patient")
			<-ctx.Done()
			return errors.New("waits for /srv/x")
		})
		start := time.Now()
		err := l.Stop()
		took := time.Since(start)
		if took > stopLimit || took < stopLimit/2 {
			t.Errorf("the shutdown took %s, want at most %s", took, stopLimit)
		}
		mu.Lock()
		want := append(append([]string{"patient", "failing"}, slices.Repeat([]string{"hung"}, 8)...), "journal")
		if !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		mu.Unlock()
		for _, text := range []string{"shutdown: patient: waits for /srv/x", "shutdown: failing: no such thing", "shutdown: hung: did not end within"} {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("the error lacks %q: %v", text, err)
			}
		}
		if n := strings.Count(log.String(), "step=hung"); n != 8 {
			t.Errorf("%d of 8 hung steps are in the log:\n%s", n, &log)
		}
		if again := l.Stop(); !errors.Is(again, err) && again.Error() != err.Error() || len(order) != 11 {
			t.Errorf("a second stop: %v, %d steps", again, len(order))
		}
		close(gate)
	})
}

// TestWithin returns what a function returns, or that it has not returned.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := errors.New("wrong")
		if err := Within(time.Second, func() error { return wrong }); !errors.Is(err, wrong) {
			t.Errorf("%v, want %v", err, wrong)
		}
		gate := make(chan struct{})
		start := time.Now()
		if err := Within(time.Second, func() error { <-gate; return nil }); !errors.Is(err, ErrNoEnd) || time.Since(start) != time.Second {
			t.Errorf("%v after %s, want %v after 1s", err, time.Since(start), ErrNoEnd)
		}
		close(gate)
	})
}

// TestWait is done when the goroutines are.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var group sync.WaitGroup
		group.Go(func() { <-time.After(time.Minute) })
		start := time.Now()
		if err := Wait(&group)(t.Context()); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %s, want the end after a minute", err, time.Since(start))
		}
	})
}
