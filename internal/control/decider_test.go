package control

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// TestDecideOverTheSocket: a command lists what waits, and is refused what does not.
func TestDecideOverTheSocket(t *testing.T) {
	d := dispatch.New(dispatch.Options{Journal: journal.OpenMemory(journal.Options{Logger: quiet()}), Logger: slog.New(slog.DiscardHandler)})
	dir := t.TempDir()
	s, err := Listen(t.Context(), dir, Options{Decide: Decider{Dispatcher: func() *dispatch.Dispatcher { return d }}.Decide, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	if got, err := dial(t, dir).Decide(t.Context(), Decide{}); err != nil || len(got.Waits) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, deny := range []bool{false, true} {
		if _, err := dial(t, dir).Decide(t.Context(), Decide{ID: "p1", Deny: deny, By: "anna"}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "no proposal waits") {
			t.Errorf("%v", err)
		}
	}
}
