package control

import (
	"context"
	"errors"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
)

// TestCleanerIsTrusted: an exporter whose files others can change does nothing for real, whatever its mode is.
func TestCleanerIsTrusted(t *testing.T) {
	cause := errors.New("spillway.yml can be written by everybody")
	c := Cleaner{
		Config: func() *config.Config { return new(config.Config) }, Trusted: func() error { return cause },
		RunNow: func(context.Context, dispatch.ManualRequest) (string, error) {
			t.Error("it ran")
			return "", nil
		},
	}
	if err := c.Cleanup(t.Context(), Peer{}, Cleanup{Enforce: true}, nil); !errors.Is(err, ErrRefused) || !errors.Is(err, cause) {
		t.Errorf("%v, want it refused for %v", err, cause)
	}
	if err := c.Cleanup(t.Context(), Peer{}, Cleanup{}, nil); errors.Is(err, cause) {
		t.Errorf("a dry run: %v", err)
	}
}
