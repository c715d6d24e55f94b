//go:build linux && !portable

package dirscan

import (
	"bytes"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// mounts knows which files may be mounts of their own where the kernel does not say so of each file.
type mounts struct {
	read  bool
	names map[string]bool // the last names of all mount points; nil where they cannot be read, or are those of another namespace
}

// mounted reports whether the file that was just looked at is a mount of its own. Kernels before
// 5.8 do not say so. There it is opened (O_PATH) and its mount compared with its folder's, but only where
// there is a mount point of its name or the device is not the root's: an overlay of several
// filesystems and the subvolumes of btrfs have files of other devices that are not mounts. Where the
// mount cannot be read the file counts as one.
func (w *walker) mounted(f *frame, name []byte) bool {
	if w.st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return w.st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	}
	if unix.Mkdev(w.st.Dev_major, w.st.Dev_minor) == w.device.dev && !w.mounts.may(name) {
		return false
	}
	s := steps{dir: f.fd, begin: f.fd}
	fd, err := s.openat(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	return !SameMount(fd, f.fd)
}

// may reports whether a file of this name may be a mount point.
func (m *mounts) may(name []byte) bool {
	if !m.read {
		m.read = true
		if info, err := os.ReadFile("/proc/thread-self/mountinfo"); err == nil {
			m.names = mountNames(info)
		}
	}
	return m.names == nil || m.names[string(name)]
}

// mountNames reads the last names of the mount points from mountinfo (proc_pid_mountinfo(5)): the
// fifth field, with spaces and the like as \040.
func mountNames(info []byte) map[string]bool {
	names := make(map[string]bool)
	for line := range bytes.Lines(info) {
		if fields := bytes.Fields(line); len(fields) > 4 {
			names[path.Base(unescape(string(fields[4])))] = true
		}
	}
	return names
}

func unescape(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out = append(out, byte(n))
				i += 3
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}
