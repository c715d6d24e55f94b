package safefs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// TestBigTreeThatCannotMove: the first look at a big tree is not at each file. Where it cannot be moved, all of
// it is looked at before the first file goes.
func TestBigTreeThatCannotMove(t *testing.T) {
	root := tempDir(t)
	top := makeJob(t, root, "job")
	tree := treeAt(t, root, "job")
	aged(t, root+"/"+policy.HoldingName+"/theirs") // someone else's folder: none can be made
	try := func(want Reason) {
		t.Helper()
		r := treeRemover(root, nil)
		defer r.Close()
		r.big = 1
		if _, _, why := r.RemoveTree(tree); why != want {
			t.Errorf("%q, want %q", why, want)
		}
	}
	if err := os.Chtimes(top+"/part0/deep/f1", time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	try(TooYoung)
	if n := treeAt(t, root, "job").Files; n != 13 {
		t.Errorf("%d files are left of 13: a part has gone", n)
	}
	age(t, top)
	try(Removed)
	if exists(top) {
		t.Error("the tree is still there")
	}
}

// TestQuiet: a file system is quiet when nothing is known to be open on it, and all locks of the host are known.
func TestQuiet(t *testing.T) {
	dir := tempDir(t)
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	here, _, err := lookAtFolder(fd, "")
	if err != nil {
		t.Fatal(err)
	}
	other := fileID{here.major, here.minor, here.ino + 1}
	away := fileID{here.major, here.minor + 1, here.ino}
	for name, c := range map[string]struct {
		open openFiles
		want bool
	}{
		"nothing":                {openFiles{host: true}, true},
		"on another device":      {openFiles{host: true, files: map[fileID]bool{away: true}, folders: map[fileID]bool{away: true}}, true},
		"our own lock":           {openFiles{host: true, locked: map[fileID]bool{here: true}}, true},
		"an open file":           {openFiles{host: true, files: map[fileID]bool{other: true}}, false},
		"a file of our own":      {openFiles{host: true, own: map[fileID]bool{other: true}}, false},
		"a working directory":    {openFiles{host: true, folders: map[fileID]bool{other: true}}, false},
		"a lock":                 {openFiles{host: true, locked: map[fileID]bool{other: true}}, false},
		"processes of a user":    {openFiles{host: true, hidden: map[uint32]bool{1: true}}, true}, // no name would show it
		"processes of all":       {openFiles{host: true, hidesAll: true}, true},
		"processes of elsewhere": {openFiles{}, false},
	} {
		if got := c.open.quiet(fd); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestIsHost: the processes are those of the host when this one is, or, with the host's /proc in a container, when the first one is.
func TestIsHost(t *testing.T) {
	const elsewhere = "pid:[4026532001]"
	for _, c := range []struct {
		self, first string
		want        bool
	}{
		{hostProcesses, "", true}, // the first one may not be looked into
		{elsewhere, hostProcesses, true},
		{elsewhere, elsewhere, false},
		{elsewhere, "", false},
		{"", "", false},
	} {
		root := t.TempDir()
		for name, of := range map[string]string{"self": c.self, "1": c.first} {
			dir := filepath.Join(root, name, "ns")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if of == "" {
				continue
			}
			if err := os.Symlink(of, filepath.Join(dir, "pid")); err != nil {
				t.Fatal(err)
			}
		}
		if got := isHost(root); got != c.want {
			t.Errorf("self %q, first %q: %v, want %v", c.self, c.first, got, c.want)
		}
		if scanOpenFiles(root).host {
			t.Errorf("self %q, first %q: all locks are known, want that none is: they cannot be read", c.self, c.first)
		}
		if err := os.WriteFile(filepath.Join(root, "locks"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := scanOpenFiles(root).host; got != c.want {
			t.Errorf("self %q, first %q, with locks: %v, want %v", c.self, c.first, got, c.want)
		}
	}
}
