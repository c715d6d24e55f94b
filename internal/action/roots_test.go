package action

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func swap(t *testing.T, a, b string) {
	t.Helper()
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
}

// TestExchangedRootIsRefused: no action on folders touches one that took the place of its root, with
// force and in a dry run neither, and each goes on once the folders are remembered anew.
func TestExchangedRootIsRefused(t *testing.T) {
	actions := map[string]func(o DirOptions, dir string) Action{
		"clean_temp": func(o DirOptions, dir string) Action {
			return newCleanTemp(o, []policy.Temp{{Common: common(dir), MaxAge: units.Duration(time.Hour)}})
		},
		"evict_cache": func(o DirOptions, dir string) Action {
			return newEvictCache(o, []policy.Cache{{Common: common(dir), MaxAge: units.Duration(time.Hour), MaxEntries: 100}})
		},
		"enforce_uploads": func(o DirOptions, dir string) Action {
			return newEnforceUploads(o, []policy.Upload{{Common: common(dir), MaxFileBytes: 1}})
		},
		"rotate_logs": func(o DirOptions, dir string) Action {
			c := common(dir)
			c.Include = []string{"*.log"}
			return newRotateLogs(o, []policy.Log{{Common: c, MaxBytes: 1, KeepFiles: new(int64)}})
		},
	}
	for name, build := range actions {
		t.Run(name, func(t *testing.T) {
			dir := realDir(t)
			root, sibling := filepath.Join(dir, "root"), filepath.Join(dir, "sibling")
			put(t, root+"/mine.log", 5000, 2*time.Hour)
			put(t, sibling+"/others.log", 5000, 2*time.Hour)
			var log bytes.Buffer
			o := dirOptions()
			o.Logger, o.Roots = slog.New(slog.NewTextHandler(&log, nil)), safefs.NewRoots([]string{root}, nil)
			swap(t, root, sibling)
			for _, req := range []Request{{}, {DryRun: true}, {Force: true}} {
				res, _ := build(o, root).Run(t.Context(), req)
				if res.Outcome != Failed || !strings.Contains(res.Detail, "reload the configuration") || res.Policies[0].Outcome != Failed {
					t.Errorf("%+v: %+v, want it refused", req, res)
				}
			}
			if got := left(t, root); len(got) != 1 || strings.Count(log.String(), "nothing is cleaned") != 3 {
				t.Errorf("%v are left, logged:\n%s", got, &log)
			}
			o.Roots = safefs.NewRoots([]string{root}, nil)
			if res, err := build(o, root).Run(t.Context(), Request{}); res.Outcome != Done || res.Files+res.Policies[0].Rotated != 1 || err != nil {
				t.Errorf("after a reload: %+v, %v", res, err)
			}
		})
	}
}

// TestExchangedWhileItRuns: a run that walks its root several times walks the same folder each time.
func TestExchangedWhileItRuns(t *testing.T) {
	dir := realDir(t)
	root, sibling := filepath.Join(dir, "root"), filepath.Join(dir, "sibling")
	put(t, root+"/expired", 1, 2*time.Hour)
	for _, name := range []string{"a", "b", "c"} {
		put(t, root+"/"+name, 1, 30*time.Minute)
		put(t, sibling+"/"+name, 1, 40*time.Minute)
	}
	p := policy.Temp{Common: common(root), MaxAge: units.Duration(time.Hour), MaxFiles: 1}
	o := dirOptions()
	swapping := naming(func(path, _ string) {
		if path == "expired" {
			swap(t, root, sibling)
		}
	})
	o.Roots = safefs.NewRoots([]string{root}, nil)
	res, err := newCleanTemp(o, []policy.Temp{p}).Run(t.Context(), Request{OnFile: swapping})
	if err != nil || res.Files != 3 || len(left(t, root)) != 3 || len(left(t, sibling)) != 1 {
		t.Errorf("%+v, %v; the sibling has %v, the root %v", res, err, left(t, root), left(t, sibling))
	}
	if _, err := os.Stat(sibling + "/expired"); err == nil {
		t.Error("nothing was exchanged")
	}
}

// TestFolderMovedOutOfACache: an eviction does not empty what was moved out of its root while it went on.
func TestFolderMovedOutOfACache(t *testing.T) {
	dir, outside := realDir(t), realDir(t)
	const n = 1000
	for i := range n {
		put(t, fmt.Sprintf("%s/sub/f%04d", dir, i), 1, time.Duration(2*n-i)*time.Minute)
	}
	removed := 0
	moving := naming(func(string, string) {
		if removed++; removed == 1 {
			if err := os.Rename(dir+"/sub", outside+"/sub"); err != nil {
				t.Error(err)
			}
		}
	})
	all := units.Ratio(1)
	p := policy.Cache{Common: common(dir), MaxEntries: 1, EvictTo: &all}
	res, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(t.Context(), Request{OnFile: moving})
	if got := len(left(t, outside)); err != nil || got < n-32 {
		t.Errorf("%d of %d files are left, %+v, %v", got, n, res, err)
	}
}

// TestFilesOfOthersAreNamed: whoever has to write owner learns whose files stay.
func TestFilesOfOthersAreNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files to others")
	}
	dir := realDir(t)
	put(t, dir+"/own", 1, time.Hour)
	put(t, dir+"/others", 1, time.Hour)
	if err := os.Chown(dir+"/others", 65534, 65534); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := dirOptions()
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Minute)}
	res, err := newCleanTemp(o, []policy.Temp{p}).Run(t.Context(), Request{})
	if err != nil || res.Files != 1 || res.Skipped["owner"] != 1 || !strings.Contains(log.String(), "owner=[65534]") {
		t.Errorf("%+v, %v, logged:\n%s", res, err, &log)
	}
	p.Owner = []string{"nobody"}
	if res, err = newCleanTemp(o, []policy.Temp{p}).Run(t.Context(), Request{}); err != nil || res.Files != 1 {
		t.Errorf("listed: %+v, %v", res, err)
	}
}
