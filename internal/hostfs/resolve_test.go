package hostfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestResolve(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "usr/bin/real"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"bin": "usr/bin", "usr/bin/abs": "/bin/real", "usr/bin/up": "../../../../bin/./real", "usr/bin/loop": "loop", "usr/bin/none": "/nowhere"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	f := func(name, want string, cause error) {
		t.Helper()
		got, err := Roots{RootFS: root}.Resolve(name)
		if got != want || !errors.Is(err, cause) {
			t.Errorf("%s: %q, %v, want %q, %v", name, got, err, want, cause)
		}
	}
	f("/usr/bin/real", "/usr/bin/real", nil)
	f("/bin/real", "/usr/bin/real", nil)
	f("/bin//abs", "/usr/bin/real", nil)
	f("/bin/up", "/usr/bin/real", nil) // no link leads out of the root
	f("/../bin", "/usr/bin", nil)
	f("/bin/loop", "", unix.ELOOP)
	f("/bin/none", "", os.ErrNotExist)
	f("/bin/real/x", "", unix.ENOTDIR)
}
