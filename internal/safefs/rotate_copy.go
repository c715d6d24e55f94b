package safefs

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

const (
	copyChunk  = 4 << 20 // between two looks at the context and at the free space
	blockSlack = 1 << 20 // by which the blocks of a file may differ from what it holds
)

var (
	// errNotOurs says that the name of the copy does not mean the copy: someone has exchanged it.
	errNotOurs = errors.New("the copy was exchanged")
	// errCut says that someone else has cut the log meanwhile: what is in it now was not copied.
	errCut = errors.New("the log was cut by someone else")
	// errMoved says that the folder of the log was moved out of the root meanwhile.
	errMoved = errors.New("the folder of the log was moved")
	// errBusy says that the log grew whenever it was about to be cut.
	errBusy = errors.New("the log never stopped growing")
	// errSparse says that the copy takes much more of the disk than the log: its file system does
	// not say where the holes are.
	errSparse = errors.New("the log has holes that cannot be found")
)

func copyReason(err error) Reason {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Stopped
	case errors.Is(err, errNotOurs), errors.Is(err, errCut):
		return Changed
	case errors.Is(err, errMoved):
		return Moved
	case errors.Is(err, errBusy):
		return Busy
	case errors.Is(err, errSparse):
		return Sparse
	}
	return errorReason(err)
}

// logCopy is a copy of a log that may be written meanwhile.
type logCopy struct {
	dirfd    int
	src, dst *os.File
	temp     string
	name     string // its final name; "" while it has the temporary one
	zip      *gzip.Writer
	begun    bool // a first member was written, if only an empty one
	private  bool // the access list could not be kept

	most   int64 // blocks, in bytes, that the log had at the start: the copy of what it had may take no more
	size   int64 // of the log at the start
	used   int64 // bytes of the log below size that were copied as data
	start  int64 // offset in src: the hole before it is not copied
	copied int64 // offset in src
	// kept is an offset in src up to which the copy can be taken back, and keptSize its size then.
	kept, keptSize int64

	mode     uint32
	ino, dev uint64
}

// newCopy makes an empty file alongside a log, with its owner, that only the owner can open yet.
func (r *Rotator) newCopy(dirfd int, src *os.File, compressed bool) (*logCopy, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return nil, err
	}
	c := &logCopy{dirfd: dirfd, src: src, temp: policy.RotationTemp(st.Ino, os.Getpid()), mode: st.Mode & 0o777, size: st.Size, most: st.Blocks*512 + blockSlack}
	fd, err := unix.Openat(dirfd, c.temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	c.dst = os.NewFile(uintptr(fd), c.temp)
	var own unix.Stat_t
	if err = unix.Fstat(fd, &own); err == nil && (own.Uid != st.Uid || own.Gid != st.Gid) {
		err = unix.Fchown(fd, int(st.Uid), int(st.Gid))
	}
	c.ino, c.dev = own.Ino, own.Dev
	// What a writer that does not append has left before its place is not there: a hole.
	if start, seekErr := unix.Seek(int(src.Fd()), 0, unix.SEEK_DATA); err == nil && seekErr == nil {
		c.start, c.copied = start, start
	}
	if err == nil && compressed {
		c.zip, err = gzip.NewWriterLevel(c.dst, gzip.BestSpeed)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// add copies what the log has up to an offset that it has reached. Holes stay holes. Each call
// makes a gzip member of its own; a reader of gzip files sees them as one.
func (c *logCopy) add(ctx context.Context, until int64) error {
	if c.begun && until <= c.copied {
		return nil
	}
	c.begun = true
	var to io.Writer = c.dst
	if c.zip != nil {
		c.zip.Reset(c.dst)
		to = c.zip
	}
	for c.copied < until {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.step(to, until); err != nil {
			return fmt.Errorf("copy the log: %w", err)
		}
	}
	if c.zip == nil {
		return nil
	}
	return c.zip.Close()
}

// step copies a chunk, or passes over a hole.
func (c *logCopy) step(to io.Writer, until int64) error {
	data, end, err := nextData(c.src, c.copied, until)
	if err != nil {
		return err
	}
	if data > c.copied {
		return c.hole(to, data-c.copied)
	}
	n := min(end-c.copied, copyChunk)
	if err := c.checkSize(n); err != nil {
		return err
	}
	if _, err := c.src.Seek(c.copied, io.SeekStart); err != nil {
		return err
	}
	n, err = io.CopyN(to, c.src, n)
	c.used += max(0, min(c.copied+n, c.size)-c.copied)
	c.copied += n
	if errors.Is(err, io.EOF) {
		return errCut
	}
	return err
}

// checkSize says whether the copy may grow by so many bytes. What the log had at the start takes no more
// blocks in the copy than it had: more is zeros that a file system which knows no holes makes of them.
// What is written is counted, since some file systems reserve blocks ahead of it.
func (c *logCopy) checkSize(n int64) error {
	if old := min(n, c.size-c.copied); old > 0 && c.used+old > c.most {
		if err := c.sync(); err != nil { // a file system that compresses does it only now
			return err
		}
		if c.allocated() > c.most {
			return errSparse
		}
	}
	return checkRoom(c.dirfd, n)
}

// hole leaves a hole in the copy; in a gzip file it takes zeros, a chunk at a time.
func (c *logCopy) hole(to io.Writer, n int64) error {
	if c.zip != nil {
		n, err := io.CopyN(to, zeros{}, min(n, copyChunk))
		c.copied += n
		return err
	}
	size, err := c.dst.Seek(n, io.SeekCurrent)
	if err != nil {
		return err
	}
	c.copied += n
	return unix.Ftruncate(int(c.dst.Fd()), size)
}

// keep remembers where the copy stands, for back.
func (c *logCopy) keep() error {
	size, err := c.dst.Seek(0, io.SeekCurrent)
	c.kept, c.keptSize = c.copied, size
	return err
}

// back takes away what was added since keep.
func (c *logCopy) back() error {
	if c.copied == c.kept {
		return nil
	}
	if err := unix.Ftruncate(int(c.dst.Fd()), c.keptSize); err != nil {
		return fmt.Errorf("shorten the copy: %w", err)
	}
	if _, err := c.dst.Seek(c.keptSize, io.SeekStart); err != nil {
		return err
	}
	c.copied = c.kept
	return c.sync()
}

func (c *logCopy) sync() error {
	if err := unix.Fdatasync(int(c.dst.Fd())); err != nil {
		return fmt.Errorf("sync the copy: %w", err)
	}
	return nil
}

// publish gives the copy the access of the log, syncs it, gives it its final name by rename, and
// syncs the folder. From then on it stays when it is closed.
func (c *logCopy) publish(rename func(temp string) (string, error)) error {
	fd := int(c.dst.Fd())
	private, err := keepAccess(fd, int(c.src.Fd()), c.mode)
	if err != nil {
		return fmt.Errorf("set the mode of the copy: %w", err)
	}
	c.private = private
	if err := unix.Fsync(fd); err != nil {
		return fmt.Errorf("sync the copy: %w", err)
	}
	name, err := rename(c.temp)
	if err != nil {
		return fmt.Errorf("rename the copy: %w", err)
	}
	c.name = name
	if err := unix.Fsync(c.dirfd); err != nil {
		return fmt.Errorf("sync the folder: %w", err)
	}
	if !c.bears(name) {
		return errNotOurs
	}
	return nil
}

// bears reports whether a name in the folder means the copy.
func (c *logCopy) bears(name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(c.dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Ino == c.ino && st.Dev == c.dev
}

// withdraw removes the copy under its final name.
func (c *logCopy) withdraw() {
	if c.name != "" && c.bears(c.name) {
		removeAt(c.dirfd, append([]byte(c.name), 0), 0)
	}
}

// close closes the copy, and removes it where it has not got its final name.
func (c *logCopy) close() {
	if c.name == "" && c.bears(c.temp) {
		removeAt(c.dirfd, append([]byte(c.temp), 0), 0)
	}
	c.dst.Close()
}

func (c *logCopy) allocated() int64 { return allocatedOf(c.dst) }

func allocatedOf(f *os.File) int64 {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0
	}
	return st.Blocks * 512
}
