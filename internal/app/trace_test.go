package app

import (
	"bytes"
	"fmt"
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
)

// TestPlansLeaveTheOrderAlone: check and cleanup --dry-run next to an exporter that infers the hits of
// a cache are no hits, and the next eviction still keeps the files that were used.
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
	o := testOptions(t, `
targets:
  - name: app
    processes: {match: {comm: nobody-is-this}}
    caches: [{name: media, dir: `+dir+`/cache, include: ['f*'], age_by: mtime, max_entries: 10, evict_to: 50%, hit_rate: inferred}]
`)
	cfg, err := loadConfig(&o)
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
	for command, says := range map[string]string{CommandCheck: "would remove 15 of 20 files", CommandCleanup: "over_limit\t"} {
		run := o
		var out bytes.Buffer
		run.Stdout = &out
		run.Cleanup = CleanupOptions{DryRun: true, Files: true}
		if got := Main(t.Context(), command, run); got != ExitOK || !strings.Contains(out.String(), says) {
			t.Errorf("%s: exit code %d, want %q in\n%s", command, got, says, &out)
		}
	}
	watch.CatchUp()
	if c, err := watch.Counts(); err != nil || c.Hits != uint64(len(hot)) || c.Misses != 0 {
		t.Errorf("counted %+v, %v; want the %d opens of the application", c, err, len(hot))
	}
	opts := dirOptions("app", cfg, newLogger(os.Stderr, "error", "logfmt"), time.Now)
	opts.Opens = map[string]action.Opens{"media": watch}
	for _, a := range dirActions(&cfg.Targets[0], &o, opts) {
		if res, err := a.action.Run(t.Context(), action.Request{Target: "app"}); err != nil || res.Files != 15 {
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
	o := testOptions(t, config)
	o.ProcFS = realDir(t) // shows no process at all
	for _, json := range []bool{false, true} {
		for _, command := range []string{CommandCheck, CommandCleanup} {
			var out bytes.Buffer
			run := o
			run.Stdout, run.JSON, run.Cleanup = &out, json, CleanupOptions{DryRun: true}
			want, times := action.InUseIncomplete, 1
			if json {
				want, times = `"in_use_incomplete":`, 2
			}
			if got := Main(t.Context(), command, run); got != ExitOK || strings.Count(out.String(), want) != times {
				t.Errorf("%s, JSON %v: exit code %d; want %q %d times in\n%s", command, json, got, want, times, &out)
			}
		}
	}
}
