//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOwnOpensAreNoUses: other processes of the same program, whatever their rights and their journal, look
// at a cache whose hits are inferred. None of that is a hit, no access time moves, and the next eviction
// keeps what the application has used.
func TestOwnOpensAreNoUses(t *testing.T) {
	dir := testDir(t)
	cache := filepath.Join(dir, "cache")
	for _, up := range []string{dir, filepath.Dir(dir)} { // another user is to reach it
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, cache, "f%02d", 20, 100, 100*time.Hour)
	for i := range 20 {
		at := time.Now().Add(time.Duration(i-100) * time.Hour)
		if err := os.Chtimes(filepath.Join(cache, fmt.Sprintf("f%02d", i)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	target := `targets:
  - name: app
    caches: [{name: media, dir: ` + cache + `, include: ['f*'], age_by: mtime, max_entries: 10, evict_to: 50%, hit_rate: inferred}]
`
	e := startExporter(t, dir, "instance: here\nscan_interval: 1s\n"+target)
	hits := func() float64 {
		m, err := e.scrape()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := m.sum("spillway_cache_hits_total", "cache=media")
		return n
	}
	eventually(t, 30*time.Second, "the cache is watched", func() error {
		m, err := e.scrape()
		if err == nil && m["spillway_cache_hits_total"] == nil {
			err = errors.New("no hits yet")
		}
		return err
	})
	hot := []string{"f00", "f01", "f02", "f03", "f04"}
	for _, name := range hot {
		f, err := os.OpenFile(filepath.Join(cache, name), os.O_RDONLY|unix.O_NOATIME, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	before := accessTimes(t, cache)
	own := filepath.Join(dir, "spillway.yml")
	other := filepath.Join(dir, "other.yml")
	journal := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte(target+"journal: {dir: "+journal+"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(journal, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(journal, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	as := []string{need(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", binary(t)}
	for _, argv := range [][]string{
		{binary(t), "check", "--config.file=" + own},
		{binary(t), "cleanup", "--dry-run", "--files", "--config.file=" + own},
		append(slices.Clone(as), "check", "--config.file="+other),
		append(slices.Clone(as), "cleanup", "--dry-run", "--config.file="+other),
		append(slices.Clone(as), "cleanup", "--enforce", "--config.file="+other), // may not remove, and has another journal
	} {
		p := start(t, nil, argv...)
		<-p.done
		t.Logf("%v: exit code %d\n%s", argv[1:], p.cmd.ProcessState.ExitCode(), p.out)
	}
	if n := len(before); countFiles(t, cache) != n {
		t.Fatalf("%d files are left of %d", countFiles(t, cache), n)
	}
	if after := accessTimes(t, cache); !slices.Equal(after, before) {
		t.Errorf("access times moved:\n%v\n%v", before, after)
	}
	p := start(t, nil, binary(t), "cleanup", "--enforce", "--config.file="+own)
	<-p.done
	var left []string
	entries, err := os.ReadDir(cache)
	for _, f := range entries {
		left = append(left, f.Name())
	}
	if err != nil || !slices.Equal(left, hot) {
		t.Errorf("left %v, %v; want what the application had used, %v: %s", left, err, hot, p.out)
	}
	eventually(t, 30*time.Second, "the hits are published", func() error {
		if n := hits(); n < float64(len(hot)) {
			return fmt.Errorf("%v hits", n)
		}
		return nil
	})
	if n := hits(); n != float64(len(hot)) {
		t.Errorf("%v hits, want the %d of the application", n, len(hot))
	}
}

// accessTimes returns the access times of the files in a folder, in the order of their names.
func accessTimes(t *testing.T, dir string) []unix.Timespec {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []unix.Timespec
	for _, e := range entries {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, e.Name()), &st); err != nil {
			t.Fatal(err)
		}
		out = append(out, st.Atim)
	}
	return out
}
