package safefs

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

const (
	copyChunk = 4 << 20 // between two looks at the context
	// maxSyncedTails bounds how often what was written meanwhile is copied and synced before the
	// log is cut: a writer that is faster than the disk would else keep the rotation going for ever.
	maxSyncedTails = 8
	maxTails       = 64 // reads of what came after them
	tailBuffer     = 64 << 10
)

var (
	// errNotOurs says that the name of the copy does not mean the copy: somebody has exchanged it.
	errNotOurs = errors.New("the copy was exchanged")
	// errCut says that somebody else has cut the log meanwhile: what is in it now was not copied.
	errCut = errors.New("the log was cut by somebody else")
)

// CopyTruncate rotates a log during the Visit that found it while its writer keeps it open: a copy
// is written beside it, synced and named; what was written meanwhile is added; then the log is cut
// to nothing. Until the cut every line stands in the log, so a kill loses none and may leave a
// copy of some. What is written between the last read and the cut, a few microseconds, is lost,
// and a line that is being written then is torn: the price of a writer that knows nothing of it. freed is the difference of the blocks.
func (r *Rotator) CopyTruncate(ctx context.Context, e *dirscan.Entry) (name string, freed int64, why Reason) {
	dirfd := e.Parent.FD()
	if r.opts.DryRun {
		if why := r.foreseeHold(e, unix.R_OK|unix.W_OK); why != Removed {
			return "", 0, why
		}
		return "", 0, r.foresee(dirfd, true)
	}
	log, why := r.hold(e, unix.O_RDWR)
	if why != Removed {
		return "", 0, why
	}
	defer log.Close()
	c, err := r.newCopy(dirfd, log, r.opts.Compress)
	if err != nil {
		return "", 0, errorReason(err)
	}
	defer c.close()
	if err := c.add(ctx); err != nil {
		return "", 0, copyReason(err)
	}
	if err := c.publish(func(temp string) (string, error) { return r.take(dirfd, temp, string(e.Name), r.opts.Compress) }); err != nil {
		return "", 0, copyReason(err)
	}
	before := allocatedOf(log)
	if err := r.cut(ctx, c); err != nil {
		return c.name, 0, copyReason(err)
	}
	return c.name, max(0, before-c.allocated()), Removed
}

// cut adds what was written since the copy, and cuts the log right after a read that found nothing
// more.
func (r *Rotator) cut(ctx context.Context, c *logCopy) error {
	for range maxSyncedTails {
		n := c.copied
		if err := c.add(ctx); err != nil {
			return err
		}
		if c.copied == n {
			break
		}
		if err := unix.Fdatasync(int(c.dst.Fd())); err != nil {
			return fmt.Errorf("sync the copy: %w", err)
		}
	}
	if r.beforeTruncate != nil {
		r.beforeTruncate()
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(c.src.Fd()), &st); err != nil {
		return err
	}
	if st.Size < c.copied {
		return errCut
	}
	// Until a read finds nothing: what comes between that read and the cut is lost.
	for range maxTails {
		n, err := c.tail()
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if err := unix.Ftruncate(int(c.src.Fd()), 0); err != nil {
		return fmt.Errorf("truncate the log: %w", err)
	}
	return nil
}

func copyReason(err error) Reason {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Stopped
	case errors.Is(err, errNotOurs), errors.Is(err, errCut):
		return Changed
	}
	return errorReason(err)
}

// logCopy is a copy of a log that is being written.
type logCopy struct {
	dirfd    int
	src, dst *os.File
	temp     string
	name     string // its final name; "" while it has the temporary one
	zip      *gzip.Writer
	stored   *gzip.Writer // for the tails: quick rather than small
	buf      []byte
	begun    bool  // a first member was written, if only an empty one
	copied   int64 // offset in src
	mode     uint32
	ino, dev uint64
}

// newCopy makes an empty file beside a log, with its owner, that nobody else can open yet.
func (r *Rotator) newCopy(dirfd int, src *os.File, compressed bool) (*logCopy, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return nil, err
	}
	c := &logCopy{dirfd: dirfd, src: src, temp: policy.RotationTemp(st.Ino, os.Getpid()), mode: st.Mode & 0o777}
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
		c.copied = start
	}
	if err == nil && compressed {
		if c.zip, err = gzip.NewWriterLevel(c.dst, gzip.BestSpeed); err == nil {
			c.stored, err = gzip.NewWriterLevel(c.dst, gzip.NoCompression)
		}
	}
	c.buf = make([]byte, tailBuffer)
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// add copies what the log has gained. Each call makes a gzip member of its own; a reader of gzip
// files sees them as one.
func (c *logCopy) add(ctx context.Context) error {
	if _, err := c.src.Seek(c.copied, io.SeekStart); err != nil {
		return err
	}
	var to io.Writer = c.dst
	if c.zip != nil {
		c.zip.Reset(c.dst)
		to = c.zip
	}
	before := c.copied
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(to, c.src, copyChunk)
		c.copied += n
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("copy the log: %w", err)
		}
	}
	if c.zip == nil || c.begun && c.copied == before {
		return nil
	}
	c.begun = true
	return c.zip.Close()
}

// tail copies once what the log has gained, with as few calls as can be.
func (c *logCopy) tail() (n int, err error) {
	n, err = unix.Pread(int(c.src.Fd()), c.buf, c.copied)
	if err != nil || n <= 0 {
		return 0, err
	}
	if c.zip == nil {
		_, err = c.dst.Write(c.buf[:n])
	} else {
		c.stored.Reset(c.dst)
		_, err = c.stored.Write(c.buf[:n])
		err = errors.Join(err, c.stored.Close())
	}
	c.copied += int64(n)
	return n, err
}

// publish syncs the copy, gives it its final name by rename, and syncs the folder. From then on it
// stays when it is closed.
func (c *logCopy) publish(rename func(temp string) (string, error)) error {
	fd := int(c.dst.Fd())
	if err := unix.Fchmod(fd, c.mode); err != nil {
		return fmt.Errorf("set the mode of the copy: %w", err)
	}
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
		unlinkAt(c.dirfd, append([]byte(c.name), 0))
	}
}

// close closes the copy, and removes it where it has not got its final name.
func (c *logCopy) close() {
	if c.name == "" && c.bears(c.temp) {
		unlinkAt(c.dirfd, append([]byte(c.temp), 0))
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
