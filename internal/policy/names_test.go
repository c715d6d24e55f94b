package policy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// populate makes files, with the folders they lie in, and returns the root.
func populate(t testing.TB, files ...string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// walk returns the files of a policy, and the folders that were entered.
func walk(t testing.TB, dir string, c *Common, workers int) (files, folders []string) {
	t.Helper()
	names, err := c.Compile()
	if err != nil {
		t.Fatal(err)
	}
	res, err := dirscan.Scan(t.Context(), dirscan.Options{
		Dir: dir, Recursive: true, Select: names.Select, Except: names.Except(), Skip: names.SkipFolder, Workers: workers,
		Visit: func(e *dirscan.Entry) error {
			files = append(files, string(e.AppendPath(nil)))
			if folder := filepath.Dir(files[len(files)-1]); !slices.Contains(folders, folder) {
				folders = append(folders, folder)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Files != int64(len(files)) {
		t.Errorf("%d files are counted and %d visited", res.Files, len(files))
	}
	slices.Sort(files)
	return files, folders
}

// TestNamesOfCaches: what include takes of the names that real caches have.
func TestNamesOfCaches(t *testing.T) {
	f := func(include []string, taken, kept, others string) {
		t.Helper()
		n, err := (&Common{Include: include, Keep: []string{"kept*"}}).Compile()
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range []struct {
			names          string
			selected, kept bool
		}{{taken, true, false}, {kept, false, true}, {others, false, false}} {
			for name := range strings.FieldsSeq(list.names) {
				if s, k := n.Select([]byte(name)), n.Kept([]byte(name)); s != list.selected || k != list.kept {
					t.Errorf("include %q: %s is selected: %v, kept: %v, want %v, %v", include, name, s, k, list.selected, list.kept)
				}
			}
		}
	}
	const books = "CACHEDIR.TAG lock LOCK index the-real-index ccache.conf stats a.lock live.m3u8 live.mpd"
	const dotted = ".gitkeep .gitignore .htaccess .nfs000000000012ab3400000001 .a.lock .cache-index.json .hidden"
	f([]string{"*"}, "a a.wav f_000001 locks clock stats2 db.locked", books+" "+dotted+" kept kept.wav", "")
	f([]string{"**", "?*"}, "a", books+" "+dotted, "")
	f([]string{"*", ".*"}, "a .hidden", books+" .gitkeep .gitignore .htaccess .nfs0001 .a.lock kept", "")
	f([]string{"*", "*.lock", "index"}, "a a.lock index", "lock stats live.mpd .a.lock", "")
	f([]string{"*.lock", "C*"}, "a.lock CACHEDIR.TAG", ".a.lock", "lock a .gitkeep index")
	f([]string{".nfs*", ".gitkeep", `\.x`}, ".nfs1 .gitkeep .x", "", "a .a lock")
	f([]string{"[.]a", "?b", "*c"}, "xb xc", ".b .c", ".d xd")
	f(everyName, "a .a .a.lock lock LOCK index stats live.m3u8 .live.m3u8 live.mpd index.json .nfs1", ".htaccess CACHEDIR.TAG .gitkeep", "")
}

// TestIndexInTheRoot: a cache's own index stays, and files of that name further down are content.
func TestIndexInTheRoot(t *testing.T) {
	dir := populate(t, "index.json", ".cache-index.json", "media-index.json", "a.json", "sub/index.json", "sub/.x-index.json", "sub/b.json")
	f := func(include []string, want ...string) {
		t.Helper()
		got, _ := walk(t, dir, &Common{Include: include}, 1)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("include %q (-want +got):\n%s", include, diff)
		}
	}
	f([]string{"*"}, "a.json", "sub/b.json", "sub/index.json")
	f([]string{"*.json"}, "a.json", "sub/b.json", "sub/index.json")
	f([]string{"*", ".*"}, "a.json", "sub/.x-index.json", "sub/b.json", "sub/index.json")
	f([]string{"*-index.json"}, "media-index.json")
	f([]string{"index.json", "a*"}, "a.json", "index.json", "sub/index.json")
	for _, include := range [][]string{{"*.wav"}, {"*.mp4", "tts-*.wav"}, {"*index*"}} {
		if n, err := (&Common{Include: include}).Compile(); err != nil || n.Except() != nil {
			t.Errorf("%q: %v, and each file is asked about although no index can match", include, err)
		}
	}
}

// TestLooksLikeIndex warns of databases, and not of content.
func TestLooksLikeIndex(t *testing.T) {
	for name, want := range map[string]bool{
		"CURRENT": true, "MANIFEST-000004": true, "000005.ldb": true, "a.sqlite": true, "a.db": true, "a.db-wal": true, "data_1": true, "x-index.json": true,
		"index": true, "a.lock": true, "a.wav": false, "current": false, "f_000001": false, "db": false, "wal": false,
	} {
		if got := LooksLikeIndex([]byte(name)); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNamesAllocateNothing(t *testing.T) {
	n, err := (&Common{Include: []string{"*"}, Exclude: []string{"a/*.tmp", "b/**/c/*", "*.keep"}}).Compile()
	if err != nil {
		t.Fatal(err)
	}
	dir := populate(t, "a/x", "b/d/c/y", "z")
	except := n.Except()
	allocs := -1.0
	if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Recursive: true, Visit: func(e *dirscan.Entry) error {
		allocs = max(allocs, testing.AllocsPerRun(100, func() { _ = n.Select(e.Name) && except(e.Parent, e.Name) }))
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	if allocs != 0 {
		t.Errorf("%v allocations for a file", allocs)
	}
}
