//go:build linux && !portable

package dirscan

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// frame is one level of the walk: a directory whose listing is read buffer by buffer. The
// sub-folders of a buffer are walked before the next one is read, so that memory holds the names
// of one buffer per level and no more.
type frame struct {
	Folder
	offset  int64  // of the listing, to go on after the directory was reopened
	pending []byte // names of sub-folders of the present buffer, each with a NUL
	eof     bool
}

type walker struct {
	ctx     context.Context
	o       *Options
	res     Result
	buf     []byte
	st      unix.Statx_t
	entry   Entry
	entries bool // a file is made an Entry: something is to be called with it
	noStatx bool // it is refused: asked once, not for every entry
	turns   Turns
	stack   []*frame
	spare   []*frame
	held    int // frames from this one up the stack are open, and the root always is
	path    []byte
	device  fileID // of the root
	mounts  mounts
	share   *share // nil when there is one walker
	serial  uint64 // of the last folder
}

const statMask = unix.STATX_TYPE | unix.STATX_MODE | unix.STATX_NLINK | unix.STATX_UID | unix.STATX_GID |
	unix.STATX_INO | unix.STATX_SIZE | unix.STATX_BLOCKS | unix.STATX_ATIME | unix.STATX_MTIME | unix.STATX_CTIME

const statFlags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC

// ScanFD is Scan from a directory that is open already; it closes fd.
func ScanFD(ctx context.Context, fd int, o Options) (Result, error) {
	if o.MaxDepth <= 0 {
		o.MaxDepth = defaultMaxDepth
	}
	var res Result
	var err error
	if o.Workers > 1 && o.Leave == nil && o.Link == nil {
		res, err = scanShared(ctx, fd, &o)
	} else {
		w := newWalker(ctx, &o, nil)
		err = w.walk(fd)
		res = w.res
	}
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return res, err
}

// newWalker makes a walker with options of its own.
func newWalker(ctx context.Context, o *Options, s *share) *walker {
	if o.ExceptOf != nil {
		o.Except = o.ExceptOf()
	}
	return &walker{
		ctx: ctx, o: o, share: s, buf: make([]byte, direntBuffer), held: 1, mounts: mounts{read: o.Foreign},
		entries: o.Visit != nil || o.Age != nil || o.Shapes != nil, noStatx: statxRefused(),
	}
}

// walk walks from the root.
func (w *walker) walk(fd int) (err error) {
	w.push(fd, nil, nil)
	defer w.close()
	return w.run()
}

func (w *walker) push(fd int, parent *Folder, name []byte) {
	f := w.frame(fd, parent, name)
	w.stack = append(w.stack, f)
	if w.o.Enter != nil {
		w.o.Enter(&f.Folder)
	}
	if len(w.stack)-w.held > heldLevels { // the one furthest up is reopened when it is needed
		up := w.stack[w.held]
		up.self, _ = identify(up.fd)
		unix.Close(up.fd)
		up.fd = -1
		w.held++
	}
	w.res.Folders++
}

// frame returns a frame that is not on the stack.
func (w *walker) frame(fd int, parent *Folder, name []byte) (f *frame) {
	if n := len(w.spare); n > 0 {
		f, w.spare = w.spare[n-1], w.spare[:n-1]
		pending := f.pending[:0]
		*f = frame{pending: pending}
	} else {
		f = &frame{}
	}
	w.serial++
	f.Folder = Folder{fd: fd, parent: parent, name: name, serial: w.serial}
	if parent != nil {
		f.depth = parent.depth + 1
	}
	return f
}

func (w *walker) pop() {
	n := len(w.stack) - 1
	f := w.stack[n]
	if f.fd >= 0 {
		unix.Close(f.fd)
	}
	if len(w.spare) < heldLevels {
		w.spare = append(w.spare, f)
	}
	w.stack = w.stack[:n]
}

func (w *walker) close() {
	for len(w.stack) > 0 {
		w.pop()
	}
}

func identify(fd int) (fileID, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return fileID{uint64(st.Dev), st.Ino}, err
}

func (w *walker) run() (err error) {
	if w.device, err = identify(w.stack[0].fd); err != nil {
		return err
	}
	for len(w.stack) > 0 {
		f := w.stack[len(w.stack)-1]
		if f.fd < 0 && !w.reopen() {
			w.res.Skipped[SkipVanished]++
			f.miss(SkipVanished.String())
			w.pop()
			f.left()
			continue
		}
		if len(f.pending) > 0 {
			if w.share != nil && w.share.hungry.Load() > 0 {
				w.give()
			}
			w.descend(f)
			continue
		}
		if f.eof {
			if err := w.leave(f); err != nil {
				return err
			}
			continue
		}
		if err := w.read(f); err != nil {
			return err
		}
	}
	return nil
}

// leave ends a folder that has been walked.
func (w *walker) leave(f *frame) error {
	w.pop()
	f.fd = -1
	f.left()
	if w.o.Leave == nil {
		return nil
	}
	return w.o.Leave(&f.Folder)
}

// reopen opens the present directory again, and those above it that may be held, by their path
// from the root, which is always held. It reports false when one of them is not what it was.
func (w *walker) reopen() bool {
	top := len(w.stack) - 1
	w.held = max(1, top-heldLevels+1)
	w.path = w.stack[w.held].AppendPath(w.path[:0])
	w.path[len(w.path)-1] = 0
	fd, err := openBeneath(w.stack[0].fd, w.path[len(w.stack[0].name):], childHow)
	for i := w.held; err == nil; i++ {
		f := w.stack[i]
		f.fd = fd
		if id, idErr := identify(fd); idErr != nil || id != f.self {
			break
		}
		if _, err = unix.Seek(fd, f.offset, 0); err != nil {
			break
		}
		if i == top {
			return true
		}
		fd, err = open(fd, w.stack[i+1].name, childHow)
	}
	for _, f := range w.stack[w.held:] {
		if f.fd >= 0 {
			unix.Close(f.fd)
			f.fd = -1
		}
	}
	w.held = top // it is popped next
	return false
}

// descend opens the next sub-folder that waits in f.
func (w *walker) descend(f *frame) {
	end := len(f.pending) - 1 // the last byte is the NUL of the last name
	start := end
	for start > 0 && f.pending[start-1] != 0 {
		start--
	}
	name := f.pending[start:end] // stays where it is: nothing is added before the sub-folder has been walked
	f.pending = f.pending[:start]
	if f.depth >= w.o.MaxDepth {
		w.res.Skipped[SkipDepth]++
		f.missBelow(SkipDepth.String())
		return
	}
	fd, err := open(f.fd, name, childHow)
	switch {
	case err == nil:
		w.push(fd, &f.Folder, name)
	case errors.Is(err, unix.EXDEV):
		w.res.Skipped[SkipMount]++
		f.missBelow(SkipMount.String())
	case errors.Is(err, unix.ELOOP): // exchanged since it was listed, as below
		w.res.Skipped[SkipSymlink]++
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		w.res.Skipped[SkipVanished]++
	default:
		f.missBelow(ErrorReason(w.fail(err)))
	}
}

func (w *walker) fail(err error) unix.Errno {
	errno, ok := err.(unix.Errno) //nolint:errorlint // straight from a system call
	if !ok {
		errno = unix.EIO
	}
	w.res.fail(errno)
	return errno
}

// read takes one buffer of f's listing: files are looked at at once, sub-folders are kept.
func (w *walker) read(f *frame) error {
	buf := w.buf
	if f.depth > heldLevels {
		buf = buf[:deepBuffer]
	}
	n, err := unix.Getdents(f.fd, buf)
	for err == unix.EINTR {
		n, err = unix.Getdents(f.fd, buf)
	}
	if err != nil || n <= 0 {
		f.eof = true
		if err != nil && err != unix.ENOENT {
			f.miss(ErrorReason(w.fail(err)))
		}
		return nil
	}
	return w.list(f, buf[:n])
}

// list looks at what one buffer of f's listing holds.
func (w *walker) list(f *frame, buf []byte) error {
	for len(buf) > 0 {
		d, size := cutDirent(buf)
		if size == 0 { // not a record: the rest of the buffer cannot be read
			f.miss(ErrorReason(w.fail(unix.EIO)))
			break
		}
		buf = buf[size:]
		f.offset = d.offset
		if isSelf(d.name) {
			continue
		}
		if w.res.Entries++; w.res.Entries%checkEvery == 0 {
			w.turns.Take()
			if err := w.ctx.Err(); err != nil {
				return err
			}
		}
		if err := w.look(f, d.kind, d.name); err != nil {
			return err
		}
	}
	return nil
}
