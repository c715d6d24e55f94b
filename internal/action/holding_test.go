package action

import (
	"bytes"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestNameOfTheHoldingFolder: the name alone hides nothing, is not followed, and is nothing to warn of.
func TestNameOfTheHoldingFolder(t *testing.T) {
	tests := []struct {
		name  string
		make  func(t *testing.T, dir string)
		files int64 // that go
	}{
		{"further down", func(t *testing.T, dir string) { put(t, dir+"/sub/"+policy.HoldingName+"/f", 5, time.Hour) }, 1},
		{"of the service", func(t *testing.T, dir string) { put(t, dir+"/"+policy.HoldingName+"/f", 5, time.Hour) }, 1},
		{"private, and not made by us", func(t *testing.T, dir string) {
			put(t, dir+"/"+policy.HoldingName+"/f", 5, time.Hour)
			os.Chmod(dir+"/"+policy.HoldingName, 0o700)
		}, 1},
		{"a link", func(t *testing.T, dir string) {
			if err := os.Symlink("/etc", dir+"/"+policy.HoldingName); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"a file", func(t *testing.T, dir string) { put(t, dir+"/"+policy.HoldingName, 5, time.Hour) }, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := realDir(t)
			tt.make(t, dir)
			var log bytes.Buffer
			o := dirOptions()
			o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Minute)}
			p.Include = []string{"*", ".*"}
			for _, dry := range []bool{true, false} {
				res, err := newCleanTemp(o, []policy.Temp{p}).Run(t.Context(), Request{DryRun: dry})
				if err != nil || res.Files != tt.files {
					t.Errorf("dry run %v: %+v, %v, want %d files", dry, res, err, tt.files)
				}
			}
			if log.Len() > 0 {
				t.Errorf("logged:\n%s", &log)
			}
		})
	}
}
