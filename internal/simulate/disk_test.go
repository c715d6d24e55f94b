package simulate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// disk is what the journal has synced. It outlives the exporter.
type disk struct {
	open   map[string]journal.Record // intents without a result
	done   map[string]journal.Record
	state  map[string][]byte
	lastID uint64

	full bool          // nothing can be written
	slow time.Duration // what a sync takes at most
}

const usualSync = 5 * time.Millisecond

func newDisk() *disk {
	return &disk{open: make(map[string]journal.Record), done: make(map[string]journal.Record), state: make(map[string][]byte), slow: usualSync}
}

// intent returns the open intent of a step.
func (d *disk) intent(runID, action string) (journal.Record, bool) {
	for _, r := range d.open {
		if r.Step > 0 && r.RunID == runID && r.Action == action {
			return r, true
		}
	}
	return journal.Record{}, false
}

// has reports whether a run is recorded.
func (d *disk) has(runID string) bool {
	_, open := d.open[runID]
	_, done := d.done[runID]
	return open || done
}

func (d *disk) close(r journal.Record) {
	delete(d.open, r.ID)
	d.done[r.ID] = r
}

// book is the journal of one process, as internal/journal documents it: Begin returns after the sync, a
// result that is handed over is written with the next sync or a little later, one that cannot be written
// waits in memory, and the next process finds the open intents as interrupted.
type book struct {
	w           *world
	p           *process
	open        map[string]journal.Record
	handed      []journal.Record // results that are not synced
	interrupted []journal.Record
}

func openBook(w *world, p *process) *book {
	b := &book{w: w, p: p, open: make(map[string]journal.Record)}
	for _, id := range slices.Sorted(maps.Keys(w.disk.open)) {
		r := w.disk.open[id]
		r.Outcome, r.Error = journal.OutcomeInterrupted, "the exporter ended before this did"
		b.interrupted = append(b.interrupted, r)
		if !w.disk.full {
			w.disk.close(r)
		}
	}
	return b
}

func (b *book) Interrupted() []journal.Record { return slices.Clone(b.interrupted) }

func (b *book) Durable() bool { return true }

func (b *book) Begin(ctx context.Context, r journal.Record) (string, error) {
	ids, err := b.BeginAll(ctx, []journal.Record{r})
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

func (b *book) BeginAll(ctx context.Context, records []journal.Record) ([]string, error) {
	records = slices.Clone(records)
	var what strings.Builder
	for i := range records {
		b.w.asked(b.p, &records[i])
		fmt.Fprintf(&what, "%s/%s/%s/%d/%s ", records[i].Target, records[i].Playbook, records[i].RunID, records[i].Step, records[i].Trigger)
	}
	ids := make([]string, len(records))
	err := b.write(ctx, "begin "+what.String(), func(d *disk) {
		for i := range records {
			r := &records[i]
			d.lastID = max(uint64(max(r.Time.UnixNano(), 0)), d.lastID+1)
			r.ID, r.Outcome = fmt.Sprintf("%016x", d.lastID), ""
			if r.RunID == "" {
				r.RunID = r.ID
			}
			ids[i] = r.ID
			d.open[r.ID], b.open[r.ID] = *r, *r
			b.w.begun(r)
		}
	})
	if err != nil {
		b.w.refused(records)
		return nil, err
	}
	return ids, nil
}

// write syncs one change, and before it the results that wait.
func (b *book) write(ctx context.Context, what string, change func(*disk)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := b.w
	b.p.count(1)
	defer b.p.count(-1)
	if !w.point(b.p, "sync "+what) || !b.p.wait(w.delay(100*time.Microsecond, w.syncTime(), "sync", what)) {
		return journal.ErrClosed
	}
	w.mu.Lock()
	switch {
	case b.p.isDead():
		w.mu.Unlock()
		return journal.ErrClosed
	case w.disk.full:
		w.mu.Unlock()
		return journal.ErrUnwritable
	}
	b.flushLocked()
	change(w.disk)
	w.mu.Unlock()
	if !w.point(b.p, "synced "+what) || !b.p.wait(w.delay(time.Microsecond, time.Millisecond, "answer", what)) {
		return journal.ErrClosed
	}
	return nil
}

func (b *book) flushLocked() {
	for _, r := range b.handed {
		b.w.disk.close(r)
	}
	b.handed = nil
}

func (b *book) Finish(ctx context.Context, id string, change func(*journal.Record)) error {
	return b.FinishKeeping(ctx, id, change, "", nil)
}

func (b *book) FinishKeeping(ctx context.Context, id string, change func(*journal.Record), key string, state []byte) error {
	r, err := b.result(id, change)
	if err != nil {
		return err
	}
	held := b.w.ended(b.p, &r)
	err = b.write(context.WithoutCancel(ctx), "finish "+id+" "+r.Outcome, func(d *disk) {
		d.close(r)
		if key != "" {
			d.state[key] = slices.Clone(state)
		}
		b.w.kept(held)
	})
	if err != nil {
		b.hand(r)
	}
	return err
}

func (b *book) FinishLater(id string, change func(*journal.Record)) error {
	r, err := b.result(id, change)
	if err == nil {
		b.hand(r)
	}
	return err
}

// hand keeps a result until a sync takes it along, or for some milliseconds.
func (b *book) hand(r journal.Record) {
	w := b.w
	wait := w.delay(time.Millisecond, 40*time.Millisecond, "hand", r.ID)
	w.mu.Lock()
	b.handed = append(b.handed, r)
	w.mu.Unlock()
	time.AfterFunc(wait, func() { b.later(r.ID) })
}

func (b *book) later(id string) {
	w := b.w
	w.mu.Lock()
	waits := slices.ContainsFunc(b.handed, func(r journal.Record) bool { return r.ID == id })
	full := w.disk.full
	if waits && !full && !b.p.isDead() {
		b.flushLocked()
	}
	w.mu.Unlock()
	if waits && full && !b.p.isDead() {
		time.AfterFunc(w.delay(5*time.Second, 6*time.Second, "retry", id), func() { b.later(id) })
	}
}

func (b *book) result(id string, change func(*journal.Record)) (journal.Record, error) {
	b.w.mu.Lock()
	r, ok := b.open[id]
	delete(b.open, id)
	b.w.mu.Unlock()
	if !ok {
		return r, fmt.Errorf("finish %q: %w", id, journal.ErrNotOpen)
	}
	was := r
	change(&r)
	r.ID, r.RunID, r.Time = was.ID, was.RunID, was.Time
	b.p.say("result", r.ID, r.Outcome, r.Error)
	return r, nil
}

func (b *book) PutState(ctx context.Context, key string, value []byte) error {
	return b.write(ctx, fmt.Sprintf("state %s %08x", key, uint32(hashStart.text(string(value)).mixed())), func(d *disk) {
		if value == nil {
			delete(d.state, key)
			return
		}
		d.state[key] = slices.Clone(value)
	})
}

func (b *book) State(key string) ([]byte, error) {
	all, err := b.States(key)
	return all[key], err
}

func (b *book) States(prefix string) (map[string][]byte, error) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	out := make(map[string][]byte)
	for key, v := range b.w.disk.state {
		if strings.HasPrefix(key, prefix) {
			out[key] = slices.Clone(v)
		}
	}
	return out, nil
}

// close ends the journal in an orderly way: what waits is written.
func (b *book) close() {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if !b.w.disk.full {
		b.flushLocked()
	}
}

const evaluatorKey = "eval"

// alerts keeps the evaluator's alerts in the journal, as internal/app does.
type alerts struct{ b *book }

func (a alerts) Get() ([]byte, error) { return a.b.State(evaluatorKey) }

func (a alerts) Put(blob []byte) error {
	return a.b.PutState(context.Background(), evaluatorKey, blob)
}
