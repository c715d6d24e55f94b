//go:build linux && !portable

package dirscan

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Listed is one name of a listing, with what the folder has noted of it: its kind (DT_UNKNOWN where there
// is none) and its inode, which on a stacked file system may be another one than stat(2) says. Name is followed by a NUL and valid until the buffer is used again.
type Listed struct {
	Kind byte
	Ino  uint64
	Name []byte
}

// List reads the next part of an open folder's listing into buf and calls each for its names, but for
// "." and "..". more is false at the end of the listing.
func List(fd int, buf []byte, each func(Listed) error) (more bool, err error) {
	n, err := unix.Getdents(fd, buf)
	for err == unix.EINTR {
		n, err = unix.Getdents(fd, buf)
	}
	if err != nil || n <= 0 {
		return false, err
	}
	for rest := buf[:n]; len(rest) > 0; {
		d, size := cutDirent(rest)
		if size == 0 { // not a record
			return false, unix.EIO
		}
		rest = rest[size:]
		if isSelf(d.name) {
			continue
		}
		if err := each(Listed{d.kind, d.ino, d.name}); err != nil {
			return true, err
		}
	}
	return true, nil
}

// dirent is one entry of a listing; name points into the buffer and is followed by a NUL.
type dirent struct {
	offset int64
	ino    uint64
	kind   byte
	name   []byte
}

// cutDirent reads the first struct linux_dirent64 of b (see getdents64(2)) and returns its size: 0 where there
// is none, or one that does not fit.
func cutDirent(b []byte) (d dirent, size int) {
	const header = 19 // d_ino 8, d_off 8, d_reclen 2, d_type 1
	if len(b) < header+1 {
		return d, 0
	}
	size = int(binary.NativeEndian.Uint16(b[16:]))
	if size < header+1 || size > len(b) {
		return d, 0
	}
	name := b[header:size]
	end := cutName(name)
	if end == len(name) {
		return d, 0
	}
	d.offset, d.ino, d.kind = int64(binary.NativeEndian.Uint64(b[8:])), binary.NativeEndian.Uint64(b), b[18]
	d.name = name[:end]
	return d, size
}

// isSelf reports whether a name of a listing is the folder itself or the one above it, or is empty.
func isSelf(name []byte) bool {
	return len(name) == 0 || name[0] == '.' && (len(name) == 1 || len(name) == 2 && name[1] == '.')
}
