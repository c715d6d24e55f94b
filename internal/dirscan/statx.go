//go:build linux && !portable

package dirscan

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errNoMountID says that no one can say which mount a folder lies on, so that nothing is walked.
var errNoMountID = errors.New("the mount of a folder cannot be read: mount /proc, or use Linux 5.8 (statx with STATX_MNT_ID)")

// statxRefused reports, asked once, whether statx(2) is refused: on Linux before 4.11 (ENOSYS), or by
// an old filter of a container (EPERM). On "/" it would succeed.
var statxRefused = sync.OnceValue(func() bool {
	var st unix.Statx_t
	err := statxRaw(unix.AT_FDCWD, []byte("/\x00"), statFlags, unix.STATX_INO, &st)
	return err == unix.ENOSYS || err == unix.EPERM
})

// Statx is statx(2) on a name that is followed by a NUL, or has one. Unlike the wrapper of x/sys it
// copies nothing to the heap. Where the call is refused newfstatat(2) stands in: Attributes are then
// not known, as Attributes_mask says. A descriptor's mount id that is asked for (STATX_MNT_ID, an
// empty name) is read from /proc where the kernel, before 5.8, does not say it; Mask says whether.
func Statx(dirfd int, name []byte, flags, mask int, st *unix.Statx_t) unix.Errno {
	var errno unix.Errno
	if !statxRefused() {
		errno = statxRaw(dirfd, name, flags, mask, st)
	} else {
		errno = statByName(dirfd, name, flags, st)
	}
	if errno == 0 && mask&unix.STATX_MNT_ID&^int(st.Mask) != 0 && cutName(name) == 0 {
		if id, err := mountInfo(dirfd); err == nil {
			st.Mnt_id, st.Mask = id, st.Mask|unix.STATX_MNT_ID
		}
	}
	return errno
}

func statxRaw(dirfd int, name []byte, flags, mask int, st *unix.Statx_t) unix.Errno {
	// unix.Syscall6 goes through two wrappers more.
	_, _, errno := syscall.Syscall6(unix.SYS_STATX, uintptr(dirfd), uintptr(unsafe.Pointer(unsafe.SliceData(name))),
		uintptr(flags), uintptr(mask), uintptr(unsafe.Pointer(st)), 0)
	return errno
}

// cutName returns the length of a name up to its NUL.
func cutName(name []byte) int {
	if i := bytes.IndexByte(name, 0); i >= 0 {
		return i
	}
	return len(name)
}

// statByName is Statx by newfstatat(2).
func statByName(dirfd int, name []byte, flags int, st *unix.Statx_t) unix.Errno {
	const known = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_EMPTY_PATH
	var old unix.Stat_t
	if err := unix.Fstatat(dirfd, string(name[:cutName(name)]), &old, flags&known); err != nil {
		errno, _ := err.(unix.Errno) //nolint:errorlint // straight from a system call
		return errno
	}
	at := func(t unix.Timespec) unix.StatxTimestamp {
		sec, nsec := t.Unix()
		return unix.StatxTimestamp{Sec: sec, Nsec: uint32(nsec)}
	}
	dev := uint64(old.Dev) //nolint:unconvert // other architectures have other types, here and below
	*st = unix.Statx_t{
		Mask: unix.STATX_BASIC_STATS, Nlink: uint32(old.Nlink), Uid: old.Uid, Gid: old.Gid, Mode: uint16(old.Mode), Ino: old.Ino,
		Size: uint64(old.Size), Blocks: uint64(old.Blocks), Blksize: uint32(old.Blksize),
		Dev_major: unix.Major(dev), Dev_minor: unix.Minor(dev),
		Atime: at(old.Atim), Mtime: at(old.Mtim), Ctime: at(old.Ctim),
	}
	return 0
}

// mountInfo reads the mount id of a descriptor from /proc (proc_pid_fdinfo(5), since Linux 3.15).
func mountInfo(fd int) (uint64, error) {
	info, err := os.ReadFile("/proc/thread-self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(info) {
		if text, ok := bytes.CutPrefix(line, []byte("mnt_id:")); ok {
			return strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
		}
	}
	return 0, errors.New("its fdinfo has no mnt_id")
}

// SameMount reports whether two descriptors lie on one mount, also of one device: false where that
// cannot be read.
func SameMount(a, b int) bool {
	x, errX := mountOf(a)
	y, errY := mountOf(b)
	return errX == nil && errY == nil && x == y
}

// mountOf returns the mount id of a descriptor.
func mountOf(fd int) (uint64, error) {
	if !statxRefused() {
		var st unix.Statx_t
		if errno := statxRaw(fd, noName, unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st); errno != 0 {
			return 0, errno
		}
		if st.Mask&unix.STATX_MNT_ID != 0 {
			return st.Mnt_id, nil
		}
	}
	id, err := mountInfo(fd)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNoMountID, err)
	}
	return id, nil
}

// noName is the name that means the descriptor itself.
var noName = []byte{0}

// Look is what a folder itself is: its identity, its owner, and when names in it changed.
type Look struct {
	DevMajor, DevMinor uint32
	Ino                uint64
	UID, GID           uint32
	MtimeNs, CtimeNs   int64
}

// Look looks at an open folder of a walk.
func (f *Folder) Look() (l Look, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return l, err
	}
	return Look{
		unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino, st.Uid, st.Gid,
		Nanoseconds(&unix.StatxTimestamp{Sec: int64(st.Mtim.Sec), Nsec: uint32(st.Mtim.Nsec)}),
		Nanoseconds(&unix.StatxTimestamp{Sec: int64(st.Ctim.Sec), Nsec: uint32(st.Ctim.Nsec)}),
	}, nil
}
