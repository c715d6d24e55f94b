//go:build linux && !portable

package dirscan

import "golang.org/x/sys/unix"

// Listed is one name of a listing, with the kind that the folder has noted (DT_UNKNOWN where it
// has none). Name is followed by a NUL and valid until the buffer is used again.
type Listed struct {
	Kind byte
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
		if err := each(Listed{d.kind, d.name}); err != nil {
			return true, err
		}
	}
}
