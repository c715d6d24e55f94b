package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
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

// TestCleanerGoesByOneConfiguration: what a person has read decides, so that a request by another file, or by a newer version
// of the file than the exporter has loaded, is refused whatever its mode is.
func TestCleanerGoesByOneConfiguration(t *testing.T) {
	dir := t.TempDir()
	parse := func(mode, age string) *config.Config {
		t.Helper()
		cfg, err := config.Parse("spillway.yml", fmt.Appendf(nil, "targets: [{name: svc, mode: %s, temp_dirs: [{name: t, dir: %s, include: ['*.tmp'], max_age: %s}]}]", mode, dir, age))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	runs := 0
	c := Cleaner{
		Config: func() *config.Config { return parse("dry_run", "1h") }, File: "/etc/spillway/spillway.yml", Trusted: func() error { return nil },
		RunNow: func(context.Context, dispatch.ManualRequest) (string, error) { runs++; return "", errors.New("busy") },
	}
	for _, tc := range []struct {
		name, mode, age string
		runs            int
	}{
		{"the same", "dry_run", "1h", 1},
		{"another mode", "enforce", "1h", 0},
		{"another limit", "dry_run", "2h", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			runs = 0
			targets, err := setup.CleanupTargets(parse(tc.mode, tc.age), nil, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, enforce := range []bool{false, true} {
				runs = 0
				err = c.Cleanup(t.Context(), Peer{}, Cleanup{Enforce: enforce, Written: setup.WrittenOf(targets)}, func(Event) error { return nil })
				if runs != tc.runs || (tc.runs == 0) != errors.Is(err, ErrRefused) || err != nil && !strings.Contains(err.Error(), "Give that file with --config.file") {
					t.Errorf("enforce %v: %d runs, %v, want %d", enforce, runs, err, tc.runs)
				}
			}
		})
	}
}
