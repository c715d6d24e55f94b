package safefs

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// The calls that are made for each file, on names that end with a NUL: the wrappers of x/sys would
// copy every name to the heap, and its Syscall goes through two wrappers more than that of package syscall.

func statAt(dirfd int, name []byte, st *unix.Statx_t) unix.Errno {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_EMPTY_PATH
	return dirscan.Statx(dirfd, name, flags, statMask, st)
}

// statPath is statAt for a path that is not at hand with a NUL.
func statPath(dirfd int, path string, flags, mask int, st *unix.Statx_t) error {
	name, err := unix.ByteSliceFromString(path)
	if err != nil {
		return err
	}
	if errno := dirscan.Statx(dirfd, name, flags, mask, st); errno != 0 {
		return errno
	}
	return nil
}

func openAt(dirfd int, name []byte, flags int) (int, unix.Errno) {
	for {
		fd, _, errno := syscall.Syscall6(unix.SYS_OPENAT, uintptr(dirfd), uintptr(unsafe.Pointer(unsafe.SliceData(name))), uintptr(flags), 0, 0, 0)
		if errno != unix.EINTR {
			return int(fd), errno
		}
	}
}

// openName opens a file or folder of a folder for reading, by its one name there, which ends with a NUL: no link, no
// mount. RESOLVE_BENEATH would add nothing to one name but a tenth of the time. A read lease of someone else does not
// stop it: EWOULDBLOCK is one for writing.
func openName(dirfd int, name []byte, flags int) (int, unix.Errno) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NOATIME),
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	for {
		fd, _, errno := syscall.Syscall6(unix.SYS_OPENAT2, uintptr(dirfd), uintptr(unsafe.Pointer(unsafe.SliceData(name))),
			uintptr(unsafe.Pointer(&how)), unix.SizeofOpenHow, 0, 0)
		switch {
		case errno == 0:
			return int(fd), 0
		case errno == unix.EPERM && how.Flags&unix.O_NOATIME != 0:
			how.Flags &^= unix.O_NOATIME
		case errno != unix.EINTR:
			return -1, errno
		}
	}
}

// openFolder opens a folder of a folder, by a name that ends with a NUL: dirscan.OpenBeneath without a copy.
func openFolder(dirfd int, name []byte) (int, error) {
	if dirscan.Openat2() != nil {
		return dirscan.OpenBeneath(dirfd, string(name[:len(name)-1]))
	}
	fd, errno := openName(dirfd, name, unix.O_DIRECTORY)
	if errno != 0 {
		return -1, errno
	}
	return fd, nil
}

// closeFD is close(2), which must not be tried again.
func closeFD(fd int) { _, _, _ = syscall.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// leaseOf is fcntl(2) about the lease of an open file.
func leaseOf(fd, command, kind int) (int, unix.Errno) {
	is, _, errno := syscall.Syscall(unix.SYS_FCNTL, uintptr(fd), uintptr(command), uintptr(kind))
	return int(is), errno
}

// rmdirAt removes an empty folder.
func rmdirAt(dirfd int, name []byte) unix.Errno { return removeAt(dirfd, name, unix.AT_REMOVEDIR) }

func removeAt(dirfd int, name []byte, flags uintptr) unix.Errno {
	for {
		_, _, errno := syscall.Syscall(unix.SYS_UNLINKAT, uintptr(dirfd), uintptr(unsafe.Pointer(unsafe.SliceData(name))), flags)
		if errno != unix.EINTR {
			return errno
		}
	}
}

// MayList returns nil where this process may list a folder, else what the kernel would say to it.
func MayList(dir string) error { return access(unix.AT_FDCWD, dir, unix.R_OK, unix.AT_EACCESS) }

// MayChange returns nil where this process may make, move and remove files in a folder, else what the kernel
// would say to it. The sticky bit is not asked: it depends on the file.
func MayChange(dir string) error {
	return access(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// Capable reports whether this process has a capability in effect, by its number (unix.CAP_KILL).
func Capable(capability int) bool { return capable(capability) }

// access is faccessat2(2), since Linux 5.8, or faccessat, which knows no flags: it asks with the real user,
// who is the effective one here, and leaves out the capabilities of one who is not root. Unlike the
// stand-in of x/sys it knows access lists, read-only mounts and immutable files.
func access(dirfd int, name string, rights uint32, flags int) error {
	err := unix.Faccessat2(dirfd, name, rights, flags)
	if err != unix.ENOSYS && err != unix.EPERM {
		return err
	}
	err = unix.Faccessat(dirfd, name, rights, 0)
	reads := rights == unix.R_OK && capable(unix.CAP_DAC_READ_SEARCH)
	if err == unix.EACCES && unix.Geteuid() != 0 && (reads || capable(unix.CAP_DAC_OVERRIDE)) {
		return nil
	}
	return err
}

// moveTo gives a file a name that no file has (EEXIST), which is one of ours to make: a rotated name, or one
// in a quarantine. Where RENAME_NOREPLACE is not to be had (EINVAL: some network and stacked file
// systems; ENOSYS: filters) a folder that no one else may write is looked at first. In any other an
// empty file is made, which fails where there is one, and is replaced. Whoever could exchange that file in
// between could remove the other one himself. A kill in between leaves the empty file.
func moveTo(fromDir int, from string, toDir int, to string) error {
	err := unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_NOREPLACE)
	if !replacesOnly(err) {
		return err
	}
	if isPrivate(toDir) {
		if isTaken(toDir, to) {
			return unix.EEXIST
		}
		return unix.Renameat(fromDir, from, toDir, to)
	}
	place, err := PlaceTrigger(toDir, to, unix.Geteuid())
	if err != nil {
		return errnoOf(err)
	}
	if err := unix.Renameat(fromDir, from, toDir, to); err != nil {
		return errnoOf(errors.Join(err, place.Remove()))
	}
	return nil
}

// moveBack gives a file that turned out to be another one its name back, unless a new file has that
// name by now (EEXIST). Without RENAME_NOREPLACE the name is linked, and then the one that we had made is
// removed: a program that makes its file anew in between keeps what it writes.
func moveBack(fromDir int, from string, toDir int, to string) error {
	err := unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_NOREPLACE)
	if !replacesOnly(err) {
		return err
	}
	if err := unix.Linkat(fromDir, from, toDir, to, 0); err != nil {
		return err
	}
	return unix.Unlinkat(fromDir, from, 0)
}

// isPrivate reports whether only this user may write into a folder.
func isPrivate(dirfd int) bool {
	var st unix.Stat_t
	return unix.Fstat(dirfd, &st) == nil && st.Mode&0o022 == 0 && int(st.Uid) == unix.Geteuid()
}

// replacesOnly reports whether a rename failed because it was not to replace a file.
func replacesOnly(err error) bool { return errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) }

// errnoOf returns what the kernel has said, which callers compare.
func errnoOf(err error) error {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno
	}
	return err
}
