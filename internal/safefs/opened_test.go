package safefs

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// openedAs opens a folder as that of a process.
func openedAs(dir *string, of *string, owns func(uint32) bool) func() (dirscan.Opened, error) {
	return func() (dirscan.Opened, error) {
		fd, err := dirscan.OpenRoot(*dir)
		return dirscan.Opened{FD: fd, Name: "/tmp as a sees it", Of: *of, Place: "/proc/7/root/tmp", Owns: owns}, err
	}
}

// TestOpenRoot: a run that opens its root by other means uses no path of it.
func TestOpenRoot(t *testing.T) {
	dir, of := tempDir(t), "process 7"
	aged(t, dir+"/a")
	aged(t, dir+"/sub/b")
	makeHolding(t, dir)
	aged(t, dir+"/"+policy.HoldingName+"/left")
	o := Options{Dir: "/not/a/path", OpenRoot: openedAs(&dir, &of, nil), Strict: true}
	r := NewRemover(o)
	defer r.Close()
	if err := r.Open(); err != nil || r.Place() != "/proc/7/root/tmp" {
		t.Errorf("%v, %q", err, r.Place())
	}
	if n, err := r.Leftovers(); n != 1 || err != nil {
		t.Errorf("%d left over, %v", n, err)
	}
	if err := os.Remove(dir + "/" + policy.HoldingName + "/left"); err != nil {
		t.Fatal(err)
	}
	if n, err := clean(t, o, nil); n != 2 || err != nil || exists(dir+"/a") || exists(dir+"/sub/b") {
		t.Errorf("%d removed, %v, want 2", n, err)
	}
	o.OpenRoot = func() (dirscan.Opened, error) { return dirscan.Opened{}, dirscan.ErrAway }
	if _, err := clean(t, o, nil); !errors.Is(err, dirscan.ErrAway) {
		t.Errorf("%v", err)
	}
}

// TestForeignFilesStay: in a folder that a user namespace shows, what belongs to others stays.
func TestForeignFilesStay(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("files of another user cannot be made")
	}
	dir, of := tempDir(t), "process 7"
	aged(t, dir+"/mine.log")
	aged(t, dir+"/theirs.log")
	if err := os.Chown(dir+"/mine.log", 4242, 4242); err != nil {
		t.Fatal(err)
	}
	open := openedAs(&dir, &of, func(uid uint32) bool { return uid == 4242 })
	for _, dry := range []bool{true, false} {
		r := NewRemover(Options{OpenRoot: open, DryRun: dry, Now: time.Now(), AgeNs: byMtime})
		rotator := NewRotator(RotateOptions{DryRun: dry, Now: rotatedAt, Remover: r, Oversize: func(int64, int64) bool { return true }})
		seen := make(map[string]Reason)
		_, err := r.Scan(t.Context(), dirscan.Options{Visit: func(e *dirscan.Entry) error {
			if name := string(e.Name); name == "theirs.log" {
				_, seen["rotated"] = rotator.CopyTruncate(t.Context(), e)
				_, seen["renamed"] = rotator.Rename(e)
				found := r.Find(e)
				_, seen["found"] = r.RemoveFound(found)
				_, seen["removed"] = r.Remove(e)
			} else {
				_, seen["mine"] = r.Remove(e)
			}
			return nil
		}})
		r.Close()
		for what, why := range seen {
			if want := map[bool]Reason{true: Removed, false: Foreign}[what == "mine"]; why != want {
				t.Errorf("dry run %v, %s: %q, want %q", dry, what, why, want)
			}
		}
		if err != nil || len(seen) != 5 || !exists(dir+"/theirs.log") || exists(dir+"/mine.log") != dry {
			t.Errorf("dry run %v: %v, %v", dry, seen, err)
		}
	}
}

// check compares what is opened, as a scan does.
func check(known *Roots, open func() (dirscan.Opened, error)) error {
	o, err := open()
	if err != nil {
		return err
	}
	defer unix.Close(o.FD)
	return known.Compare(&o)
}

// TestRootsOfProcesses: a folder is remembered for as long as it is of the same process.
func TestRootsOfProcesses(t *testing.T) {
	top := tempDir(t)
	dir, other, of := top+"/one", top+"/two", "process 7"
	aged(t, dir+"/a")
	aged(t, other+"/b")
	appeared := 0
	known := NewRoots(nil, func(string, RootID) { appeared++ })
	open := openedAs(&dir, &of, nil)
	if err := check(known, open); err != nil {
		t.Fatal(err)
	}
	before := NewRoots(nil, nil)
	_ = check(before, open)
	dir, other = other, dir
	err := check(known, open)
	if !isExchanged(err) || !strings.Contains(err.Error(), `the folder "/tmp as a sees it" is not the one that was first seen of process 7: inode `) {
		t.Errorf("another folder of the same process: %v", err)
	}
	if n, err := clean(t, Options{Dir: "/tmp", OpenRoot: open, Roots: known}, nil); n != 0 || !isExchanged(err) {
		t.Errorf("%d removed, %v, want it refused", n, err)
	}
	of = "process 9"
	if n, err := clean(t, Options{Dir: "/tmp", OpenRoot: open, Roots: known}, nil); n != 1 || err != nil {
		t.Errorf("of another process: %d removed, %v, want 1", n, err)
	}
	if changed := known.Changed(before); len(changed) != 0 {
		t.Errorf("%q are reported as accepted", changed)
	}
	dir = other
	if err := check(known, open); !isExchanged(err) {
		t.Errorf("another folder of the second process: %v", err)
	}
	if appeared != 0 {
		t.Errorf("%d folders were announced as appeared", appeared)
	}
}

func TestCheckInside(t *testing.T) {
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/tmp/x", "/app", "/srv/x", "/usr/local/x", "/data", "/home/x/y"} {
		if err := CheckInside(dir); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
	for dir, want := range map[string]string{
		"/": "system directory", "/etc/x": "system directory", "/usr": "system directory", "/usr/lib/x": "system directory", "/var/lib": "system directory",
		"/proc/1": "system directory", "/home/x": "home directory", "x": "not absolute", "/x/": `write "/x"`,
	} {
		if err := CheckInside(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
}
