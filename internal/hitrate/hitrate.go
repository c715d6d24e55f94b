package hitrate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// mask asks for both ends of an open. OPEN alone is not enough: equal events in a row become
	// one (inotify(7)), and a file that is read twice gives OPEN, OPEN.
	mask = unix.IN_OPEN | unix.IN_CLOSE_NOWRITE | unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE |
		unix.IN_ONLYDIR | unix.IN_EXCL_UNLINK

	// At 10,000 opens a second some 2,000 events wait after 100 ms, of the 16,384 that the kernel keeps.
	busyEvery = 100 * time.Millisecond
	idleEvery = 250 * time.Millisecond

	readBuffer = 64 << 10
	minEvent   = unix.SizeofInotifyEvent

	defaultFolders = 8192
	mostRecent     = 32 << 10 // files of one generation whose last use is remembered
	mostFills      = 1024     // files that are being filled, or were just now
)

// ErrFolders says that the cache has more folders than are watched: what happens in the others is
// not seen, so nothing is said of the hits.
var ErrFolders = errors.New("has too many folders to watch them all")

// Counts are totals since the Watch was made.
type Counts struct {
	Hits, Misses uint64
	Overflows    uint64 // times that the kernel's queue ran over
	Folders      int    // watched now
}

// Options configure a Watch.
type Options struct {
	Select     func(name []byte) bool // the files that count; required
	MaxFolders int                    // default 8192
	Now        func() time.Time       // default time.Now
}

// Watch follows the folders of one cache. Its methods are safe for concurrent use.
type Watch struct {
	opts Options
	done chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	fd      int
	closed  bool
	buf     []byte
	folders map[int32]folder
	round   uint64
	counts  Counts
	mark    Counts              // before the present interval, which an overflow voids
	full    bool                // a folder could not be watched
	paused  int                 // clean-ups of our own that run now
	fills   map[uint64]struct{} // files made and not yet closed
	moves   map[uint32]bool     // by cookie: files moved away, true where that was not a file that counts
	recent  [2]map[uint64]int64 // last use by file: this generation and the one before
}

type folder struct {
	seed  uint64 // of the hash of its path
	round uint64 // of the last scan that met it
}

// New returns a Watch that follows no folder yet. The error says which limit of the kernel is in
// the way.
func New(o Options) (*Watch, error) {
	if o.MaxFolders <= 0 {
		o.MaxFolders = defaultFolders
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		if errors.Is(err, unix.EMFILE) {
			return nil, fmt.Errorf("watch opens: %w: raise the sysctl fs.inotify.max_user_instances", err)
		}
		return nil, fmt.Errorf("watch opens: %w", err)
	}
	w := &Watch{
		opts: o, fd: fd, done: make(chan struct{}), buf: make([]byte, readBuffer),
		folders: make(map[int32]folder), fills: make(map[uint64]struct{}), moves: make(map[uint32]bool),
		recent: [2]map[uint64]int64{make(map[uint64]int64), nil},
	}
	w.wg.Go(w.read)
	return w, nil
}

// Close ends the watch.
func (w *Watch) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	close(w.done)
	err := unix.Close(w.fd)
	w.mu.Unlock()
	w.wg.Wait()
	return err
}

// Follow watches an open folder of the cache. path is relative to the cache's root, with a slash
// at its end, or empty for the root itself. A folder that is followed already is a cheap call.
func (w *Watch) Follow(fd int, path []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	wd, err := unix.InotifyAddWatch(w.fd, "/proc/self/fd/"+strconv.Itoa(fd), mask)
	switch {
	case errors.Is(err, unix.ENOSPC):
		w.full = true
		return fmt.Errorf("%w: raise the sysctl fs.inotify.max_user_watches", ErrFolders)
	case err != nil:
		return fmt.Errorf("watch folder %q: %w", path, err)
	}
	if _, known := w.folders[int32(wd)]; !known && len(w.folders) >= w.opts.MaxFolders {
		_, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) // it is gone with its folder at the latest
		w.full = true
		return fmt.Errorf("%w: %d are", ErrFolders, w.opts.MaxFolders)
	}
	w.folders[int32(wd)] = folder{seed: hash(offset64, path), round: w.round}
	return nil
}

// Counts returns the totals. The error is ErrFolders while some folder is not watched.
func (w *Watch) Counts() (Counts, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.counts
	c.Folders = len(w.folders)
	if w.full {
		return c, ErrFolders
	}
	return c, nil
}

// Begin is called before the folders are followed again, with a scan of the whole cache: a folder
// that was too many may be gone.
func (w *Watch) Begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.full = false
	w.round++
}

// End is called after a complete scan: folders that it did not meet have left the cache, and what
// happens in them no longer counts.
func (w *Watch) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for wd, f := range w.folders {
		if f.round != w.round && !w.closed {
			_, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) // fails where the folder is gone: so is the watch
			delete(w.folders, wd)
		}
	}
}

// LastUseNs returns when the file with this path, relative to the root, was last opened, in
// nanoseconds since 1970, as far as that is remembered; 0 when it is not. Two files may share an
// answer by chance, once in 2^64: the one that was used less then seems used later.
func (w *Watch) LastUseNs(path []byte) int64 {
	key := hash(offset64, path)
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(w.recent[0][key], w.recent[1][key])
}

// CatchUp takes in what has happened until now: else the last quarter of a second may be missing.
func (w *Watch) CatchUp() { w.drain() }

// Pause leaves out what happens until resume is called, which a clean-up of our own does: it opens
// files to see whether they are in use.
func (w *Watch) Pause() (resume func()) {
	w.drain()
	w.mu.Lock()
	w.paused++
	w.mu.Unlock()
	return sync.OnceFunc(func() {
		w.drain()
		w.mu.Lock()
		w.paused--
		w.mu.Unlock()
	})
}

// read looks at intervals, so that a busy cache costs few wake-ups: the runtime's poller, or a
// blocked read, would wake up for every single event.
func (w *Watch) read() {
	pause := time.NewTimer(busyEvery)
	for {
		select {
		case <-w.done:
			return
		case <-pause.C:
		}
		every := idleEvery
		if w.drain() {
			every = busyEvery
		}
		pause.Reset(every)
	}
}

// drain takes what waits in the kernel now and reports whether there was anything.
func (w *Watch) drain() (any bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed {
		n, err := unix.Read(w.fd, w.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		any = true
		w.take(w.buf[:n])
	}
	w.mark = w.counts
	return any
}

// take counts events in the order in which they happened.
func (w *Watch) take(b []byte) {
	voided := false
	now := w.opts.Now().UnixNano()
	for len(b) >= minEvent {
		e := event{
			wd: int32(binary.NativeEndian.Uint32(b)), mask: binary.NativeEndian.Uint32(b[4:]),
			cookie: binary.NativeEndian.Uint32(b[8:]),
		}
		size := minEvent + int(binary.NativeEndian.Uint32(b[12:]))
		if size > len(b) {
			break
		}
		e.name, _, _ = bytes.Cut(b[minEvent:size], []byte{0})
		b = b[size:]
		if e.mask&unix.IN_Q_OVERFLOW != 0 {
			w.counts.Overflows++
			voided = true
			continue
		}
		w.event(&e, now)
	}
	if voided {
		w.counts.Hits, w.counts.Misses = w.mark.Hits, w.mark.Misses
		clear(w.fills)
		clear(w.moves)
	}
}

type event struct {
	wd           int32
	mask, cookie uint32
	name         []byte
}

func (w *Watch) event(e *event, now int64) {
	if e.mask&unix.IN_OPEN != 0 { // asked for to keep the closes apart; who has it open is in use anyhow
		return
	}
	dir, known := w.folders[e.wd]
	if e.mask&unix.IN_IGNORED != 0 {
		delete(w.folders, e.wd)
		return
	}
	if !known || e.mask&unix.IN_ISDIR != 0 || len(e.name) == 0 || w.paused > 0 {
		return
	}
	selected := w.opts.Select(e.name)
	key := hash(dir.seed, e.name)
	switch {
	case e.mask&unix.IN_MOVED_FROM != 0: // comes before its MOVED_TO
		bound(w.moves)
		w.moves[e.cookie] = !selected
		return
	case !selected:
		return
	case e.mask&unix.IN_CREATE != 0:
		bound(w.fills)
		w.fills[key] = struct{}{}
	case e.mask&unix.IN_CLOSE_WRITE != 0:
		delete(w.fills, key)
		w.counts.Misses++
	case e.mask&unix.IN_MOVED_TO != 0:
		// A rename within the cache was counted when the file was filled under its first name,
		// unless that name did not count.
		if other, within := w.moves[e.cookie]; !within || other {
			w.counts.Misses++
		}
		delete(w.moves, e.cookie)
	case e.mask&unix.IN_CLOSE_NOWRITE != 0:
		if _, filling := w.fills[key]; filling {
			break // by a reader that does not wait for the writer: neither
		}
		w.counts.Hits++
	case e.mask&unix.IN_DELETE != 0:
		delete(w.fills, key)
		return
	}
	w.remember(key, now)
}

// remember keeps the last use of a file. Of two generations the older is given up when the newer
// one is full, so that the memory is bounded; a file that is forgotten counts by its times on disk.
func (w *Watch) remember(key uint64, now int64) {
	if len(w.recent[0]) >= mostRecent {
		w.recent[1], w.recent[0] = w.recent[0], make(map[uint64]int64)
	}
	w.recent[0][key] = now
}

// bound empties a map that has grown beyond what is under way at any time.
func bound[K comparable, V any](m map[K]V) {
	if len(m) >= mostFills {
		clear(m)
	}
}

// FNV-1a, so that a path can be hashed folder first: see hash/fnv, which cannot go on from a sum.
const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

func hash(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * prime64
	}
	return h
}
