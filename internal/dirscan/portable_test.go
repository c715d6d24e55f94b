//go:build portable

package dirscan

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

// TestPortable walks one tree with everything in it by the walker of other systems.
func TestPortable(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1_600_000_000, 0)
	put := func(name string, size int) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 * listAtOnce {
		put(fmt.Sprintf("many/%d.bin", i), 2)
	}
	put("a.bin", 10)
	put("sub/deep/b.bin", 0)
	put("sub/c.txt", 99)
	put("skipped/d.bin", 99)
	put("\xff\n-.bin", 1)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "x.bin"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{outside: "link", filepath.Join(outside, "x.bin"): "link.bin"} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo.bin"), 0o600); err != nil {
		t.Fatal(err)
	}
	scan := func(change func(*Options)) (Result, []string) {
		t.Helper()
		var seen []string
		o := Options{
			Dir: dir, Recursive: true, Select: func(n []byte) bool { return filepath.Ext(string(n)) == ".bin" },
			Skip:  func(_ *Folder, n []byte) bool { return string(n) == "skipped" || string(n) == "many" },
			Visit: func(e *Entry) error { seen = append(seen, string(e.AppendPath(nil))); return nil },
		}
		change(&o)
		res, err := Scan(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(seen)
		return res, seen
	}
	res, seen := scan(func(*Options) {})
	if want := []string{"a.bin", "sub/deep/b.bin", "\xff\n-.bin"}; !slices.Equal(seen, want) {
		t.Errorf("files %q, want %q", seen, want)
	}
	if res.Files != 3 || res.EmptyFiles != 1 || res.SizeBytes != 11 || res.Folders != 3 || res.OldestNs != old.UnixNano() || res.Skipped[SkipNotRegular] != 1 || res.Skipped[SkipSymlink] != 1 {
		t.Errorf("%+v", res)
	}
	if res, seen := scan(func(o *Options) {
		o.Except = func(in *Folder, n []byte) bool { return in.Depth() == 2 || string(n) == "a.bin" }
	}); res.Files != 1 || len(seen) != 1 || seen[0] != "\xff\n-.bin" {
		t.Errorf("with exceptions: %q, %+v", seen, res)
	}
	if res, seen := scan(func(o *Options) { o.Skip = nil; o.CountOnly = true }); res.Files != 4+3*listAtOnce || len(seen) != 0 {
		t.Errorf("counted %d, want %d", res.Files, 4+3*listAtOnce)
	}
	if res, _ := scan(func(o *Options) { o.MaxDepth = 1 }); res.Skipped[SkipDepth] != 1 || res.Files != 2 {
		t.Errorf("one level: %+v", res)
	}
	if res, _ := scan(func(o *Options) { o.Recursive = false }); res.Files != 2 || res.Folders != 1 {
		t.Errorf("the root alone: %+v", res)
	}
	if res, seen := scan(func(o *Options) { o.Visit = func(*Entry) error { return ErrStop } }); res.Files != 1 || len(seen) != 0 {
		t.Errorf("stopped: %+v", res)
	}
	if _, err := Scan(t.Context(), Options{Dir: filepath.Join(dir, "link")}); !errors.Is(err, ErrSymlink) {
		t.Errorf("a root that is a link: %v", err)
	}
	if _, err := Scan(t.Context(), Options{Dir: filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a root that does not exist: %v", err)
	}
}

// TestPortableExchange swaps a folder with a link to another one while it is walked: nothing
// behind the link is ever seen.
func TestPortableExchange(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(outside, "secret"), nil, 0o644), os.Mkdir(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "sub", "mine"), nil, 0o644), os.Symlink(outside, filepath.Join(dir, "other"))); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, "sub"), unix.AT_FDCWD, filepath.Join(dir, "other"), unix.RENAME_EXCHANGE)
			}
		}
	}()
	for range 500 {
		if _, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Visit: func(e *Entry) error {
			if string(e.Name) == "secret" {
				t.Errorf("%s is seen through a link", e.AppendPath(nil))
			}
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-done
}
