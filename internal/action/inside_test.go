package action

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// insideOf opens a folder in place of the one that a policy names; away in its place.
func insideOf(dir *string) func(*policy.Common) func() (dirscan.Opened, error) {
	return func(c *policy.Common) func() (dirscan.Opened, error) {
		return func() (dirscan.Opened, error) {
			if *dir == "" {
				return dirscan.Opened{}, fmt.Errorf("no process of the target runs, so its folder %w", dirscan.ErrAway)
			}
			fd, err := unix.Open(*dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			return dirscan.Opened{FD: fd, Name: c.Where() + " of svc", Of: "process 7", Place: "/proc/7/root" + c.Dir}, err
		}
	}
}

// TestInside: every kind works on a folder that only the target has under its name, and on nothing of
// that name here.
func TestInside(t *testing.T) {
	foreign := func() policy.Common {
		c := common("/tmp")
		c.TargetRoot, c.Include = true, []string{"*.log"}
		return c
	}
	actions := map[string]func(o DirOptions) Action{
		"clean_temp": func(o DirOptions) Action {
			return newCleanTemp(o, []policy.Temp{{Common: foreign(), MaxAge: units.Duration(time.Hour)}})
		},
		"evict_cache": func(o DirOptions) Action {
			return newEvictCache(o, []policy.Cache{{Common: foreign(), MaxEntries: 1}})
		},
		"enforce_uploads": func(o DirOptions) Action {
			return newEnforceUploads(o, []policy.Upload{{Common: foreign(), MaxFileBytes: 1}})
		},
		"rotate_logs": func(o DirOptions) Action {
			return newRotateLogs(o, []policy.Log{{Common: foreign(), MaxBytes: 1, KeepFiles: new(int64)}})
		},
	}
	for name, build := range actions {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(realDir(t), "theirs")
			for _, file := range []string{"/a.log", "/sub/b.log"} {
				put(t, dir+file, 5000, 2*time.Hour)
			}
			at := dir
			o := dirOptions()
			o.Inside = insideOf(&at)
			dry, err := build(o).Run(t.Context(), Request{DryRun: true})
			if p := dry.Policies[0]; err != nil || p.Files+p.Rotated == 0 || p.Error != "" || p.Dir != "/tmp" || p.Place != "/proc/7/root/tmp" || len(left(t, dir)) != 2 {
				t.Errorf("dry run: %+v, %v", p, err)
			}
			at = ""
			res, err := build(o).Run(t.Context(), Request{})
			if p := res.Policies[0]; err != nil || res.Outcome != Done || p.Error != "" || p.Files != 0 || !strings.Contains(p.Waits, "no process of the target runs") || !strings.Contains(res.Detail, p.Waits) {
				t.Errorf("away: %+v, %v, want what it waits for", res, err)
			}
			at = dir
			res, err = build(o).Run(t.Context(), Request{EvictTo: 0.5})
			if p := res.Policies[0]; err != nil || p.Outcome != Done || p.Files+p.Rotated != dry.Files+dry.Policies[0].Rotated && name != "evict_cache" {
				t.Errorf("%+v, %v, want what the dry run said: %+v", p, err, dry.Policies[0])
			}
			if got := left(t, dir); name != "rotate_logs" && len(got) > 1 {
				t.Errorf("left %q", got)
			}
			o.Inside = nil
			if res, _ := build(o).Run(t.Context(), Request{}); res.Outcome != Failed || !strings.Contains(res.Detail, "are not known here") {
				t.Errorf("without the processes: %+v", res)
			}
		})
	}
}
