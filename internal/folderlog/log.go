package folderlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// FileName is that of the log in the folder of the journal.
	FileName = "folders.db"
	// MaxBytes is the size that the file never exceeds.
	MaxBytes = 40 << 20

	// MostPerHour is the number of events of one folder in an hour above which it is sampled more thinly.
	MostPerHour = 12_000
	// ListEvery is how often all files of a folder are listed, so that what is kept can be understood by itself.
	ListEvery = 24 * time.Hour

	flushBytes  = 32 << 10
	flushAfter  = 5 * time.Minute
	keptUnsaved = 256 << 10 // of a folder, while nothing can be written
)

// file is what a Log needs of a file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
}

// Log is the file. It is safe for concurrent use. Nothing is written before the first Flush, so one that is opened to be
// read takes nothing away from the process that writes.
type Log struct {
	path string
	max  int64
	log  *slog.Logger
	wrap func(file) file // of tests: what goes wrong with the disk

	writing sync.Mutex // held by whoever writes
	file    file       // nil before the first write
	end     int64      // where the next frame goes
	seq     uint64     // of the last frame
	synced  time.Time
	failing bool // the last write failed

	mu      sync.Mutex // never held at the disk
	folders map[string]*folder
	damaged int
}

// folder is what is not written yet of one folder.
type folder struct {
	bits     uint
	thinnest uint // the sample that all of events are in
	events   []byte
	base     int64 // time of the event before the first of events
	last     int64 // and of the last one
	epoch    int   // how often events were given up
	first    time.Time
	scan     time.Time // when the last one began; the times of events are those of files, which anyone can set
	listed   time.Time
	hour     time.Time
	count    int // of events in it
}

// Open returns the log in a folder, which need not exist. A file of a later version and one that is something else are
// errors.
func Open(dir string) (*Log, error) {
	l := &Log{path: filepath.Join(dir, FileName), max: MaxBytes, log: slog.New(slog.DiscardHandler), folders: make(map[string]*folder)}
	f, err := l.open(os.O_RDONLY)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l, nil
	case err != nil:
		return nil, err
	}
	defer f.Close()
	_, err = l.check(f)
	return l, err
}

// LogTo has failures logged, once for as long as one lasts. It is called before anything is recorded.
func (l *Log) LogTo(logger *slog.Logger) { l.log = logger }

func (l *Log) open(flags int) (file, error) {
	f, err := os.OpenFile(l.path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: it is not a regular file: move it away", ErrForeign)
	case flags != os.O_RDONLY:
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", l.path, err), f.Close())
	}
	if l.wrap != nil {
		return l.wrap(f), nil
	}
	return f, nil
}

func (l *Log) check(f io.ReaderAt) (fresh bool, err error) {
	page := make([]byte, pageSize)
	n, err := f.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	fresh, err = checkHeader(page[:n])
	if err != nil {
		err = fmt.Errorf("%s: %w", l.path, err)
	}
	return fresh, err
}

// Begin is called before a scan of a folder. It returns the sample of it, and whether all of its files are to be listed:
// then all of them are in the sample again, until there are too many.
func (l *Log) Begin(name string, now time.Time) (bits uint, list bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.folder(name)
	d.scan = now
	since := now.Sub(d.listed)
	list = d.listed.IsZero() || since >= ListEvery || since < 0
	if list {
		d.bits, d.hour = 0, time.Time{}
	}
	return d.bits, list
}

// folder is called with mu held.
func (l *Log) folder(name string) *folder {
	d := l.folders[name]
	if d == nil {
		d = new(folder)
		l.folders[name] = d
	}
	return d
}

// Thin halves the sample of a folder, because it has too many files.
func (l *Log) Thin(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.folder(name)
	d.bits = min(d.bits+1, maxBits)
}

// Record notes what became of a file, if that is in the sample of its folder. It never waits; Flush writes it.
func (l *Log) Record(kind Kind, at time.Time, name string, hash uint64, size int64) {
	l.record(name, &Event{Kind: kind, Time: at, Hash: hash, Size: size})
}

// Find notes a file that is there after a Listed.
func (l *Log) Find(at time.Time, name string, hash uint64, size int64, written, used time.Time) {
	l.record(name, &Event{Kind: Found, Time: at, Hash: hash, Size: size, Written: written, Used: used})
}

func (l *Log) record(name string, e *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.folder(name)
	if !Sampled(e.Hash, d.bits) {
		return
	}
	switch e.Kind {
	case Listed:
		d.listed = e.Time
	case Found:
	default:
		d.rate(d.noticed(e))
	}
	if len(d.events) == 0 {
		d.first, d.base, d.last, d.thinnest = d.noticed(e), e.Time.UnixMilli(), e.Time.UnixMilli(), d.bits
	}
	d.events, d.thinnest = appendEvent(d.events, e, d.last), max(d.thinnest, d.bits)
	d.last = e.Time.UnixMilli()
	if len(d.events) > keptUnsaved { // nothing can be written: what is lost is listed once it can
		d.events, d.listed = nil, time.Time{}
		d.epoch++
	}
}

// noticed returns when an event was seen.
func (d *folder) noticed(e *Event) time.Time {
	if d.scan.IsZero() {
		return e.Time
	}
	return d.scan
}

// rate counts an event, and makes the sample thinner where there are too many.
func (d *folder) rate(at time.Time) {
	if since := at.Sub(d.hour); since >= time.Hour || since < -time.Hour {
		d.hour, d.count = at, 0
	}
	if d.count++; d.count > MostPerHour {
		d.bits, d.count = min(d.bits+1, maxBits), d.count/2
	}
}

// Flush writes what has waited for long enough, or is enough. After a failure, such as that of a full disk, which is
// logged, the next one writes in the same place.
func (l *Log) Flush(now time.Time) error {
	err := l.flush(now, false)
	l.writing.Lock()
	was := l.failing
	l.failing = err != nil
	l.writing.Unlock()
	switch {
	case err != nil && !was:
		l.log.Warn("the log of folders cannot be written: nothing else depends on it, and it goes on once it can", "path", l.path, "err", err)
	case err == nil && was:
		l.log.Info("the log of folders is written again", "path", l.path)
	}
	return err
}

// Close writes what is left, and closes the file.
func (l *Log) Close() error {
	err := l.flush(time.Time{}, true)
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.file == nil {
		return err
	}
	err = errors.Join(err, l.file.Sync(), l.file.Close())
	l.file = nil
	return err
}

func (l *Log) flush(now time.Time, all bool) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	for {
		d, f, ok := l.due(now, all)
		if !ok {
			return l.sync(now)
		}
		if err := l.write(&f.frame); err != nil {
			return err
		}
		l.wrote(d, &f)
	}
}

// pending is a frame that is to be written.
type pending struct {
	frame
	epoch int
}

// due returns the events of a folder that are to be written.
func (l *Log) due(now time.Time, all bool) (d *folder, f pending, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, d := range l.folders {
		waited := now.Sub(d.first)
		if len(d.events) > 0 && (all || len(d.events) >= flushBytes || waited >= flushAfter || waited < 0) {
			return d, pending{frame{bits: d.thinnest, base: d.base, folder: []byte(name), events: slices.Clone(d.events)}, d.epoch}, true
		}
	}
	return nil, f, false
}

// wrote forgets the events of a folder that are on the disk, unless they were given up meanwhile.
func (l *Log) wrote(d *folder, f *pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.epoch != d.epoch {
		return
	}
	last := d.base
	f.each(func(e Event) { last = e.Time.UnixMilli() })
	d.events, d.base = slices.Delete(d.events, 0, len(f.events)), last
	d.first = d.noticed(&Event{Time: time.UnixMilli(last)})
}

// write appends a frame. writing is held.
func (l *Log) write(f *frame) error {
	if err := l.begin(); err != nil {
		return err
	}
	f.seq = l.seq + 1
	b := f.encode()
	at := l.end
	if at+int64(len(b)) > l.max {
		at = pageSize
	}
	if _, err := l.file.WriteAt(b, at); err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	l.seq, l.end = f.seq, at+int64(len(b))
	return nil
}

// begin opens the file for writing and finds its end. writing is held.
func (l *Log) begin() error {
	if l.file != nil {
		return nil
	}
	f, err := l.open(os.O_RDWR | os.O_CREATE)
	if err != nil {
		return err
	}
	fresh, err := l.check(f)
	if err == nil && fresh {
		_, err = f.WriteAt(encodeHeader(), 0)
	}
	end, seq := int64(pageSize), uint64(0)
	damaged := 0
	if err == nil {
		damaged, err = scan(f, func(at int64, fr *frame) {
			if fr.seq > seq {
				seq, end = fr.seq, at+int64(len(fr.encode()))
			}
		})
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.end, l.seq = f, end, seq
	l.note(damaged)
	return nil
}

// sync makes sure, now and then, that what was written outlives the host. writing is held.
func (l *Log) sync(now time.Time) error {
	if since := now.Sub(l.synced); l.file == nil || since < flushAfter && since >= 0 {
		return nil
	}
	l.synced = now
	return l.file.Sync()
}

func (l *Log) note(damaged int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.damaged = max(l.damaged, damaged)
}

// Damaged returns how many parts of the file were found to be damaged so far. They are left out.
func (l *Log) Damaged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.damaged
}

// Events returns what became of the files of a folder, from a time up to before another, in the order of time, and the
// share of its files that this is about: those which were in the sample all the time. What is not written yet is not among
// them.
func (l *Log) Events(name string, from, to time.Time) (events []Event, share float64, err error) {
	f, err := l.open(os.O_RDONLY)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 1, nil
	case err != nil:
		return nil, 1, err
	}
	defer f.Close()
	if _, err := l.check(f); err != nil {
		return nil, 1, err
	}
	type ordered struct {
		Event
		seq uint64
	}
	var found []ordered
	bits := uint(0)
	bad := 0
	damaged, err := scan(f, func(_ int64, fr *frame) {
		if string(fr.folder) != name {
			return
		}
		within := false
		whole := fr.each(func(e Event) {
			if !e.Time.Before(from) && e.Time.Before(to) {
				found, within = append(found, ordered{e, fr.seq}), true
			}
		})
		if !whole {
			bad++
		}
		if within {
			bits = max(bits, fr.bits)
		}
	})
	if err != nil {
		return nil, 1, fmt.Errorf("%s: %w", l.path, err)
	}
	l.note(damaged + bad)
	slices.SortStableFunc(found, func(a, b ordered) int { return cmp.Compare(a.seq, b.seq) })
	for i := range found {
		if Sampled(found[i].Hash, bits) {
			events = append(events, found[i].Event)
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return events, 1 / float64(uint64(1)<<bits), nil
}
