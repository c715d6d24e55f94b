package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// TestFolders remembers every kind of folder.
func TestFolders(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{"cache", "temp", "upload", "quarantine", "log"}
	for _, name := range kinds {
		if err := os.MkdirAll(filepath.Join(dir, "host", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Parse("f.yml", []byte(`
targets:
  - name: a
    caches: [{name: c, dir: /cache, include: ['*'], max_bytes: 1GiB}]
    temp_dirs: [{name: t, dir: /temp, include: ['*'], max_age: 1h}]
  - name: b
    uploads: [{name: u, dir: /upload, max_age: 1h, quarantine: /quarantine}]
    logs: [{name: l, dir: /log, include: ['*.log'], max_bytes: 1MiB}]
`))
	if err != nil {
		t.Fatal(err)
	}
	roots := Folders(cfg, hostfs.Roots{RootFS: filepath.Join(dir, "host")}, new(config.Checks), nil)
	for _, name := range kinds {
		path := filepath.Join(dir, "host", name)
		if err := roots.Check(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Rename(path, path+"0"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if exchanged := (*safefs.ExchangedError)(nil); !errors.As(roots.Check(path), &exchanged) {
			t.Errorf("another %s is accepted", name)
		}
	}
}

// TestRooted changes every folder of the copy and none of the original.
func TestRooted(t *testing.T) {
	target := config.Target{Name: "a"}
	target.Caches = []policy.Cache{{Common: policy.Common{Name: "c", Dir: "/cache"}}}
	target.TempDirs = []policy.Temp{{Common: policy.Common{Name: "t", Dir: "/temp"}}}
	target.Logs = []policy.Log{{Common: policy.Common{Name: "l", Dir: "/log"}}}
	target.Uploads = []policy.Upload{{Common: policy.Common{Name: "u", Dir: "/upload"}, Quarantine: "/q"}, {Common: policy.Common{Name: "v", Dir: "/v"}}}
	dirs := func(t *policy.Folders) string {
		return strings.Join([]string{t.Caches[0].Dir, t.TempDirs[0].Dir, t.Logs[0].Dir, t.Uploads[0].Dir, t.Uploads[0].Quarantine, t.Uploads[1].Dir, t.Uploads[1].Quarantine}, " ")
	}
	if got := dirs(Rooted(&target, hostfs.Roots{RootFS: "/host"})); got != "/host/cache /host/temp /host/log /host/upload /host/q /host/v " {
		t.Errorf("copy %q", got)
	}
	if got := dirs(&target.Folders); got != "/cache /temp /log /upload /q /v " {
		t.Errorf("original %q", got)
	}
}

// TestDirActions: one action for each kind of folder that a target has.
func TestDirActions(t *testing.T) {
	target := config.Target{Name: "a"}
	target.TempDirs = []policy.Temp{{Common: policy.Common{Name: "t", Dir: "/temp"}}, {Common: policy.Common{Name: "u", Dir: "/temp2"}}}
	target.Logs = []policy.Log{{Common: policy.Common{Name: "l", Dir: "/log"}}}
	got := make(map[string][]string)
	for _, a := range DirActions(&target, hostfs.Roots{}, action.DirOptions{}) {
		got[a.Name] = a.Policies
	}
	if diff := cmp.Diff(map[string][]string{action.NameCleanTemp: {"t", "u"}, action.NameRotateLogs: {"l"}}, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}
