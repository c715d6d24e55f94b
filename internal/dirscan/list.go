//go:build linux && !portable

package dirscan

import "golang.org/x/sys/unix"

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
	for rest := buf[:n]; ; {
		d, ok := nextDirent(&rest)
		if !ok {
			if len(rest) > 0 { // not a record
				return false, unix.EIO
			}
			return true, nil
		}
		if len(d.name) == 0 || string(d.name) == "." || string(d.name) == ".." {
			continue
		}
		if err := each(Listed{d.kind, d.ino, d.name}); err != nil {
			return true, err
		}
	}
}
