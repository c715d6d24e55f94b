package proc

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// dirBuffer takes about a thousand entries of /proc at a time.
const dirBuffer = 32 << 10

// seen is one process of a listing: the inode shows that a pid was given out again.
type seen struct {
	pid int32
	ino uint64
}

// list appends the processes of the mount to dst, in the order of their pids.
func (r *reader) list(dst []seen, buf []byte) ([]seen, error) {
	if _, err := unix.Seek(r.root, 0, unix.SEEK_SET); err != nil {
		return dst, fmt.Errorf("list processes: %w", err)
	}
	for {
		n, err := unix.Getdents(r.root, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return dst, fmt.Errorf("list processes: %w", err)
		case n == 0:
			byPID := func(a, b seen) int { return cmp.Compare(a.pid, b.pid) }
			if !slices.IsSortedFunc(dst, byPID) { // the kernel sorts, a copy on a disk does not
				slices.SortFunc(dst, byPID)
			}
			return dst, nil
		}
		if dst, err = parseDirents(dst, buf[:n]); err != nil {
			return dst, err
		}
	}
}

// Offsets in struct linux_dirent64, see getdents64(2).
const (
	direntReclen = 16
	direntName   = 19
)

// parseDirents appends the entries whose names are numbers.
func parseDirents(dst []seen, b []byte) ([]seen, error) {
	for len(b) > 0 {
		if len(b) <= direntName {
			return dst, fmt.Errorf("list processes: %w", errFormat)
		}
		size := int(binary.NativeEndian.Uint16(b[direntReclen:]))
		if size <= direntName || size > len(b) {
			return dst, fmt.Errorf("list processes: %w", errFormat)
		}
		if pid, ok := pidOf(b[direntName:size]); ok {
			dst = append(dst, seen{pid: pid, ino: binary.NativeEndian.Uint64(b)})
		}
		b = b[size:]
	}
	return dst, nil
}

// pidOf reads a name that ends with a NUL.
func pidOf(name []byte) (pid int32, ok bool) {
	for i, c := range name {
		switch {
		case c == 0:
			return pid, i > 0
		case c < '0' || c > '9' || i == 0 && c == '0' || pid > (1<<31-1-9)/10:
			return 0, false
		}
		pid = pid*10 + int32(c-'0')
	}
	return 0, false
}
