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

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

func TestCheckQuarantine(t *testing.T) {
	top := tempDir(t)
	for _, sub := range []string{"up/in", "q", "open"} {
		if err := os.MkdirAll(filepath.Join(top, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(top+"/q", top+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(top+"/open", 0o707); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(top+"/team", 0o700), os.Chmod(top+"/team", 0o770), os.Mkdir(top+"/theirs", 0o700)); err != nil {
		t.Fatal(err)
	}
	f := func(dir, quarantine, want string) {
		t.Helper()
		err := CheckQuarantine(hostfs.Roots{}, dir, quarantine, top+"/journal")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s for %s: %v, want %q", quarantine, dir, err, want)
		}
	}
	f(top+"/up", top+"/q", "")
	f(top+"/later", top+"/q", "")
	f(top+"/up", top+"/up", "share files")
	f(top+"/up", top+"/up/in", "share files")
	f(top+"/up/in", top+"/up", "share files")
	f(top+"/up", top+"/link", "write \""+top+"/q\"")
	f(top+"/up", top+"/open", "chmod 0700")
	f(top+"/up", top+"/team", "can be written by its group")
	f(top+"/up", top+"/journal", "exporter's own folder")
	f(top+"/up", "/etc/q", "system directory")
	if err := CheckQuarantine(hostfs.Roots{}, top+"/up", top+"/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a quarantine that does not exist: %v, want fs.ErrNotExist", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(top+"/theirs", 65533, 65533); err != nil {
			t.Fatal(err)
		}
		f(top+"/up", top+"/theirs", "belongs to user 65533, who could move the files back")
		r := NewRemover(Options{Dir: top + "/up", Quarantine: top + "/theirs"})
		if _, err := r.openInto(); !errors.Is(err, unix.EPERM) { // it was given away since it was checked
			t.Errorf("a quarantine of another user was opened: %v", err)
		}
		r.Close()
	}
	withMounts(t, func() {
		if err := unix.Mount("none", top+"/q", "tmpfs", 0, "mode=0700"); err != nil {
			t.Error(err)
			return
		}
		f(top+"/up", top+"/q", "on another filesystem")
		if err := unix.Unmount(top+"/q", 0); err != nil {
			t.Error(err)
		}
		if err := unix.Mount(top+"/q", top+"/q", "", unix.MS_BIND, ""); err != nil { // the same device, and rename(2) refuses it
			t.Error(err)
			return
		}
		f(top+"/up", top+"/q", "on another filesystem")
	})
}

// quarantined returns the names in the quarantine without what they begin with.
func quarantined(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		parts := strings.SplitN(e.Name(), "-", 3)
		if len(parts) != 3 || len(e.Name()) > maxName {
			t.Errorf("%q is not time, inode and name", e.Name())
			continue
		}
		out = append(out, parts[2])
	}
	return out
}

func TestMoveIntoQuarantine(t *testing.T) {
	top := tempDir(t)
	dir, q := top+"/up", top+"/q"
	long := strings.Repeat("x", 250) + ".mp4"
	for _, name := range []string{"a.mp4", "sub/a.mp4", "-b\n\xff", long, "held"} {
		aged(t, dir+"/"+name)
	}
	if err := os.Mkdir(q, 0o700); err != nil {
		t.Fatal(err)
	}
	keepOpen(t, dir+"/held", os.O_WRONLY)
	o := Options{Dir: dir, MinAge: time.Minute, Quarantine: q}
	want := map[string]Reason{"a.mp4": Removed, "sub/a.mp4": Removed, "-b\n\xff": Removed, long: Removed, "held": InUse}
	both(t, o, want)
	got := quarantined(t, q)
	if len(got) != 4 || strings.Count(strings.Join(got, "|"), "a.mp4") != 2 {
		t.Errorf("in the quarantine: %q", got)
	}
	for _, name := range got {
		if len(name) > 200 && !strings.HasSuffix(long, name) {
			t.Errorf("of a long name %q is kept, want its end", name)
		}
	}
	if !exists(dir+"/held") || exists(dir+"/a.mp4") {
		t.Error("a file that is held is gone, or one that is not stays")
	}
}

func TestMoveFreesNothing(t *testing.T) {
	top := tempDir(t)
	aged(t, top+"/up/a")
	if err := os.Mkdir(top+"/q", 0o700); err != nil {
		t.Fatal(err)
	}
	r := NewRemover(Options{Dir: top + "/up", Quarantine: top + "/q", Now: time.Now(), AgeNs: byMtime})
	defer r.Close()
	if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: top + "/up", Visit: func(e *dirscan.Entry) error {
		if freed, why := r.Remove(e); freed != 0 || why != Removed {
			t.Errorf("a move frees %d, %q", freed, why)
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
}

// What is exchanged in the last moment is moved back, and nothing in the quarantine is overwritten.
func TestMoveBack(t *testing.T) {
	top := tempDir(t)
	dir, q := top+"/up", top+"/q"
	aged(t, dir+"/a")
	if err := os.Mkdir(q, 0o700); err != nil {
		t.Fatal(err)
	}
	r := NewRemover(Options{Dir: dir, Quarantine: q, Now: time.Now(), AgeNs: byMtime})
	defer r.Close()
	var id Identity
	if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Visit: func(e *dirscan.Entry) error {
		id = IdentityOf(e)
		r.name = append([]byte("a"), 0)
		// After the last look at the name, before the move.
		if err := os.Rename(dir+"/a", dir+"/old"); err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/a", []byte("precious"), 0o600); err != nil {
			return err
		}
		if why := r.moveOut(e.Parent.FD(), id); why != Changed {
			t.Errorf("a file that was exchanged: %q, want %q", why, Changed)
		}
		if raw, err := os.ReadFile(dir + "/a"); string(raw) != "precious" {
			t.Errorf("it is not back: %q, %v", raw, err)
		}
		if got := quarantined(t, q); len(got) != 0 {
			t.Errorf("it stays in the quarantine: %q", got)
		}
		// A name that is taken in the quarantine stays as it is.
		taken := filepath.Join(q, r.quarantineName(id))
		if err := os.WriteFile(taken, []byte("first"), 0o600); err != nil {
			return err
		}
		if why := r.moveOut(e.Parent.FD(), id); why != "error_EEXIST" {
			t.Errorf("onto a name that is taken: %q", why)
		}
		if raw, err := os.ReadFile(taken); string(raw) != "first" {
			t.Errorf("what was in the quarantine is %q, %v", raw, err)
		}
		return dirscan.ErrStop
	}}); err != nil {
		t.Fatal(err)
	}
}

// A dry run says what a run would meet: a quarantine that may not be written to, or is gone.
func TestMoveIsForeseen(t *testing.T) {
	top := tempDir(t)
	for _, d := range []string{filepath.Dir(top), top} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	aged(t, top+"/up/a")
	both(t, Options{Dir: top + "/up", Quarantine: top + "/none"}, map[string]Reason{"a": "error_ENOENT"})
	if err := os.Mkdir(top+"/q", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/up", "/up/a"} {
		if err := os.Chown(top+path, 65534, 65534); err != nil {
			t.Skip("needs root to give files away")
		}
	}
	asNobody(t, func() {
		both(t, Options{Dir: top + "/up", Quarantine: top + "/q"}, map[string]Reason{"a": "error_EACCES"})
	})
}

// TestQuarantineBesideAWriter: an upload that is written while runs try to move it is moved once,
// whole, after its writer has closed it.
func TestQuarantineBesideAWriter(t *testing.T) {
	top := tempDir(t)
	dir, q := top+"/up", top+"/q"
	for _, d := range []string{dir, q} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	path := dir + "/film"
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 50 {
		line := fmt.Sprintf("part %d\n", i)
		want.WriteString(line)
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Hour) // a writer that lies about its times
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		if got := removeAll(t, Options{Dir: dir, Quarantine: q}, nil); got["film"] != InUse {
			t.Fatalf("part %d: %v, want that it is in use", i, got)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := removeAll(t, Options{Dir: dir, Quarantine: q}, nil); got["film"] != Removed {
		t.Fatalf("closed: %v", got)
	}
	entries, err := os.ReadDir(q)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	if raw, err := os.ReadFile(filepath.Join(q, entries[0].Name())); string(raw) != want.String() {
		t.Errorf("moved %q, %v", raw, err)
	}
}
