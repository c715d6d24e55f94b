package safefs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// treeAt makes the Tree of a folder as a scan would, by mtime.
func treeAt(t testing.TB, root, path string) Tree {
	t.Helper()
	tree := Tree{Path: path}
	top := filepath.Join(root, path)
	var st unix.Stat_t
	if err := unix.Stat(top, &st); err != nil {
		t.Fatal(err)
	}
	tree.Dev, tree.Ino = st.Dev, st.Ino
	if err := filepath.WalkDir(top, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			tree.Files++
			tree.Bytes += info.Size()
		}
		if info.Mode().IsRegular() || info.IsDir() {
			tree.NewestNs = max(tree.NewestNs, info.ModTime().UnixNano())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return tree
}

// age makes all files and folders below a folder, and itself, an hour old by mtime.
func age(t testing.TB, dir string) {
	t.Helper()
	at := time.Now().Add(-time.Hour)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(path, at, at)
	}); err != nil {
		t.Fatal(err)
	}
}

// makeJob makes an old tree of a few folders and files, with links that lead nowhere and elsewhere.
func makeJob(t testing.TB, root, name string) string {
	t.Helper()
	top := filepath.Join(root, name)
	for i := range 3 {
		for j := range 4 {
			aged(t, fmt.Sprintf("%s/part%d/deep/f%d", top, i, j))
		}
	}
	aged(t, top+"/f")
	os.Symlink("/etc/passwd", top+"/link")
	os.Symlink("/nowhere", top+"/part1/dangling")
	if err := os.MkdirAll(top+"/empty/inner", 0o755); err != nil {
		t.Fatal(err)
	}
	age(t, top)
	return top
}

func treeRemover(root string, change func(*Options)) *Remover {
	o := Options{Dir: root, MinAge: time.Minute, AgeNs: byMtime, Now: time.Now()}
	if change != nil {
		change(&o)
	}
	return NewRemover(o)
}

// held returns what the holding folder of a root holds.
func heldIn(t testing.TB, root string) []string {
	t.Helper()
	var out []string
	entries, _ := os.ReadDir(filepath.Join(root, policy.HoldingName))
	for _, e := range entries {
		if e.Name() != policy.HoldingMarker {
			out = append(out, e.Name())
		}
	}
	return out
}

func TestRemoveTree(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"dry run": func(o *Options) { o.DryRun = true }, "run": nil, "without the in-use check": func(o *Options) { o.NoInUse = true },
	} {
		root := tempDir(t)
		top := makeJob(t, root, "jobs/42")
		aged(t, root+"/jobs/other")
		r := treeRemover(root, change)
		defer r.Close()
		freed, files, why := r.RemoveTree(treeAt(t, root, "jobs/42"))
		if why != Removed || files != 13 || freed != 13*4096 {
			t.Errorf("%s: freed %d, %d files, %q; want 13 files of a block each", name, freed, files, why)
		}
		if exists(top) != r.opts.DryRun || !exists(root+"/jobs/other") || !exists("/etc/passwd") {
			t.Errorf("%s: the tree exists: %v", name, exists(top))
		}
		if left := heldIn(t, root); len(left) > 0 {
			t.Errorf("%s: left %q in the holding folder", name, left)
		}
	}
}

var _ = dirscan.ErrStop
