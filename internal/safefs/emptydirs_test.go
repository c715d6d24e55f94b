package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// later makes a Remover whose clock is an hour ahead: what has been made is old by mtime and ctime.
func later(dir string, change func(*Options)) *Remover {
	return treeRemover(dir, func(o *Options) {
		o.Now = time.Now().Add(time.Hour)
		if change != nil {
			change(o)
		}
	})
}

func makeFolders(t testing.TB, root string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Join(root, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRemoveEmptyDirs(t *testing.T) {
	root := tempDir(t)
	makeFolders(t, root, "a/b/c", "a/b/d", "full/empty", "locked/x", "worked", "open", "keep", "young")
	aged(t, root+"/full/f")
	if err := os.Symlink(root, root+"/linked"); err != nil {
		t.Fatal(err)
	}
	makeHolding(t, root)
	holdElsewhere("lock folder")(t, root+"/locked")
	holdElsewhere("work in")(t, root+"/worked")
	holdElsewhere("open folder")(t, root+"/open")
	ahead := time.Now().Add(time.Hour)
	if err := os.Chtimes(root+"/young", ahead, ahead); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		r := later(root, func(o *Options) { o.DryRun = dry })
		out, err := r.RemoveEmptyDirs(t.Context(), func(path []byte) bool { return string(path) == "keep" || strings.HasSuffix(string(path), "/keep") })
		r.Close()
		// a, a/b, a/b/c, a/b/d, and full/empty.
		if err != nil || out.Removed != 5 || out.Skipped[InUse] != 3 || len(out.Skipped) != 1 {
			t.Errorf("dry run %v: %+v, %v; want 5 removed and 3 in use", dry, out, err)
		}
		for _, gone := range []string{"a", "full/empty"} {
			if exists(root+"/"+gone) != dry {
				t.Errorf("dry run %v: %s exists: %v", dry, gone, !dry)
			}
		}
	}
	for _, stays := range []string{"", "full/f", "locked/x", "worked", "open", "keep", "young", "linked", policy.HoldingName} {
		if !exists(root + "/" + stays) {
			t.Errorf("%q is gone", stays)
		}
	}
	r := treeRemover(root, nil) // now
	defer r.Close()
	makeFolders(t, root, "new")
	if out, err := r.RemoveEmptyDirs(t.Context(), nil); err != nil || out.Removed != 0 || !exists(root+"/new") {
		t.Errorf("of young folders: %+v, %v", out, err)
	}
}

// TestEmptyDirsOfOthers: with root's rights a folder of another user stays.
func TestEmptyDirsOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give folders away")
	}
	root := tempDir(t)
	makeFolders(t, root, "theirs/mine")
	if err := os.Chown(root+"/theirs", 1234, 1234); err != nil {
		t.Fatal(err)
	}
	r := later(root, nil)
	defer r.Close()
	if out, err := r.RemoveEmptyDirs(t.Context(), nil); err != nil || out.Removed != 1 || out.Skipped[Owner] != 1 || !exists(root+"/theirs") {
		t.Errorf("%+v, %v; want the folder of another user kept", out, err)
	}
}

// TestManyEmptyDirs: an emptied folder of 10,000 jobs.
func TestManyEmptyDirs(t *testing.T) {
	root := tempDir(t)
	const n = 10_000
	for i := range n {
		if err := os.Mkdir(fmt.Sprintf("%s/job-%d", root, i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := later(root, nil)
	defer r.Close()
	if out, err := r.RemoveEmptyDirs(t.Context(), nil); err != nil || out.Removed != n || len(names(t, root)) != 0 {
		t.Errorf("%+v, %v, %d are left; want all gone", out, err, len(names(t, root)))
	}
}

// TestEmptyDirsWithMounts: an empty mount point is not a folder of the root.
func TestEmptyDirsWithMounts(t *testing.T) {
	root := tempDir(t)
	withMounts(t, func() {
		if err := os.MkdirAll(root+"/on/mounted", 0o755); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("none", root+"/on/mounted", "tmpfs", 0, ""); err != nil {
			t.Error(err)
			return
		}
		_ = os.Mkdir(root+"/on/mounted/empty", 0o755)
		r := later(root, nil)
		defer r.Close()
		if out, err := r.RemoveEmptyDirs(t.Context(), nil); err != nil || out.Removed != 0 || !exists(root+"/on/mounted/empty") {
			t.Errorf("%+v, %v; want none removed", out, err)
		}
	})
}

// TestEmptyDirsAlongsideAMaker: a program that makes folders, fills them, empties them and uses them again has
// no call fail because a clean-up runs all the time, while folders that it no longer uses go.
func TestEmptyDirsAlongsideAMaker(t *testing.T) {
	root := tempDir(t)
	stop := time.Now().Add(3 * time.Second)
	made := make(chan error, 1)
	rounds := 0
	go func() {
		made <- func() error {
			for ; time.Now().Before(stop); rounds++ {
				dir := fmt.Sprintf("%s/shard%d/job%d/part", root, rounds%4, rounds)
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				for range 3 {
					if err := os.WriteFile(dir+"/f", nil, 0o644); err != nil {
						return err
					}
					if err := os.Remove(dir + "/f"); err != nil {
						return err
					}
				}
			}
			return nil
		}()
	}()
	removed := int64(0)
	for time.Now().Before(stop) {
		r := treeRemover(root, func(o *Options) { o.MinAge = 300 * time.Millisecond })
		out, err := r.RemoveEmptyDirs(t.Context(), nil)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		removed += out.Removed
	}
	if err := <-made; err != nil {
		t.Errorf("after %d rounds: %v (missing: %v)", rounds, err, errors.Is(err, fs.ErrNotExist))
	}
	if removed == 0 {
		t.Error("no folder was removed: the test has tested nothing")
	}
	t.Logf("%d rounds, %d folders removed", rounds, removed)
}
