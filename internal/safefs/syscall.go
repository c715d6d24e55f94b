package safefs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls that are made for each file, on names that end with a NUL: the wrappers of x/sys would
// copy every name to the heap.

func statAt(dirfd int, name []byte, st *unix.Statx_t) unix.Errno {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_EMPTY_PATH
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dirfd), uintptr(unsafe.Pointer(unsafe.SliceData(name))),
		uintptr(flags), uintptr(statMask), uintptr(unsafe.Pointer(st)), 0)
	return errno
}

func openAt(dirfd int, name []byte, flags int) (int, unix.Errno) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dirfd), uintptr(unsafe.Pointer(unsafe.SliceData(name))), uintptr(flags), 0, 0, 0)
		if errno != unix.EINTR {
			return int(fd), errno
		}
	}
}

func unlinkAt(dirfd int, name []byte) unix.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_UNLINKAT, uintptr(dirfd), uintptr(unsafe.Pointer(unsafe.SliceData(name))), 0)
		if errno != unix.EINTR {
			return errno
		}
	}
}
