package safefs

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// TestRemoveLinkedUnderAttack: whatever happens to the names of a file between the scan and its removal, a
// file with a name elsewhere loses none, and no other file goes.
func TestRemoveLinkedUnderAttack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(dir, away string) error
		links  bool // Options.RemoveLinks
		why    Reason
	}{
		{"nothing", func(string, string) error { return nil }, false, Removed},
		{"a name more elsewhere", func(dir, away string) error { return os.Link(dir+"/a", away+"/new") }, false, Changed},
		{"a name more elsewhere, allowed", func(dir, away string) error { return os.Link(dir+"/a", away+"/new") }, true, Changed},
		{"the last name moved away", func(dir, away string) error { return os.Rename(dir+"/sub/b", away+"/b") }, false, Changed},
		{"the last name is another file", func(dir, _ string) error { return os.Rename(dir+"/other", dir+"/sub/b") }, false, Changed},
		{"the last name is a link", func(dir, away string) error {
			if err := os.Rename(dir+"/sub/b", away+"/b"); err != nil {
				return err
			}
			return os.Symlink(away+"/b", dir+"/sub/b")
		}, false, Changed},
		{"the folder is a link", func(dir, away string) error {
			if err := os.Rename(dir+"/sub", away+"/sub"); err != nil {
				return err
			}
			return os.Symlink(away+"/sub", dir+"/sub")
		}, false, Changed},
		{"written to", func(dir, _ string) error { return os.WriteFile(dir+"/sub/b", []byte("news"), 0o600) }, false, Changed},
	} {
		for _, manner := range []string{"plain", "strict", "quarantine", "dry"} {
			t.Run(tt.name+", "+manner, func(t *testing.T) {
				dir, away := filepath.Join(t.TempDir(), "root"), t.TempDir()
				aged(t, dir+"/a")
				aged(t, dir+"/other")
				if err := os.Mkdir(dir+"/sub", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Link(dir+"/a", dir+"/sub/b"); err != nil {
					t.Fatal(err)
				}
				o := Options{Dir: dir, MinAge: time.Minute, AgeNs: byMtime, Now: time.Now(), RemoveLinks: tt.links, Strict: manner == "strict", DryRun: manner == "dry"}
				if manner == "quarantine" {
					o.Quarantine = t.TempDir()
					if err := os.Chmod(o.Quarantine, 0o700); err != nil {
						t.Fatal(err)
					}
				}
				r := NewRemover(o)
				defer r.Close()
				var e dirscan.Entry
				if _, err := r.Scan(context.Background(), dirscan.Options{Recursive: true, Skip: policy.SkipFolder, Visit: func(f *dirscan.Entry) error {
					if string(f.Name) == "a" {
						e = *f
						e.Parent, e.Name = nil, nil
					}
					return nil
				}}); err != nil {
					t.Fatal(err)
				}
				if err := tt.change(dir, away); err != nil {
					t.Fatal(err)
				}
				removed, freed, why := r.RemoveLinked(&e, []string{"a", "sub/b"})
				if tt.why == Removed {
					_, err := os.Lstat(dir + "/a")
					_, errB := os.Lstat(dir + "/sub/b")
					if gone := err != nil && errB != nil; why != Removed || removed != 2 || gone == (manner == "dry") || (freed > 0) == (manner == "quarantine") {
						t.Errorf("%d removed, freed %d, %q, gone %v", removed, freed, why, gone)
					}
					return
				}
				if removed != 0 || why == Removed {
					t.Errorf("%d removed, %q; want none", removed, why)
				}
				if _, err := os.Lstat(dir + "/a"); err != nil {
					t.Errorf("the first name is gone although the file has changed: %v", err)
				}
				if _, err := os.Stat(dir + "/sub/b"); err != nil && tt.name != "the last name moved away" {
					t.Errorf("what has the last name is gone: %v", err)
				}
			})
		}
	}
}

// TestSweepLinked: a strict run that was killed between two names of a file leaves one in the holding folder,
// which goes with the next run.
func TestSweepLinked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	held := holdIn(t, dir, "7-1"+linkedSuffix)
	other := holdIn(t, dir, "7-2")
	for name, again := range map[string]string{held: "a", other: "b"} {
		if err := os.Link(name, filepath.Join(dir, again)); err != nil {
			t.Fatal(err)
		}
	}
	r := NewRemover(Options{Dir: dir, MinAge: time.Minute, AgeNs: byMtime, Strict: true, Now: time.Now()})
	defer r.Close()
	if _, _, err := r.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := unix.Access(held, 0); err == nil {
		t.Error("the name of the file of which all names were to go is still there")
	}
	if err := unix.Access(other, 0); err != nil {
		t.Errorf("a file that got another name while it was held is gone: %v", err)
	}
}
