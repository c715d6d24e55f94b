package cli

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// TestPlansLeaveTheOrderAlone: check and cleanup --dry-run next to an exporter that infers the hits of
// a cache do not count as hits, and the next eviction still keeps the files that were used.
func TestPlansLeaveTheOrderAlone(t *testing.T) {
	dir := realDir(t)
	for i := range 20 {
		path := filepath.Join(dir, "cache", fmt.Sprintf("f%02d", i))
		writeTest(t, path, "content")
		at := time.Now().Add(-time.Duration(100-i) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	file := configFlag(t, `
targets:
  - name: app
    processes: {match: {comm: no-such-comm}}
    caches: [{name: media, dir: `+dir+`/cache, include: ['f*'], age_by: mtime, max_entries: 10, evict_to: 50%, hit_rate: inferred}]
`)
	cfg, err := setup.LoadConfig(strings.TrimPrefix(file, "--config.file="), new(config.Checks))
	if err != nil {
		t.Fatal(err)
	}
	watch := follow(t, dir+"/cache", &cfg.Targets[0])
	hot := []string{"f00", "f01", "f02", "f03", "f04"}
	for _, name := range hot {
		f, err := os.OpenFile(filepath.Join(dir, "cache", name), os.O_RDONLY|unix.O_NOATIME, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	for line, says := range map[string]string{"check": "would remove 15 of 20 files", "cleanup --dry-run --files": "over_limit\t"} {
		if r := runLine(t, append(strings.Fields(line), file)...); r.code != ExitOK || !strings.Contains(r.out, says) {
			t.Errorf("%s: %+v, want %q", line, r, says)
		}
	}
	watch.CatchUp()
	if c, err := watch.Counts(); err != nil || c.Hits != uint64(len(hot)) || c.Misses != 0 {
		t.Errorf("counted %+v, %v; want the %d opens of the application", c, err, len(hot))
	}
	opts := setup.DirOptions("app", cfg, hostfs.Roots{}, slog.New(slog.DiscardHandler), time.Now)
	opts.Opens = map[string]action.Opens{"media": watch}
	for _, a := range setup.DirActions(&cfg.Targets[0], hostfs.Roots{}, opts) {
		if res, err := a.Action.Run(t.Context(), action.Request{Target: "app"}); err != nil || res.Files != 15 {
			t.Errorf("evicted %d, %v, want 15", res.Files, err)
		}
	}
	var left []string
	entries, err := os.ReadDir(dir + "/cache")
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if err != nil || !slices.Equal(left, hot) {
		t.Errorf("left %v, %v; want the files that were used: %v", left, err, hot)
	}
}

// follow watches the opens of a target's first cache as a running exporter does.
func follow(t *testing.T, dir string, target *config.Target) *hitrate.Handle {
	t.Helper()
	pool := hitrate.NewPool(time.Now, nil)
	t.Cleanup(func() { _ = pool.Close() })
	names, err := target.Caches[0].Compile()
	if err != nil {
		t.Fatal(err)
	}
	watch, err := pool.Get(hitrate.Cache{Name: "media", Dir: dir}, names.Select)
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Enter: func(f *dirscan.Folder) {
		if err := watch.Follow(f.FD(), f.AppendPath(nil)); err != nil {
			t.Error(err)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	watch.End()
	return watch
}

// TestDryRunSaysOnceWhatItCannotSee: without a look into the processes of others a plan may name what is
// open; it says so once, however many folders there are.
func TestDryRunSaysOnceWhatItCannotSee(t *testing.T) {
	dir := realDir(t)
	old := time.Now().Add(-2 * time.Hour)
	config := "targets:\n"
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name, "f")
		writeTest(t, path, "x")
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		config += "  - name: " + name + "\n    processes: {match: {comm: none}}\n    temp_dirs: [{name: tmp, dir: " + dir + "/" + name + ", include: ['*'], age_by: mtime, max_age: 1h}]\n"
	}
	common := []string{configFlag(t, config), "--path.procfs=" + realDir(t)} // shows no process at all
	f := func(want string, times int, args ...string) {
		t.Helper()
		if r := runLine(t, append(args, common...)...); r.code != ExitOK || strings.Count(r.out, want) != times {
			t.Errorf("%q: %+v; want %q %d times", args, r, want, times)
		}
	}
	f(action.InUseIncomplete, 1, "check")
	f(action.InUseIncomplete, 1, "cleanup", "--dry-run")
	f(`"in_use_incomplete":`, 2, "check", "--json")
	f(`"in_use_incomplete":`, 2, "cleanup", "--dry-run", "--json")
}
