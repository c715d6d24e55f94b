package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

// TestLifecycle: the last step first, each within its time, and one that hangs takes none from
// those after it.
func TestLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := newLifecycle(slog.New(slog.NewTextHandler(&log, nil)))
		gate := make(chan struct{})
		var mu sync.Mutex
		var order []string
		note := func(name string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
		}
		l.add("journal", journalTime, func(ctx context.Context) error {
			note("journal")
			if end, ok := ctx.Deadline(); !ok || time.Until(end) < journalTime*9/10 {
				t.Errorf("the journal has until %s, %v", end, ok)
			}
			return nil
		})
		for range 8 {
			l.add("hung", 20*time.Second, func(context.Context) error { note("hung"); <-gate; return nil })
		}
		l.add("failing", second, func(context.Context) error { note("failing"); return errors.New("no such thing") })
		l.add("patient", 5*second, func(ctx context.Context) error {
			note("patient")
			<-ctx.Done()
			return errors.New("waits for /srv/x")
		})
		start := time.Now()
		err := l.stop()
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
		if again := l.stop(); !errors.Is(again, err) && again.Error() != err.Error() || len(order) != 11 {
			t.Errorf("a second stop: %v, %d steps", again, len(order))
		}
		close(gate)
	})
}

func TestStopBeforeRunAndTwice(t *testing.T) {
	a, err := New(t.Context(), testOptions(t, ""), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Stop(); err != nil {
			t.Errorf("Stop before Run: %v", err)
		}
	}
	if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "was stopped") {
		t.Errorf("Run after Stop: %v, want an error", err)
	}
	if _, err := New(t.Context(), a.opts, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("the journal is still in use: %v", err)
	}
	if _, err := http.Get(a.url("/-/healthy")); err == nil {
		t.Error("it still listens")
	}
}

func TestStopWhileItRuns(t *testing.T) {
	a := startApp(t, "")
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- a.Stop() }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if err := a.Reload(); err == nil {
		t.Error("a reload after the end succeeded")
	}
}

// TestReloadSaysWhatItWaitsFor: a reload that does not end is answered all the same, and so is the
// next.
func TestReloadSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &App{logger: slog.New(slog.DiscardHandler), reloading: newReloading()}
		a.reloading.turn <- struct{}{} // one is under way
		a.reloading.waitsFor("the sources of the old configuration to end")
		start := time.Now()
		err := a.Reload()
		if !errors.Is(err, web.ErrPending) || !strings.Contains(err.Error(), "the sources of the old configuration") {
			t.Errorf("Reload: %v, want ErrPending and what it waits for", err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it was answered after %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.reloading.wait(ctx); err == nil || !strings.Contains(err.Error(), "the sources of the old configuration") {
			t.Errorf("the step of the shutdown: %v, want what the reload waits for", err)
		}
	})
}
