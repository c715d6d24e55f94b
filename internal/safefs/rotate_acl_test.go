package safefs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// run runs a program and returns what it prints, or skips the test where there is none.
func run(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), err
}

// With the tools that administrators use: a log whose list lets one user read it, and its group not,
// stays like that through every way of rotation, with its security label, and into an olddir.
func TestRotatedLogAndTheToolsForLists(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("other users cannot be asked")
	}
	const label = "spillway_test_label"
	for _, how := range []string{"copy", "copy compressed", "into an olddir", "compress", "rename"} {
		t.Run(how, func(t *testing.T) {
			dir := tempDir(t)
			for up := dir; up != os.TempDir() && len(up) > 1; up = filepath.Dir(up) {
				if err := os.Chmod(up, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			path := dir + "/app.log"
			if how == "compress" {
				path += stamp
			}
			appendTo(t, path, "a line\n")
			idle(t, path)
			if err := os.Chown(path, 0, 65533); err != nil {
				t.Fatal(err)
			}
			if out, err := run(t, "setfacl", "-m", "u:65534:r,g::-,m::r", path); err != nil {
				t.Skipf("no access lists here: %s", out)
			}
			if err := unix.Setxattr(path, "security.SMACK64", []byte(label), 0); err != nil {
				t.Logf("no security labels here: %v", err)
			}
			want, _ := run(t, "getfacl", "--omit-header", "--numeric", "--absolute-names", path)
			wantLabel := xattr(path, "security.SMACK64")
			switch how {
			case "compress":
				compressAll(t, dir, false)
			case "rename":
				r := NewRotator(RotateOptions{Now: rotatedAt, Oversize: func(int64, int64) bool { return true }})
				if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Visit: func(e *dirscan.Entry) error {
					if string(e.Name) == "app.log" {
						_, _ = r.Rename(e)
					}
					return nil
				}}); err != nil {
					t.Fatal(err)
				}
			default:
				o := RotateOptions{Compress: how == "copy compressed"}
				if how == "into an olddir" {
					o.OldDir = "old"
				}
				if got, _, err := rotateAll(t.Context(), dir, o, nil, nil); err != nil || got["app.log"] != Removed {
					t.Fatal(got, err)
				}
			}
			made := append(glob(t, dir+"/app.log.*"), glob(t, dir+"/old/app.log.*")...)
			if len(made) != 1 || strings.HasSuffix(made[0], ".gz") != strings.Contains(how, "compress") {
				t.Fatalf("made %q", made)
			}
			if got, err := run(t, "getfacl", "--omit-header", "--numeric", "--absolute-names", made[0]); err != nil || got != want || !strings.Contains(got, "user:65534:r--") {
				t.Errorf("the list is, %v\n%swant\n%s", err, got, want)
			}
			if got := xattr(made[0], "security.SMACK64"); got != wantLabel {
				t.Errorf("the label is %q, want %q", got, wantLabel)
			}
			as := func(uid, gid string) error {
				_, err := run(t, "setpriv", "--reuid="+uid, "--regid="+gid, "--clear-groups", "cat", made[0])
				return err
			}
			if err := as("65534", "65532"); err != nil {
				t.Errorf("the user of the list cannot read it: %v", err)
			}
			if err := as("65532", "65533"); err == nil {
				t.Error("the group, which the list keeps out, can read it")
			}
		})
	}
}
