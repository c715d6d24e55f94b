package app

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/memlock"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// TestLockRefused: without the right, the exporter does not start, and a reload keeps the old
// configuration.
func TestLockRefused(t *testing.T) {
	if memlock.Apply(true, false) == nil {
		t.Cleanup(func() {
			if err := memlock.Apply(false, true); err != nil {
				t.Error(err)
			}
		})
		t.Skip("this process may lock its memory")
	}
	_, err := New(t.Context(), testOptions(t, "lock_memory: true\ndiscover: {by: comm, top: 5}\n"), slog.New(slog.DiscardHandler))
	if !setup.IsMistake(err) || !strings.Contains(err.Error(), "LimitMEMLOCK") {
		t.Errorf("%v, want the mistake", err)
	}
	a := startApp(t, "")
	old, err := os.ReadFile(a.opts.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	writeTest(t, a.opts.ConfigFile, "lock_memory: true\n"+string(old))
	if err := a.Reload(); err == nil || errors.Is(err, os.ErrNotExist) || a.graph.Load().cfg.LockMemory {
		t.Errorf("%v, want the old configuration", err)
	}
}
