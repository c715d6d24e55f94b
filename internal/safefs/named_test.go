package safefs

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// TestEachChangeOfANameIsSeen: on the file systems of isNamed a file whose name is taken away, exchanged or
// replaced, or that gets or loses one, has another ctime than a file that nothing has happened to since the coarsest step.
func TestEachChangeOfANameIsSeen(t *testing.T) {
	for name, kind := range map[string]struct {
		mkfs []string // nil: a tmpfs
		size int64
	}{
		"tmpfs":             {},
		"ext4":              {mkfs: []string{"mkfs.ext4", "-q"}, size: 64 << 20},
		"ext4 small inodes": {mkfs: []string{"mkfs.ext4", "-q", "-I", "128"}, size: 64 << 20}, // whole seconds
		"btrfs":             {mkfs: []string{"mkfs.btrfs", "-q"}, size: 128 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			image, dir := tempDir(t)+"/image", tempDir(t)
			if kind.mkfs != nil {
				if _, err := exec.LookPath(kind.mkfs[0]); err != nil {
					t.Skip(err)
				}
				if err := os.WriteFile(image, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(image, kind.size); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.Command(kind.mkfs[0], append(kind.mkfs[1:], image)...).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", kind.mkfs[0], err, out)
				}
			}
			withMounts(t, func() {
				mount := exec.Command("mount", "-t", "tmpfs", "none", dir)
				if kind.mkfs != nil {
					mount = exec.Command("mount", "-o", "loop", image, dir)
				}
				if out, err := mount.CombinedOutput(); err != nil {
					t.Errorf("mount: %v: %s", err, out)
					return
				}
				seesChanges(t, dir)
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func seesChanges(t *testing.T, dir string) {
	changes := map[string]func(path string) error{
		"renamed":          func(path string) error { return os.Rename(path, path+".away") },
		"renamed and back": func(path string) error { os.Rename(path, path+".away"); return os.Rename(path+".away", path) },
		"exchanged": func(path string) error {
			return unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, path+".other", unix.RENAME_EXCHANGE)
		},
		"replaced":                 func(path string) error { return os.Rename(path+".other", path) },
		"moved to another folder":  func(path string) error { return os.Rename(path, dir+"/sub/away") },
		"linked":                   func(path string) error { return os.Link(path, path+".link") },
		"linked and unlinked":      func(path string) error { os.Link(path, path+".link"); return os.Remove(path + ".link") },
		"linked, first name taken": func(path string) error { os.Link(path, path+".link"); return os.Remove(path) },
	}
	os.Mkdir(dir+"/sub", 0o755)
	files := map[string]*os.File{}
	for name := range changes {
		aged(t, dir+"/"+name+".other")
		aged(t, dir+"/"+name)
		files[name] = keepOpen(t, dir+"/"+name, os.O_RDONLY)
	}
	defer func() { // or the file system stays
		for _, f := range files {
			f.Close()
		}
	}()
	look := func(f *os.File) Identity {
		var st unix.Statx_t
		if err := statAt(int(f.Fd()), thisFD, &st); err != 0 {
			t.Fatal(err)
		}
		return Identity{st.Ino, st.Dev_major, st.Dev_minor, int64(st.Size), dirscan.Nanoseconds(&st.Mtime), dirscan.Nanoseconds(&st.Ctime)}
	}
	was := map[string]Identity{}
	r := NewRemover(Options{Dir: dir})
	defer r.Close()
	for name, f := range files {
		was[name] = look(f)
		r.stacked(int(f.Fd()))
	}
	r.leased = true
	r.opts.Now = time.Now()
	for name := range files {
		if r.isNamed(was[name]) {
			t.Errorf("%s: a change of this moment is taken for one of long ago", name)
		}
	}
	for until := time.Now().Add(2 * coarsest); !r.isNamed(was["renamed"]); r.opts.Now = time.Now() {
		if time.Now().After(until) {
			t.Fatal("this file system is not among those whose names are known")
		}
		waitFor(20 * time.Millisecond)
	}
	for name, change := range changes {
		if err := change(dir + "/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if look(files[name]) == was[name] {
			t.Errorf("%s: nothing of the file has changed", name)
		}
	}
}

func waitFor(d time.Duration) { <-time.After(d) }
