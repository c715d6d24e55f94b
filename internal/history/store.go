package history

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// FileName is that of the history in the folder of the journal.
const FileName = "history.db"

// Options configure a Store.
type Options struct {
	Path       string
	Keep       time.Duration // how long values are kept; default 14 days
	MaxBytes   int64         // size that the file never exceeds; default 64 MiB
	ReadOnly   bool          // alongside a process that writes: what that adds after Open is not seen
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time      // default time.Now
}

// file is what a Store needs of a file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// Store is the file of the history. It is safe for concurrent use; readers never wait for the disk of a
// writer.
type Store struct {
	opts    Options
	metrics *metrics
	wrap    func(file) file // of tests: what goes wrong with the disk

	spaces sync.Pool // of *space

	writing sync.Mutex // held by whoever writes, and while the file is opened and closed

	mu      sync.RWMutex // never held at the disk
	file    file
	rows    *rows
	blocks  []block // by their sequence
	failing bool    // the last append failed
	damaged map[damage]struct{}
}

// damage is a series of a block that was found to be damaged.
type damage struct {
	seq uint64
	at  uint32
}

// New returns a Store that is not open yet: it answers ErrNotOpen.
func New(o Options) *Store {
	if o.Keep <= 0 {
		o.Keep = defaultKeep.Std()
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = int64(defaultMaxBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{opts: o, metrics: newMetrics(o.Registerer), damaged: make(map[damage]struct{})}
}

// Open opens the file, or makes it. Damaged parts are dropped and counted. A file of a later version, one
// that is not a history and one that another process writes are left as they are.
func (s *Store) Open() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	f, err := s.openFile()
	if err != nil {
		return err
	}
	if err := s.load(f); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", s.opts.Path, err), f.Close())
	}
	s.mu.Lock()
	s.file = f
	s.mu.Unlock()
	s.metrics.sized(s.size())
	return nil
}

func (s *Store) openFile() (file, error) {
	flags := os.O_RDWR | os.O_CREATE
	if s.opts.ReadOnly {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(s.opts.Path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: it is not a regular file: move it away", ErrForeign)
	case !s.opts.ReadOnly:
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.opts.Path, err), f.Close())
	}
	if s.wrap != nil {
		return s.wrap(f), nil
	}
	return f, nil
}

// load reads what the file holds. Nothing is written before it is known to be a history.
func (s *Store) load(f file) error {
	page := make([]byte, pageSize)
	n, err := f.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	fresh, damaged, err := decodeHeader(page[:n])
	if err != nil {
		return err
	}
	if (fresh || damaged > 0) && !s.opts.ReadOnly {
		if _, err := f.WriteAt(encodeHeader(), 0); err != nil {
			return err
		}
	}
	blocks, lost, err := loadBlocks(f, s.limit())
	if err != nil {
		return err
	}
	damaged += lost
	least := uint64(0)
	for i := range blocks {
		least = max(least, blocks[i].gen)
	}
	r, lost, err := loadRows(f, least)
	if err != nil {
		return err
	}
	if err := s.cut(f); err != nil {
		return err
	}
	s.mu.Lock()
	s.blocks, s.rows = blocks, r
	s.mu.Unlock()
	s.dropped(damaged+lost, "found when it was opened")
	return nil
}

// cut shortens a file that was written with a larger bound.
func (s *Store) cut(f file) error {
	if s.opts.ReadOnly {
		return nil
	}
	n, err := f.ReadAt(make([]byte, 1), s.limit())
	if n == 0 {
		return unlessShort(err)
	}
	return f.Truncate(s.limit())
}

// limit is where the blocks end at the latest.
func (s *Store) limit() int64 {
	if s.opts.ReadOnly {
		return int64(maxMaxBytes)
	}
	return s.opts.MaxBytes &^ (pageSize - 1)
}

// loadBlocks finds the blocks. One that lies beyond the limit is dropped.
func loadBlocks(f io.ReaderAt, limit int64) (blocks []block, damaged int, err error) {
	var h [blockHeader]byte
	var space []byte
	for at := int64(blocksStart); at+blockHeader <= limit; {
		if err := readFull(f, h[:], at); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, 0, err
		}
		b, ours, ok := decodeBlock(h[:], at)
		if ok {
			_, _, ok, err = readIndex(f, &b, &space)
			if err != nil {
				return nil, 0, err
			}
		}
		switch {
		case !ok:
			if ours {
				damaged++
			}
			at += pageSize
			continue
		case b.end() <= limit:
			blocks = append(blocks, b)
		}
		at = b.end()
	}
	slices.SortFunc(blocks, func(a, b block) int { return cmp.Compare(a.seq, b.seq) })
	return blocks, damaged, nil
}

// loadRows finds the rows that are in no block yet, those of a generation above least.
func loadRows(f io.ReaderAt, least uint64) (*rows, int, error) {
	r := newRows(0)
	sc := scanner{from: f, least: least, limit: blocksStart}
	unread := 0
	end, damaged, err := sc.scan(func(f frame) {
		r.gen = f.gen
		switch {
		case f.kind == kindNames && !r.learn(f.payload):
			unread++
		case f.kind == kindRow:
			r.count++
		}
	})
	if err != nil {
		return nil, 0, err
	}
	if damaged += unread; damaged > 0 {
		r.count = blockRows // they become a block with the next row, and leave the damage behind
	}
	r.gen, r.end = max(r.gen, least+1), end
	return r, damaged, nil
}

// dropped reports damaged parts.
func (s *Store) dropped(n int, when string) {
	if n == 0 {
		return
	}
	s.metrics.dropped(n)
	s.opts.Logger.Warn("damaged parts of the history were dropped", "parts", n, "path", s.opts.Path, "when", when)
}

// size returns the bytes that hold values.
func (s *Store) size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.rows.end
	for i := range s.blocks {
		n += s.blocks[i].size
	}
	return n
}

// Close closes the file. Readers that are under way fail.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	f := s.file
	s.file = nil
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.Close()
}

// Path returns where the file is.
func (s *Store) Path() string { return s.opts.Path }
