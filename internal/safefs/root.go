package safefs

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// systemDirs may not be a root, nor may anything below those that are marked.
var systemDirs = map[string]bool{ // true: nothing below it either
	"/": false, "/bin": true, "/boot": true, "/dev": true, "/efi": true, "/etc": true, "/home": false, "/lib": true, "/lib32": true,
	"/lib64": true, "/libx32": true, "/lost+found": true, "/media": false, "/mnt": false, "/nix": true, "/opt": false, "/proc": true,
	"/root": false, "/run": false, "/run/dbus": true, "/run/lock": true, "/run/systemd": true, "/run/udev": true,
	"/sbin": true, "/snap": true, "/srv": false, "/sys": true, "/tmp": false, "/usr": true, "/var": false,
	"/var/cache": false, "/var/lib": false, "/var/lib/dpkg": true, "/var/lib/rpm": true, "/var/lib/systemd": true,
	"/var/local": false, "/var/log": false, "/var/mail": true, "/var/opt": false, "/var/run": false, "/var/spool": false,
	"/var/tmp": false, "/dev/shm": false, "/run/user": false, "/usr/local": false,
}

// CheckRoot refuses directories on which a clean-up could do harm that no one wants: relative or
// unclean paths, the root of the filesystem, system directories, homes themselves, a path through
// a symbolic link, a folder with an ancestor that others can write without the sticky bit, and
// anything that is, holds or lies in one of reserved. Each error says what to write instead. A
// directory that does not exist, yet, gives an error that wraps fs.ErrNotExist.
func CheckRoot(dir string, reserved ...string) error {
	return CheckRootOn(hostfs.Roots{}, dir, reserved...)
}

// CheckRootOn is CheckRoot for a directory of a host whose file system is mounted elsewhere. The
// reserved directories are those of this process.
func CheckRootOn(host hostfs.Roots, dir string, reserved ...string) error {
	switch {
	case !filepath.IsAbs(dir):
		return fmt.Errorf("%q is not absolute: write the whole path from /", dir)
	case filepath.Clean(dir) != dir:
		return fmt.Errorf("%q is not clean: write %q", dir, filepath.Clean(dir))
	}
	if err := checkSystem(dir); err != nil {
		return err
	}
	for _, r := range reserved {
		if real, err := filepath.EvalSymlinks(r); err == nil {
			r = real
		}
		if r = filepath.Clean(r); r == dir || inside(r, dir) || inside(dir, r) {
			return fmt.Errorf("%q and the exporter's own folder %q lie in each other: write another directory", dir, r)
		}
	}
	if err := checkAncestors(host, dir); err != nil {
		return err
	}
	fd, err := dirscan.OpenRoot(host.Join(dir))
	switch {
	case err == nil:
		unix.Close(fd)
		return nil
	case errors.Is(err, dirscan.ErrSymlink):
		if target, evalErr := filepath.EvalSymlinks(host.Join(dir)); evalErr == nil {
			target, _ = strings.CutPrefix(target, strings.TrimSuffix(host.RootFS, "/"))
			return fmt.Errorf("%q is reached through a symbolic link: write %q", dir, target)
		}
		return fmt.Errorf("%q %w", dir, dirscan.ErrSymlink)
	case errors.Is(err, fs.ErrNotExist):
		return err
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%q is not a directory: write the folder that holds the files", dir)
	case errors.Is(err, fs.ErrPermission):
		return nil // observed as a failing source; it may be granted later
	}
	return err
}

func inside(outer, inner string) bool {
	return strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/")
}

func checkSystem(dir string) error {
	const hint = "write a folder that holds nothing but the service's own files"
	for sys, deep := range systemDirs {
		if dir == sys || deep && inside(sys, dir) && !excepted(dir) {
			return fmt.Errorf("%q is a system directory: %s", dir, hint)
		}
	}
	if filepath.Dir(dir) == "/home" {
		return fmt.Errorf("%q is a home directory: %s", dir, hint)
	}
	for _, home := range homes() {
		switch {
		case home == dir:
			return fmt.Errorf("%q is a home directory: %s", dir, hint)
		case inside(dir, home):
			return fmt.Errorf("%q holds the home directory %q: %s", dir, home, hint)
		}
	}
	return nil
}

// excepted reports whether a folder below a system directory is the administrator's or a service's.
func excepted(dir string) bool { return inside("/usr/local", dir) || inside("/dev/shm", dir) }

// homes returns the home directories of the users of this host.
func homes() []string {
	var out []string
	for _, list := range homesIn("/") {
		out = append(out, list...)
	}
	return out
}

// homesIn returns the home directories of the users that a root knows, by the number of the user.
func homesIn(rootfs string) map[string][]string {
	f, err := os.Open(filepath.Join(rootfs, "etc/passwd"))
	if err != nil {
		return nil
	}
	defer f.Close()
	out := make(map[string][]string)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Split(lines.Text(), ":"); len(fields) > 5 && filepath.IsAbs(fields[5]) {
			out[fields[2]] = append(out[fields[2]], filepath.Clean(fields[5]))
		}
	}
	return out
}

// checkAncestors refuses a folder whose path anybody could replace: one with an ancestor that others
// can write, without the sticky bit. The owner and the group of a folder are trusted with it.
func checkAncestors(host hostfs.Roots, dir string) error {
	for up := filepath.Dir(dir); ; up = filepath.Dir(up) {
		info, err := os.Lstat(host.Join(up))
		if err == nil && info.IsDir() {
			mode := info.Mode()
			if mode.Perm()&0o002 != 0 && mode&os.ModeSticky == 0 {
				return fmt.Errorf("%q lies in %q, which everybody can write: chmod o-w %s, or set its sticky bit, or write another directory", dir, up, up)
			}
		}
		if up == "/" {
			return nil
		}
	}
}
