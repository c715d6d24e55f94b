package hostfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// shop makes a tree for one test: etc/spillway.yml, as root and the exporter's user have it.
func shop(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.MkdirAll(dir+"/etc", 0o755), os.WriteFile(dir+"/etc/spillway.yml", nil, 0o640)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCheckTrusted: who can change a file, by each step of its path.
func TestCheckTrusted(t *testing.T) {
	const yours = 65533
	tests := []struct {
		name string
		make func(dir string) error
		path string
		want string // "" = trusted; DIR is the folder
		root bool   // it takes root to make
	}{
		{"as it should be", nil, "etc/spillway.yml", "", false},
		{"readable by all", func(d string) error { return os.Chmod(d+"/etc/spillway.yml", 0o644) }, "etc/spillway.yml", "", false},
		{"a folder", nil, "etc", "", false},
		{"written by its group", func(d string) error { return os.Chmod(d+"/etc/spillway.yml", 0o660) }, "etc/spillway.yml", `"DIR/etc/spillway.yml" can be written by its group`, false},
		{"written by all", func(d string) error { return os.Chmod(d+"/etc/spillway.yml", 0o646) }, "etc/spillway.yml", `"DIR/etc/spillway.yml" can be written by everybody on this host: chmod go-w DIR/etc/spillway.yml`, false},
		{"its folder written by its group", func(d string) error { return os.Chmod(d+"/etc", 0o775) }, "etc/spillway.yml", `"DIR/etc/spillway.yml" lies in "DIR/etc", which can be written by its group`, false},
		{"its folder written by all", func(d string) error { return os.Chmod(d+"/etc", 0o777) }, "etc/spillway.yml", `lies in "DIR/etc", which can be written by everybody`, false},
		{"its folder has the sticky bit", func(d string) error { return os.Chmod(d+"/etc", os.ModeSticky|0o777) }, "etc/spillway.yml", "", false},
		{"a folder that has the sticky bit itself", func(d string) error { return os.Chmod(d+"/etc", os.ModeSticky|0o777) }, "etc", `"DIR/etc" can be written by everybody`, false},
		{"a folder above written by all", func(d string) error { return os.Chmod(d, 0o777) }, "etc/spillway.yml", `lies in "DIR", which can be written by everybody`, false},
		{"through links, as a ConfigMap is mounted", func(d string) error {
			return errors.Join(os.Mkdir(d+"/etc/..2026_11_29", 0o755), os.Rename(d+"/etc/spillway.yml", d+"/etc/..2026_11_29/spillway.yml"),
				os.Symlink("..2026_11_29", d+"/etc/..data"), os.Symlink("..data/spillway.yml", d+"/etc/spillway.yml"))
		}, "etc/spillway.yml", "", false},
		{"through a link to what all can write", func(d string) error {
			return errors.Join(os.Mkdir(d+"/open", 0o755), os.Rename(d+"/etc/spillway.yml", d+"/open/x"), os.Chmod(d+"/open/x", 0o666), os.Symlink("../open/x", d+"/etc/spillway.yml"))
		}, "etc/spillway.yml", `"DIR/etc/spillway.yml" leads to "DIR/open/x", which can be written by everybody`, false},
		{"an absolute link through a folder that all can write", func(d string) error {
			return errors.Join(os.Mkdir(d+"/open", 0o755), os.Chmod(d+"/open", 0o777), os.Rename(d+"/etc/spillway.yml", d+"/open/x"), os.Symlink(d+"/open/x", d+"/etc/spillway.yml"))
		}, "etc/spillway.yml", `lies in "DIR/open", which can be written by everybody`, false},
		{"a link to the folder itself", func(d string) error {
			return errors.Join(os.Chmod(d+"/etc", os.ModeSticky|0o777), os.Symlink(".", d+"/etc/here"))
		}, "etc/here", `leads to "DIR/etc", which can be written by everybody`, false},
		{"links in a ring", func(d string) error { return os.Symlink("ring", d+"/etc/ring") }, "etc/ring", "too many levels of symbolic links", false},
		{"of another user", func(d string) error { return os.Chown(d+"/etc/spillway.yml", yours, 0) }, "etc/spillway.yml", `"DIR/etc/spillway.yml" belongs to user`, true},
		{"in a folder of another user", func(d string) error { return os.Chown(d+"/etc", yours, 0) }, "etc/spillway.yml", `lies in "DIR/etc", which belongs to user`, true},
		{"a link of another user where all make names", func(d string) error {
			return errors.Join(os.Chmod(d+"/etc", os.ModeSticky|0o777), os.Symlink("spillway.yml", d+"/etc/link"), os.Lchown(d+"/etc/link", yours, 0))
		}, "etc/link", `belongs to user`, true},
		{"a link of another user where it cannot be exchanged", func(d string) error {
			return errors.Join(os.Symlink("spillway.yml", d+"/etc/link"), os.Lchown(d+"/etc/link", yours, 0))
		}, "etc/link", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("takes root")
			}
			dir := shop(t)
			if tt.make != nil {
				if err := tt.make(dir); err != nil {
					t.Fatal(err)
				}
			}
			err := CheckTrusted(filepath.Join(dir, tt.path))
			want := strings.ReplaceAll(tt.want, "DIR", dir)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%v, want %q", err, want)
			}
			if modes := CheckModes(filepath.Join(dir, tt.path)); (modes == nil) != (err == nil || strings.Contains(want, "belongs to")) {
				t.Errorf("modes alone: %v, and whole: %v", modes, err)
			}
		})
	}
	if err := CheckTrusted(t.TempDir() + "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v, want fs.ErrNotExist", err)
	}
}

// TestCheckTrustedIn: the folder of the exporter's user passes as root finds it, and no other one does.
func TestCheckTrustedIn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root")
	}
	const user, other = 65533, 65532
	f := func(name, want string, change func(dir string) error) {
		t.Helper()
		dir := shop(t)
		err := errors.Join(os.Chown(dir+"/etc", user, 0), os.Chown(dir+"/etc/spillway.yml", user, 0))
		if change != nil {
			err = errors.Join(err, change(dir))
		}
		if err != nil {
			t.Fatal(err)
		}
		err = CheckTrustedIn(dir+"/etc", dir+"/etc/spillway.yml")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if err := CheckTrustedIn(dir+"/home", dir+"/etc/spillway.yml"); err == nil {
			t.Errorf("%s: trusted in another folder", name)
		}
	}
	f("as the package has it", "", nil)
	f("the file of another user", "belongs to user", func(d string) error { return os.Chown(d+"/etc/spillway.yml", other, 0) })
	f("written by all", "can be written by everybody", func(d string) error { return os.Chmod(d+"/etc", 0o777) })
	f("in a folder of the user", "belongs to user", func(d string) error { return os.Chown(d, user, 0) })
	f("where all make names", "belongs to user", func(d string) error { return os.Chmod(d, os.ModeSticky|0o777) })
}

// TestCheckTrustedAccessList: a user who is named in an access list may write, and the bits of the group
// show it.
func TestCheckTrustedAccessList(t *testing.T) {
	file := shop(t) + "/etc/spillway.yml"
	// user::rw-, user:65533:rw-, group::---, mask::rw-, other::---
	list := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 253, 255, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255}
	if err := unix.Setxattr(file, "system.posix_acl_access", list, 0); err != nil {
		t.Skipf("no access lists here: %v", err)
	}
	if err := CheckTrusted(file); err == nil || !strings.Contains(err.Error(), "can be written by its group") {
		t.Errorf("%v, want it refused", err)
	}
}

// TestLacksUser reads maps of users, and trusts none that it does not understand.
func TestLacksUser(t *testing.T) {
	f := func(table string, want bool) {
		t.Helper()
		if got := lacksUser(table, overflowID); got != want {
			t.Errorf("%q: %v, want %v", table, got, want)
		}
	}
	f("         0          0 4294967295\n", false)
	f("0 1000 1\n", true)
	f("0 1000 1\n1 100000 65536\n", false)
	f("0 100000 65534\n", true)
	f("0 100000 65535\n", false)
	f("0 1000\n", false)
	f("x 1000 1\n", false)
}

// TestIsKubelets: a volume is known by where it lies on the node.
func TestIsKubelets(t *testing.T) {
	const table = `36 35 8:1 /var/lib/kubelet/pods/1b2c/volumes/kubernetes.io~empty-dir/journal /var/lib/spillway rw,relatime - ext4 /dev/root rw
37 35 8:1 /srv/open /etc/spillway rw,relatime - ext4 /dev/root rw
38 35 8:1 /var/lib/kubelet/pods/1b2c/volumes/kubernetes.io~configmap/c /twice ro,relatime - ext4 /dev/root rw
39 38 8:1 /srv/open /twice rw,relatime - ext4 /dev/root rw
`
	for dir, want := range map[string]bool{"/var/lib/spillway": true, "/etc/spillway": false, "/twice": false, "/": false} {
		if got := isKubelets(table, dir); got != want {
			t.Errorf("%s: %v, want %v", dir, got, want)
		}
	}
}

// TestReadLine: one line, and errors that do not show what is in the file.
func TestReadLine(t *testing.T) {
	dir := t.TempDir()
	f := func(content, want, wantErr string) {
		t.Helper()
		if err := os.WriteFile(dir+"/secret", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadLine(dir + "/secret")
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%q: %q, %v", content, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	f("sesame\n", "sesame", "")
	f("", "", "does not hold one line")
	f("sesame\nopen\n", "", "does not hold one line")
	f(strings.Repeat("sesame", 1000), "", "at most 4 KiB")
	if err := unix.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLine(dir + "/pipe"); err == nil || !strings.Contains(err.Error(), "is a pipe") {
		t.Errorf("a pipe: %v", err)
	}
}

// TestCheckTrustedVolume: the kubelet makes the root of a volume writable for all, and only in a pod that means
// nothing.
func TestCheckTrustedVolume(t *testing.T) {
	file := shop(t) + "/etc/spillway.yml"
	dir := filepath.Dir(file)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its mounts
		err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
		if err == nil {
			err = errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("none", dir, "tmpfs", 0, "mode=0777"))
		}
		if err != nil {
			done <- err
			return
		}
		if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Mkdir(dir+"/below", 0o755), os.WriteFile(dir+"/below/x", nil, 0o644)); err != nil {
			t.Error(err)
		}
		t.Setenv(podVariable, "")
		if err := CheckTrusted(file); err == nil || !strings.Contains(err.Error(), "can be written by everybody") {
			t.Errorf("outside of a pod: %v, want it refused", err)
		}
		t.Setenv(podVariable, "10.0.0.1")
		for _, path := range []string{file, dir, dir + "/below/x"} {
			if err := CheckTrusted(path); err != nil {
				t.Errorf("in a pod: %v", err)
			}
		}
		if err := errors.Join(os.Chmod(dir+"/below", 0o777), os.Chmod(file, 0o666)); err != nil {
			t.Error(err)
		}
		for _, path := range []string{file, dir + "/below/x"} {
			if err := CheckTrusted(path); err == nil {
				t.Errorf("in a pod: %s is trusted", path)
			}
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
}
