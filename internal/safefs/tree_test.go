package safefs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
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

// age makes all files and folders below a folder, and itself, more than an hour old by mtime.
func age(t testing.TB, dir string) {
	t.Helper()
	at := time.Now().Add(-time.Hour).Truncate(time.Hour) // each time the same
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

// TestTreeInUse: whatever uses something in a tree keeps all of it.
func TestTreeInUse(t *testing.T) {
	for how, at := range map[string]string{
		"read": "f", "write": "part1/deep/f2", "map": "part2/deep/f0", "lock": "part0/deep/f3", "lease": "part0/deep/f1",
		"open folder": "part1", "lock folder": "", "work in": "part2/deep",
	} {
		t.Run(how, func(t *testing.T) {
			root := tempDir(t)
			top := makeJob(t, root, "job")
			holdElsewhere(how)(t, filepath.Join(top, at))
			for _, dry := range []bool{true, false} {
				r := treeRemover(root, func(o *Options) { o.DryRun = dry })
				if freed, files, why := r.RemoveTree(treeAt(t, root, "job")); why != InUse || freed != 0 || files != 0 {
					t.Errorf("dry run %v: freed %d, %d files, %q; want %q", dry, freed, files, why, InUse)
				}
				r.Close()
			}
			whole(t, root, "job")
		})
	}
	t.Run("locked below", func(t *testing.T) {
		root := tempDir(t)
		top := makeJob(t, root, "job")
		holdElsewhere("lock folder")(t, top+"/part1")
		r := treeRemover(root, nil)
		defer r.Close()
		if _, _, why := r.RemoveTree(treeAt(t, root, "job")); why != InUse {
			t.Errorf("%q, want %q", why, InUse)
		}
		whole(t, root, "job")
	})
}

// whole wants a tree of makeJob where it was made, and nothing in the holding folder.
func whole(t *testing.T, root, path string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		t.Errorf("the tree is gone: %v", err)
		return
	}
	if n := treeAt(t, root, path).Files; n != 13 {
		t.Errorf("%d files are left of 13", n)
	}
	if left := heldIn(t, root); len(left) > 0 {
		t.Errorf("left %q in the holding folder", left)
	}
}

// TestTreeStays: what was not meant, or has changed, keeps the whole tree, in a dry run too.
func TestTreeStays(t *testing.T) {
	young := func(path string) error { return os.Chtimes(path, time.Now(), time.Now()) }
	for name, c := range map[string]struct {
		change func(root, top string, tree *Tree) error
		want   Reason
		files  int64
	}{
		"young":        {func(_, top string, _ *Tree) error { return young(top + "/part1/deep/f1") }, TooYoung, 13},
		"young folder": {func(_, top string, _ *Tree) error { return young(top + "/empty/inner") }, TooYoung, 13},
		"future": {func(_, top string, _ *Tree) error {
			at := time.Now().Add(time.Hour)
			return os.Chtimes(top+"/f", at, at)
		}, Future, 13},
		"written since":  {func(_, _ string, tree *Tree) error { tree.NewestNs--; return nil }, Changed, 13},
		"another size":   {func(_, _ string, tree *Tree) error { tree.Bytes++; return nil }, Changed, 13},
		"another number": {func(_, _ string, tree *Tree) error { tree.Files--; return nil }, Changed, 13},
		"another folder": {func(_, _ string, tree *Tree) error { tree.Ino++; return nil }, Changed, 13},
		"another device": {func(_, _ string, tree *Tree) error { tree.Dev++; return nil }, Changed, 13},
		"gone":           {func(_, _ string, tree *Tree) error { tree.Path = "nowhere"; return nil }, Changed, 13},
		"file":           {func(_, _ string, tree *Tree) error { tree.Path = "job/f"; return nil }, Symlink, 13},
		"link": {func(_, top string, tree *Tree) error {
			tree.Path = "to"
			return os.Symlink(top, filepath.Dir(top)+"/to")
		}, Symlink, 13},
		"through a link": {func(_, top string, tree *Tree) error {
			tree.Path = "to/part1"
			return os.Symlink(top, filepath.Dir(top)+"/to")
		}, Symlink, 13},
		"root":               {func(_, _ string, tree *Tree) error { tree.Path = ""; return nil }, NotRegular, 13},
		"dot":                {func(_, _ string, tree *Tree) error { tree.Path = "job/.."; return nil }, NotRegular, 13},
		"the holding folder": {func(_, _ string, tree *Tree) error { tree.Path = policy.HoldingName; return nil }, NotRegular, 13},
		"in it":              {func(_, _ string, tree *Tree) error { tree.Path = policy.HoldingName + "/x"; return nil }, NotRegular, 13},
		"fifo":               {func(_, top string, _ *Tree) error { defer age(t, top); return unix.Mkfifo(top+"/part1/fifo", 0o644) }, NotRegular, 13},
		"socket": {func(_, top string, _ *Tree) error {
			defer age(t, top)
			return unix.Mknod(top+"/s", unix.S_IFSOCK|0o644, 0)
		}, NotRegular, 13},
		"linked from outside": {func(root, top string, _ *Tree) error { return os.Link(top+"/f", root+"/other") }, Hardlink, 13},
		"immutable":           {immutable("part1/deep/f1"), "error_EPERM", 13},
		"immutable folder":    {immutable("part1/deep"), "error_EPERM", 13},
	} {
		t.Run(name, func(t *testing.T) {
			root := tempDir(t)
			top := makeJob(t, root, "job")
			tree := treeAt(t, root, "job")
			if strings.HasPrefix(name, "immutable") && strings.Contains(os.Getenv(refuse.Variable), "statx") {
				t.Skip("fstat does not say so")
			}
			if err := c.change(root, top, &tree); err != nil {
				t.Skip(err)
			}
			t.Cleanup(func() { setFlags(top+"/part1/deep/f1", 0); setFlags(top+"/part1/deep", 0) })
			if name == "linked from outside" {
				age(t, top)
			}
			for _, dry := range []bool{true, false} {
				r := treeRemover(root, func(o *Options) { o.DryRun = dry })
				if freed, files, why := r.RemoveTree(tree); why != c.want || freed != 0 || files != 0 {
					t.Errorf("dry run %v: freed %d, %d files, %q; want %q", dry, freed, files, why, c.want)
				}
				r.Close()
			}
			whole(t, root, "job")
		})
	}
}

func setFlags(path string, flags int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
}

func immutable(path string) func(string, string, *Tree) error {
	return func(_, top string, _ *Tree) error {
		return setFlags(filepath.Join(top, path), unix.STATX_ATTR_IMMUTABLE)
	}
}

// TestTreeWithLinksInside: a file whose links all lie in the tree goes with it and counts once.
func TestTreeWithLinksInside(t *testing.T) {
	root := tempDir(t)
	top := makeJob(t, root, "job")
	if err := os.Link(top+"/f", top+"/part1/again"); err != nil {
		t.Fatal(err)
	}
	age(t, top)
	r := treeRemover(root, nil)
	defer r.Close()
	if freed, files, why := r.RemoveTree(treeAt(t, root, "job")); why != Removed || freed != 13*4096 || files != 14 {
		t.Errorf("freed %d, %d files, %q; want 14 files of 13 blocks", freed, files, why)
	}
}

// TestTreeOwner: with root's rights a tree goes only when all of it belongs to the root's owner.
func TestTreeOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	for _, at := range []string{"", "part1", "part1/deep/f1"} {
		root := tempDir(t)
		top := makeJob(t, root, "job")
		if err := os.Chown(filepath.Join(top, at), 1234, 1234); err != nil {
			t.Fatal(err)
		}
		r := treeRemover(root, nil)
		if _, _, why := r.RemoveTree(treeAt(t, root, "job")); why != Owner {
			t.Errorf("%q of another user: %q, want %q", at, why, Owner)
		}
		r.Close()
		whole(t, root, "job")
		r = treeRemover(root, func(o *Options) { o.Owners = []uint32{1234} })
		if _, _, why := r.RemoveTree(treeAt(t, root, "job")); why != Removed {
			t.Errorf("%q of a user that is listed: %q", at, why)
		}
		r.Close()
	}
}

// TestTreeIntoQuarantine: a tree is kept in the quarantine as a whole.
func TestTreeIntoQuarantine(t *testing.T) {
	base := tempDir(t)
	root, quarantine := base+"/up", base+"/q"
	if err := os.Mkdir(quarantine, 0o700); err != nil {
		t.Fatal(err)
	}
	makeJob(t, root, "job")
	for _, dry := range []bool{true, false} {
		r := treeRemover(root, func(o *Options) { o.Quarantine, o.DryRun = quarantine, dry })
		if freed, files, why := r.RemoveTree(treeAt(t, root, "job")); why != Removed || freed != 0 || files != 13 {
			t.Errorf("dry run %v: freed %d, %d files, %q; want 13 files and nothing freed", dry, freed, files, why)
		}
		r.Close()
	}
	kept, _ := filepath.Glob(quarantine + "/*-job")
	if len(kept) != 1 || treeAt(t, kept[0], ".").Files != 13 || exists(root+"/job") {
		t.Errorf("in the quarantine: %q, want the tree", kept)
	}
}

// TestBigTree: two workers, and a first look at the names alone.
func TestBigTree(t *testing.T) {
	root := tempDir(t)
	const n = 2000
	for i := range n {
		path := fmt.Sprintf("%s/job/%d/%d", root, i/50, i)
		if i%50 == 0 {
			os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	age(t, root+"/job")
	tree := treeAt(t, root, "job")
	try := func(want Reason) (freed, files int64) {
		t.Helper()
		r := treeRemover(root, nil)
		defer r.Close()
		r.big, r.small = n, 0
		freed, files, why := r.RemoveTree(tree)
		if why != want {
			t.Errorf("%q, want %q", why, want)
		}
		return freed, files
	}
	held, err := os.Open(root + "/job/3/160")
	if err != nil {
		t.Fatal(err)
	}
	try(InUse)
	held.Close()
	os.WriteFile(root+"/job/7/360", []byte("content"), 0o644) // the names say nothing of it
	try(TooYoung)
	os.WriteFile(root+"/job/7/360", nil, 0o644)
	age(t, root+"/job")
	os.WriteFile(root+"/job/7/new", nil, 0o644)
	try(TooYoung)
	os.Remove(root + "/job/7/new")
	age(t, root+"/job")
	if _, files := try(Removed); files != n || exists(root+"/job") {
		t.Errorf("%d files went, want all", files)
	}
	if left := heldIn(t, root); len(left) > 0 {
		t.Errorf("left %q in the holding folder", left)
	}
}
