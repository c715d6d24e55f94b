package safefs

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOwner: with root's rights only the files of the root's owner go.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files to others")
	}
	const service, other = 65534, 65533
	dir := tempDir(t)
	for name, uid := range map[string]int{"own": service, "roots": 0, "others": other} {
		aged(t, dir+"/"+name)
		if err := os.Chown(dir+"/"+name, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, service, service); err != nil {
		t.Fatal(err)
	}
	both(t, Options{Dir: dir, MinAge: time.Minute}, map[string]Reason{"own": Removed, "roots": "owner", "others": "owner"})
}

// TestOwnerOfALog: nor is a log of another user cut.
func TestOwnerOfALog(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files to others")
	}
	dir := tempDir(t)
	appendTo(t, dir+"/app.log", "a line\n")
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	remover := NewRemover(Options{Dir: dir, Now: time.Now()})
	defer remover.Close()
	for _, dry := range []bool{true, false} {
		got, _, err := rotateAll(t.Context(), dir, RotateOptions{DryRun: dry, Remover: remover}, nil, nil)
		if err != nil || got["app.log"] != "owner" || content(t, dir+"/app.log") != "a line\n" {
			t.Errorf("dry run %v: %v, %v", dry, got, err)
		}
	}
}

// TestMadeAnew: a folder that was made anew for the same owner is accepted where only root can do that,
// and nowhere else.
func TestMadeAnew(t *testing.T) {
	tests := []struct {
		name     string
		parent   os.FileMode
		owner    int // of the parent
		newOwner int // of the folder made anew
		ok       bool
	}{
		{"below root's own folder", 0o755, 0, 7, true},
		{"below the service's own folder", 0o755, 7, 7, false},
		{"below a folder that the group can write", 0o775, 0, 7, false},
		{"below a folder that everybody can write", 0o777 | os.ModeSticky, 0, 7, false},
		{"for another owner", 0o755, 0, 8, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withMounts(t, func() {
				if err := unix.Mount("none", "/run", "tmpfs", 0, "mode=755"); err != nil {
					t.Errorf("mount: %v", err)
					return
				}
				const parent, dir = "/run/parent", "/run/parent/app"
				make := func(owner int) {
					if err := os.Mkdir(dir, 0o755); err != nil {
						t.Error(err)
					}
					os.Chown(dir, owner, owner)
				}
				os.Mkdir(parent, 0o755)
				make(7)
				os.Chmod(parent, tt.parent)
				os.Chown(parent, tt.owner, tt.owner)
				var appeared []string
				roots := NewRoots([]string{dir}, func(dir string, _ RootID) { appeared = append(appeared, dir) })
				if err := os.Rename(dir, parent+"/old"); err != nil {
					t.Error(err)
				}
				make(tt.newOwner)
				for range 2 {
					if err := roots.Check(dir); (err == nil) != tt.ok {
						t.Errorf("%v, want it accepted: %v", err, tt.ok)
					}
				}
				if (len(appeared) == 1) != tt.ok {
					t.Errorf("said of %q", appeared)
				}
			})
		})
	}
}

// TestOwnersThatAreListed: files of the users that are written go too, with whatever rights.
func TestOwnersThatAreListed(t *testing.T) {
	dir := tempDir(t)
	me := uint32(os.Geteuid())
	aged(t, dir+"/own")
	want := map[string]Reason{"own": Removed}
	if me == 0 {
		for name, uid := range map[string]int{"listed": 65534, "others": 65533} {
			aged(t, dir+"/"+name)
			if err := os.Chown(dir+"/"+name, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
		want["listed"], want["others"] = Removed, Owner
	}
	both(t, Options{Dir: dir, MinAge: time.Minute, Owners: []uint32{65534}}, want)
}
