//go:build linux && !portable

package dirscan

import (
	"bytes"
	"cmp"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Openat2 returns nil where this process has openat2(2), else an error that says what to do. The call
// is new in Linux 5.6, and filters of containers and of systemd refuse it (ENOSYS, EPERM) because
// they cannot look into its argument. Folders are walked without it as well, see openSteps.
func Openat2() error { return openat2Refused() }

// openat2Refused asks once, for a directory that can always be opened.
var openat2Refused = sync.OnceValue(func() error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC}
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &how)
	switch err {
	case nil:
		unix.Close(fd)
	case unix.ENOSYS, unix.EPERM:
		return fmt.Errorf("openat2: %w: folders are walked with openat, one by one, which is safe and slower: use Linux 5.6, or let the call pass (systemd: no RestrictSUIDSGID and no DynamicUser; containers: a newer seccomp profile)", err)
	}
	return nil
})

// OpenIn opens what a path means below an open directory: no link on the way or at its end, nothing
// outside. Unlike OpenBeneath it crosses mounts and opens anything; flags are those of open(2).
func OpenIn(root int, path string, flags int) (int, error) {
	name, err := unix.ByteSliceFromString(path)
	if err != nil {
		return -1, err
	}
	return open(root, name, unix.OpenHow{
		Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// open is openat2(2), or the same in steps where that is refused. It may overwrite the slashes of name.
func open(dirfd int, name []byte, how unix.OpenHow) (int, error) {
	if openat2Refused() != nil {
		return openSteps(dirfd, name[:cutName(name)], how)
	}
	return openat2(dirfd, name, how)
}

// openSteps is openat2 without links (RESOLVE_NO_SYMLINKS, which every caller wants) by openat(2), one
// name after the other, each in the directory that was opened before: whatever is exchanged
// meanwhile, a step leads from a directory to something in it. ".." is never taken. With
// RESOLVE_NO_XDEV each step must stay on the mount it began on. The kernel says which that is by its
// id; a device would not show a bind mount, and would take a subvolume of btrfs for one. path is
// followed by a NUL, and its slashes are overwritten.
func openSteps(dirfd int, path []byte, how unix.OpenHow) (fd int, err error) {
	if len(path) == 0 {
		return -1, unix.ENOENT
	}
	s := steps{dir: dirfd, begin: dirfd, how: how, stays: how.Resolve&unix.RESOLVE_NO_XDEV != 0}
	defer s.close()
	if path[0] == '/' {
		if how.Resolve&unix.RESOLVE_BENEATH != 0 {
			return -1, unix.EXDEV
		}
		if s.dir, err = s.openat(slash, unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return -1, err
		}
	}
	if s.stays {
		if s.mount, err = mountOf(s.dir); err != nil {
			return -1, err
		}
	}
	var last []byte
	folder := false
	for len(path) > 0 {
		name := path
		if i := bytes.IndexByte(path, '/'); i >= 0 {
			path[i] = 0
			name, path = path[:i], path[i+1:]
		} else {
			path = nil
		}
		switch string(name) {
		case "", ".":
			folder = true // if nothing comes after it
			continue
		case "..":
			return -1, unix.EXDEV
		}
		if last != nil {
			if err := s.through(last); err != nil {
				return -1, err
			}
		}
		last, folder = name, false
	}
	if last == nil {
		last = dot
	}
	if folder {
		s.how.Flags |= unix.O_DIRECTORY
	}
	return s.last(last)
}

var dot, slash = []byte{'.', 0}, []byte{'/', 0}

// steps is an openSteps on its way.
type steps struct {
	dir, begin int // the directory that was reached, and the one that is the caller's
	how        unix.OpenHow
	stays      bool   // on the mount
	mount      uint64 // its id
}

func (s *steps) close() {
	if s.dir != s.begin && s.dir >= 0 {
		unix.Close(s.dir)
	}
}

// through enters a directory.
func (s *steps) through(name []byte) error {
	fd, err := s.look(name)
	if err != nil {
		return err
	}
	s.close()
	s.dir = fd
	return nil
}

// look opens a directory without opening it (O_PATH): neither a dead network mount nor an automount
// is woken up.
func (s *steps) look(name []byte) (int, error) {
	fd, err := s.openat(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return -1, err
	}
	if err := s.check(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// check refuses what was opened where it is a link, lies on another mount or should be a directory.
func (s *steps) check(fd int, folder bool) error {
	if s.stays && statxRefused() { // newfstatat asks the file system: not another one
		if mount, err := mountOf(fd); err != nil || mount != s.mount {
			return cmp.Or[error](err, unix.EXDEV)
		}
	}
	mask := unix.STATX_TYPE
	if s.stays {
		mask |= unix.STATX_MNT_ID
	}
	var st unix.Statx_t
	if errno := Statx(fd, noName, unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, mask, &st); errno != 0 {
		return errno
	}
	switch {
	case s.stays && st.Mask&unix.STATX_MNT_ID == 0:
		return errNoMountID
	case s.stays && st.Mnt_id != s.mount:
		return unix.EXDEV
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFLNK:
		return unix.ELOOP
	case folder && kind != unix.S_IFDIR:
		return unix.ENOTDIR
	}
	return nil
}

// last opens the name at the end with the caller's flags. It is looked at before and after, because it
// may be exchanged in between.
func (s *steps) last(name []byte) (int, error) {
	flags := int(s.how.Flags)
	folder := flags&unix.O_DIRECTORY != 0
	if s.stays || folder {
		fd, err := s.look(name)
		if err != nil {
			return -1, err
		}
		unix.Close(fd)
	}
	fd, err := s.openat(name, flags|unix.O_NOFOLLOW)
	if err != nil {
		return -1, err
	}
	if err := s.check(fd, folder); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// openat is openat(2) on a name with a NUL. It does without O_NOATIME where that is not permitted.
func (s *steps) openat(name []byte, flags int) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(s.dir), uintptr(unsafe.Pointer(unsafe.SliceData(name))),
			uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
		switch {
		case errno == 0:
			return int(fd), nil
		case errno == unix.EPERM && flags&unix.O_NOATIME != 0:
			flags &^= unix.O_NOATIME
		case errno != unix.EINTR:
			return -1, errno
		}
	}
}
