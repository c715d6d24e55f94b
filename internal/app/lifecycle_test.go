package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

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
