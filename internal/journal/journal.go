package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

const (
	fileName        = "journal.db"
	lockTimeout     = 200 * time.Millisecond
	defaultMaxBytes = 64 << 20
	maxStateKey     = 256
	maxStateValue   = 1 << 20
)

// Options configure a Journal. Logger is required.
type Options struct {
	Dir        string                // folder of journal.db; made with mode 0700
	Keep       time.Duration         // records older than this go; default 90 days
	MaxBytes   int64                 // the oldest records go beyond this; default 64 MiB
	OnCorrupt  string                // OnCorruptRefuse (default) or OnCorruptRecreate
	Logger     *slog.Logger          // required
	Now        func() time.Time      // default time.Now
	Registerer prometheus.Registerer // nil: no metrics

	// Unseen says what became of an intent of an earlier process that has no result, by the states that were kept
	// under UnseenStates: acted that it may have had its effect, and a sentence about it; "" when nothing is known. It
	// must not keep the values. nil: nothing is known of any.
	Unseen       func(r *Record, states map[string][]byte) (text string, acted bool)
	UnseenStates string // the beginning of their keys
}

func (o *Options) applyDefaults() {
	if o.Keep <= 0 {
		o.Keep = defaultKeep
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.OnCorrupt == "" {
		o.OnCorrupt = OnCorruptRefuse
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Journal is an open journal. All methods may be called concurrently.
type Journal struct {
	opts        Options
	path        string
	metrics     *metrics
	interrupted []Record
	durable     bool
	readOnly    bool

	reopening sync.Mutex

	mu      sync.Mutex
	held    store
	lastID  uint64
	open    map[string]Record   // intents without a result
	closing map[string]struct{} // those whose result is on its way
	pending map[string][]byte   // results that could not be written yet
	states  map[string][]byte   // states that belong to them
	doubt   string              // see pending
	failure error               // of the last write
	damage  error               // why the file was given up
	closed  bool
}

func (j *Journal) store() store {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.held
}

// hold puts a store in the place of the present one, which it returns.
func (j *Journal) hold(s store) (before store) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before, j.held = j.held, s
	return before
}

// store is what holds the records: a file, memory, or a snapshot for reading.
type store interface {
	// update runs the change durably, alone or together with others; see op. undo, which may be nil,
	// is called when that failed or came too late.
	update(ctx context.Context, change func(tx) error, undo func()) error
	// finish is update for what no one outside waits for.
	finish(ctx context.Context, change func(tx) error) error
	// later hands a change over and returns; done is called with what came of it, by whoever wrote.
	later(change func(tx) error, done func(error))
	view(read func(tx) error) error
	custody() *custody // of a file; nil where there is none
	close() error
}

// Open opens the journal of a folder, or begins one. Intents that were left open become
// interrupted; Interrupted lists them. The error is an ErrLocked when another process has it, an
// ErrCorrupt when it had to be moved aside, an ErrNoAnswer when the disk does not answer, and names
// the folder otherwise.
func Open(o Options) (*Journal, error) {
	o.applyDefaults()
	return inTime(openPatience, filepath.Join(o.Dir, fileName), func() (*Journal, error) { return open(o) })
}

func open(o Options) (*Journal, error) {
	j := newJournal(o, filepath.Join(o.Dir, fileName))
	j.durable = true
	f, err := j.openFile()
	if err != nil {
		j.metrics.unregister()
		return nil, err
	}
	j.hold(f)
	if err := j.recover(f); err != nil {
		return nil, errors.Join(fmt.Errorf("read the journal %s: %w", j.path, err), j.Close())
	}
	f.retain()
	return j, nil
}

// openFile opens the file at the journal's path and begins to write it.
func (j *Journal) openFile() (*file, error) {
	if err := os.MkdirAll(j.opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the journal's folder: %w", err)
	}
	db, handle, err := openChecked(j.path, &j.opts)
	if err != nil {
		return nil, err
	}
	c, err := newCustody(j.path, handle, db.Info(), j.opts.Logger, j.damaged)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the journal %s: %w", j.path, err), db.Close())
	}
	return newFile(db, c, j), nil
}

// OpenMemory returns a journal that behaves like one on disk and holds a bounded number of
// records, but ends with the process: Durable is false.
func OpenMemory(o Options) *Journal {
	o.applyDefaults()
	j := newJournal(o, "")
	j.hold(newMemory(j))
	return j
}

func newJournal(o Options, path string) *Journal {
	j := &Journal{opts: o, path: path, open: make(map[string]Record), closing: make(map[string]struct{}), pending: make(map[string][]byte), states: make(map[string][]byte)}
	j.metrics = newMetrics(o.Registerer, j)
	return j
}

// recover completes the open intents of an earlier process.
func (j *Journal) recover(s store) error {
	type found struct {
		open   []Record
		last   uint64
		states map[string][]byte
	}
	f, err := look(s, func(t tx) (f found, _ error) {
		if last, ok := t.last(); ok {
			f.last = parseID(last)
		}
		t.up(func(id string, v []byte) bool {
			if isOpen(v) && !j.isOpen(id) {
				if r, err := decode(id, v); err == nil {
					f.open = append(f.open, r)
				}
			}
			return true
		})
		if j.opts.Unseen != nil && len(f.open) > 0 {
			f.states = make(map[string][]byte)
			t.states(j.opts.UnseenStates, func(key string, v []byte) { f.states[strings.Clone(key)] = slices.Clone(v) })
		}
		return f, nil
	})
	j.mu.Lock()
	j.lastID = max(j.lastID, f.last)
	j.mu.Unlock()
	open := f.open
	if err != nil || len(open) == 0 {
		return err
	}
	for i := range open {
		j.unseen(&open[i], f.states)
	}
	err = s.update(context.Background(), func(t tx) error {
		for _, r := range open {
			t.put(r.ID, seal(r.ID, encode(r)))
		}
		return nil
	}, nil)
	if err != nil {
		// Reading still works, and the next start will find them again: nothing is lost.
		j.opts.Logger.Error("the journal cannot mark what was interrupted", "path", j.path, "records", len(open), "err", err)
	}
	j.interrupted = open
	return nil
}

// unseen gives an intent of an earlier process the result that is known of it.
func (j *Journal) unseen(r *Record, states map[string][]byte) {
	r.Outcome = OutcomeInterrupted
	if r.Error == "" {
		r.Error = "the exporter ended before this did"
	}
	if j.opts.Unseen == nil {
		return
	}
	text, acted := j.opts.Unseen(r, states)
	if acted {
		r.Outcome = OutcomeUnknown
	}
	if text != "" {
		r.Error += ": " + text
	}
}

// Interrupted returns the intents that Open found without a result, oldest first.
func (j *Journal) Interrupted() []Record { return slices.Clone(j.interrupted) }

// Path returns the file of the journal; "" in memory.
func (j *Journal) Path() string { return j.path }

// Durable reports whether what Begin has recorded outlives this process.
func (j *Journal) Durable() bool { return j.durable }

// Begin records an intent and returns its id once it is synced. ID is chosen here; an empty Time
// is now, an empty RunID becomes the ID. The error is an ErrUnwritable when nothing was recorded,
// or ctx's when it ended before the write began.
func (j *Journal) Begin(ctx context.Context, r Record) (string, error) {
	ids, err := j.BeginAll(ctx, []Record{r})
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// BeginAll records several intents in one sync: all of them or, with an error, none.
func (j *Journal) BeginAll(ctx context.Context, records []Record) ([]string, error) {
	values := make([][]byte, len(records))
	records = slices.Clone(records)
	for i := range records {
		r := &records[i]
		r.Outcome = ""
		if r.Time.IsZero() {
			r.Time = j.opts.Now()
		}
		r.clip()
		values[i] = encode(*r)
	}
	ids := make([]string, len(records))
	err := j.store().update(ctx, func(t tx) error {
		for i, v := range values {
			ids[i] = j.nextID(records[i].Time)
			t.put(ids[i], seal(ids[i], v))
		}
		j.begun(records, ids)
		return nil
	}, func() { j.refuse(ids) })
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// begun notes intents that are being written.
func (j *Journal) begun(records []Record, ids []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, r := range records {
		r.complete(ids[i])
		j.open[ids[i]] = r
	}
}

// Finish completes an intent: change sets the outcome and what else is known. It may change
// anything but ID, RunID and Time. When the write fails, the result is kept in memory, written
// with the next success, and the error is an ErrUnwritable.
func (j *Journal) Finish(ctx context.Context, id string, change func(*Record)) error {
	return j.FinishKeeping(ctx, id, change, "", nil)
}

// FinishKeeping is Finish and PutState in one sync. With an empty key it is Finish alone.
func (j *Journal) FinishKeeping(ctx context.Context, id string, change func(*Record), key string, state []byte) error {
	value, err := j.result(id, change)
	if err != nil {
		return err
	}
	if key != "" {
		if err = checkState(key, state); err != nil {
			key = ""
		}
		state = slices.Clone(state)
	}
	// The result is written although the caller no longer waits: the effect has happened.
	written := j.store().finish(context.WithoutCancel(ctx), func(t tx) error {
		t.put(id, value)
		if key != "" {
			t.putState(key, state)
		}
		return nil
	})
	j.keepPending(id, value, key, state, written)
	return errors.Join(written, err)
}

// FinishLater is Finish without waiting: the result is written with the next sync, before what is
// asked for after it. When this process ends before that, the intent is reported as interrupted. The
// error is an ErrNotOpen.
func (j *Journal) FinishLater(id string, change func(*Record)) error {
	value, err := j.result(id, change)
	if err != nil {
		return err
	}
	j.store().later(func(t tx) error {
		t.put(id, value)
		return nil
	}, func(err error) { j.keepPending(id, value, "", nil, err) })
	return nil
}

// result closes an open intent and returns its record's value.
func (j *Journal) result(id string, change func(*Record)) ([]byte, error) {
	j.mu.Lock()
	r, ok := j.open[id]
	delete(j.open, id)
	if ok {
		j.closing[id] = struct{}{}
	}
	j.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("finish %q: %w", id, ErrNotOpen)
	}
	was := r
	change(&r)
	r.ID, r.RunID, r.Time = was.ID, was.RunID, was.Time
	if r.Outcome == "" {
		r.Outcome = "unknown"
	}
	r.clip()
	return seal(id, encode(r)), nil
}

// Get returns one record.
func (j *Journal) Get(id string) (r Record, found bool, err error) {
	got, err := look(j.store(), func(t tx) (*Record, error) {
		v := t.get(id)
		if v == nil {
			return nil, nil
		}
		r, err := decode(id, v)
		return &r, err
	})
	if got == nil {
		return r, false, err
	}
	return *got, true, err
}

// PutState keeps a small value under a key, synced; a nil value forgets the key.
func (j *Journal) PutState(ctx context.Context, key string, value []byte) error {
	if err := checkState(key, value); err != nil {
		return err
	}
	value = slices.Clone(value)
	return j.store().update(ctx, func(t tx) error {
		t.putState(key, value)
		return nil
	}, nil)
}

func checkState(key string, value []byte) error {
	if key == "" || len(key) > maxStateKey || len(value) > maxStateValue {
		return fmt.Errorf("state %.40q of %d bytes: %w: at most %d bytes of key and %d of value", key, len(value), ErrTooLarge, maxStateKey, maxStateValue)
	}
	return nil
}

// State returns the value of a key; nil when there is none.
func (j *Journal) State(key string) ([]byte, error) {
	all, err := j.States(key)
	return all[key], err
}

// States returns the values of all keys that begin with prefix.
func (j *Journal) States(prefix string) (map[string][]byte, error) {
	return look(j.store(), func(t tx) (map[string][]byte, error) {
		out := make(map[string][]byte)
		t.states(prefix, func(key string, v []byte) { out[strings.Clone(key)] = slices.Clone(v) })
		return out, nil
	})
}

// Close writes what is pending and releases the file. Open intents stay open, to be reported as
// interrupted by the next Open.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.mu.Unlock()
	j.metrics.unregister()
	return j.store().close()
}

// nextID returns an id that is larger than all before it, and the time of the record unless the
// clock went back. It is called by one goroutine at a time, that of the store's writer.
func (j *Journal) nextID(t time.Time) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lastID = max(uint64(max(t.UnixNano(), 0)), j.lastID+1)
	return formatID(j.lastID)
}

// boltOptions are those of every open.
func boltOptions(readOnly bool) *bolt.Options {
	return &bolt.Options{Timeout: lockTimeout, ReadOnly: readOnly, FreelistType: bolt.FreelistMapType, OpenFile: openFile}
}
