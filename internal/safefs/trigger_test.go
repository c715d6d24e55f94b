package safefs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTrigger(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	name := filepath.Join(dir, ".attach_pid7")
	tr, err := PlaceTrigger(fd, ".attach_pid7", os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(name); err != nil || st.Size() != 0 || st.Mode() != 0o600 {
		t.Errorf("%v, %v, want an empty file of mode 0600", st, err)
	}
	if _, err := PlaceTrigger(fd, ".attach_pid7", os.Getuid()); err == nil {
		t.Error("what is there was taken over")
	}
	if err := tr.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(name); !os.IsNotExist(err) {
		t.Errorf("it stayed: %v", err)
	}
	if err := tr.Remove(); err != nil {
		t.Errorf("somebody else removed it: %v", err)
	}
}

// What was put in its place, or written into it, stays.
func TestTriggerRemovesOnlyItsOwn(t *testing.T) {
	f := func(change func(name string) error) {
		t.Helper()
		dir := t.TempDir()
		fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		tr, err := PlaceTrigger(fd, "x", os.Getuid())
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, "x")
		if err := change(name); err != nil {
			t.Fatal(err)
		}
		if err := tr.Remove(); err == nil {
			t.Error("it says that it removed its own")
		}
		if _, err := os.Lstat(name); err != nil {
			t.Errorf("what was there is gone: %v", err)
		}
	}
	f(func(name string) error { return os.WriteFile(name, []byte("data"), 0o600) })
	f(func(name string) error {
		other := name + ".other"
		if err := os.WriteFile(other, nil, 0o600); err != nil {
			return err
		}
		return os.Rename(other, name)
	})
	f(func(name string) error {
		if err := os.Rename(name, name+".kept"); err != nil {
			return err
		}
		return os.Symlink("/etc/passwd", name)
	})
}

// A file that cannot be given to the user that it is for does not stay: a virtual machine that does
// not believe it prints its stacks.
func TestTriggerForAnotherUser(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const nobody = 65534
	tr, err := PlaceTrigger(fd, "x", nobody)
	var st unix.Stat_t
	there := unix.Lstat(filepath.Join(dir, "x"), &st) == nil
	switch {
	case err == nil && (!there || st.Uid != nobody):
		t.Errorf("it is of user %d", st.Uid)
	case err == nil:
		if err := tr.Remove(); err != nil {
			t.Error(err)
		}
	case os.Getuid() == 0:
		t.Error(err)
	case there:
		t.Errorf("%v, and the file stays", err)
	}
}
