package safefs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// maxZeros bounds the holes of a log that is compressed: gzip takes a second for a few
	// hundred MiB of zeros, and a hole costs nothing as it is.
	maxZeros = 64 << 20
	// A copy leaves some of the disk to the others: 1 % of it, and this is enough.
	maxReserve = 64 << 20
)

// isSparse reports whether a file is so much longer than what it holds that it is not worth
// compressing.
func isSparse(sizeBytes, allocatedBytes int64) bool { return sizeBytes-allocatedBytes > maxZeros }

// layout is how a log lies on its disk.
type layout struct {
	size, allocated int64
	data            int64 // bytes that are neither in a hole nor in blocks that are only reserved
	holed           bool  // there is a hole between data
	front           int64 // the whole blocks of it, without the last byte: what collapse can take
}

func layoutOf(f *os.File) (l layout, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return l, err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return l, err
	}
	l.size, l.allocated = st.Size, st.Blocks*512
	if fs.Bsize > 0 && l.size > 0 {
		l.front = (l.size - 1) / fs.Bsize * fs.Bsize
	}
	return l, l.look(f)
}

// maxExtents bounds how many pieces of data are counted: a file of more is taken for one with holes.
const maxExtents = 100_000

// look counts the data.
func (l *layout) look(f *os.File) error {
	for at, n := int64(0), 0; at < l.size; n++ {
		data, end, err := nextData(f, at, l.size)
		switch {
		case errors.Is(err, errCut): // it is found out again by the copy
			return nil
		case err != nil:
			return err
		case n == maxExtents:
			l.data, l.holed = 0, true
			return nil
		}
		l.holed = l.holed || l.data > 0 && data > at && data < l.size
		l.data += end - data
		at = end
	}
	return nil
}

// sparse is isSparse by what is known of a log that is open.
func (l *layout) sparse() bool { return isSparse(l.size, min(l.allocated, l.data)) }

// nextData returns where the next data from an offset on begin and end, not beyond until, which
// the file has reached: data = end = until when there are none. A file system that knows no holes
// has data everywhere.
func nextData(f *os.File, from, until int64) (data, end int64, err error) {
	fd := int(f.Fd())
	data, err = unix.Seek(fd, from, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // a hole to its end, or it was cut
		if size, err := sizeOf(f); err != nil || size < until {
			return 0, 0, errors.Join(errCut, err)
		}
		return until, until, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return from, until, nil
	case err != nil:
		return 0, 0, err
	case data >= until:
		return until, until, nil
	}
	if end, err = unix.Seek(fd, data, unix.SEEK_HOLE); err != nil || end > until {
		end = until
	}
	return data, max(end, data+1), nil
}

// checkRoom says ENOSPC when so many bytes more would leave too little on the disk of a folder.
func checkRoom(dirfd int, need int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(dirfd, &st); err != nil || st.Blocks == 0 { // a file system without a size
		return err
	}
	if !fits(&st, need) {
		return unix.ENOSPC
	}
	return nil
}

// fits reports whether so many bytes leave the reserve of a file system free. One that has less than
// nothing left for those who are not root reports an enormous number.
func fits(st *unix.Statfs_t, need int64) bool {
	unit := uint64(max(st.Bsize, 1))
	reserve := min(maxReserve, st.Blocks/100*unit)
	return st.Bavail <= st.Blocks && (uint64(need)+reserve+unit-1)/unit <= st.Bavail
}

// zeros is what a hole reads as.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
