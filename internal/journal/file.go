package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

var (
	bucketRecords = []byte("records")
	bucketState   = []byte("state")
)

const (
	maxBatch       = 1024                  // changes in one sync
	batchDelay     = time.Millisecond      // how long a sync waits for company, when there was some before
	resultDelay    = 25 * time.Millisecond // how long results stand back while intents come
	retryDelay     = 5 * time.Second       // between attempts to write pending results
	retentionEvery = time.Hour             // when nothing is written
	retentionShare = 8                     // or when this part of the size was written since
	allocBytes     = 1 << 20               // steps in which the file grows
)

// The states of op.claim.
const (
	claimWaiting = iota
	claimTaken
	claimAnswered
	claimLeft
)

// op is one change that waits for the writer.
type op struct {
	change func(tx) error
	undo   func() // called by the writer when the change was not made, or its caller has left; may be nil
	done   chan error
	after  func(error)  // instead of done, for a caller that does not wait
	claim  atomic.Int32 // claimWaiting until the writer takes it or the caller leaves
}

func (o *op) answer(err error) {
	stays := o.claim.CompareAndSwap(claimTaken, claimAnswered)
	if o.undo != nil && (err != nil || !stays) {
		o.undo()
	}
	if o.after != nil {
		o.after(err)
		return
	}
	o.done <- err
}

// file is a store on disk. One goroutine writes: it takes all changes that wait, applies them in
// one transaction and answers all of them after its sync. Someone waits for an intent, with an
// alert in hand; so while intents come, the results of runs, which touch many pages, are written
// together at intervals of resultDelay.
type file struct {
	j       *Journal
	db      *bolt.DB
	c       *custody
	ops     chan *op // intents and states
	results chan *op
	stop    chan struct{}
	ended   chan struct{} // closed when the writer has ended
	ending  bool          // the writer's: what is left is written wherever the file is now
	moved   bool          // the writer's: the file was not in its place when it last looked
}

func newFile(db *bolt.DB, c *custody, j *Journal) *file {
	f := &file{
		j: j, db: db, c: c, ops: make(chan *op, maxBatch), results: make(chan *op, maxBatch),
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		defer close(f.ended)
		f.write()
	}()
	return f
}

func (f *file) update(ctx context.Context, change func(tx) error, undo func()) error {
	return f.submit(ctx, f.ops, &op{change: change, undo: undo, done: make(chan error, 1)})
}

func (f *file) finish(ctx context.Context, change func(tx) error) error {
	return f.submit(ctx, f.results, &op{change: change, done: make(chan error, 1)})
}

// submit hands a change to the writer and waits for its sync, for as long as patience lasts.
func (f *file) submit(ctx context.Context, to chan *op, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.c.usable(); err != nil {
		return unwritable(err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case to <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-f.stop:
		return ErrClosed
	case <-f.c.lost:
		return unwritable(f.c.why)
	case <-timer.C:
		return unwritable(f.c.gaveUp())
	}
	late := false
	select {
	case err := <-o.done:
		return err
	case <-f.stop:
	case <-ctx.Done():
	case <-f.c.lost:
	case <-timer.C:
		late = true
	}
	if o.claim.CompareAndSwap(claimWaiting, claimLeft) {
		switch {
		case f.c.given() != nil:
			return unwritable(f.c.why)
		case late:
			return unwritable(f.c.gaveUp())
		case ctx.Err() != nil:
			return ctx.Err()
		}
		return ErrClosed
	}
	if !late {
		select {
		case err := <-o.done: // the writer is at it: its answer is the truth
			return err
		case <-f.c.lost: // it may never answer; perhaps it was written, and becomes interrupted
			return unwritable(f.c.why)
		case <-timer.C:
		}
	}
	if o.claim.CompareAndSwap(claimTaken, claimLeft) {
		return unwritable(f.c.gaveUp())
	}
	return <-o.done
}

// unwritable is the answer to whoever writes to a file that cannot be used.
func unwritable(why error) error { return fmt.Errorf("%w: %w", ErrUnwritable, why) }

func (f *file) later(change func(tx) error, after func(error)) {
	if err := f.c.usable(); err != nil {
		after(unwritable(err))
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case f.results <- &op{change: change, after: after}:
	case <-f.stop:
		after(ErrClosed)
	case <-f.c.lost:
		after(unwritable(f.c.why))
	case <-timer.C:
		after(unwritable(f.c.gaveUp()))
	}
}

func (f *file) view(read func(tx) error) error {
	return f.c.read(f.db, func(t *bolt.Tx) error { return read(newBoltTx(t)) })
}

func (f *file) custody() *custody { return f.c }

func (f *file) close() error {
	close(f.stop)
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	select {
	case <-f.ended:
	case <-f.c.lost: // the writer may wait for a lock of bbolt, for ever
	case <-timer.C:
		return f.c.noAnswer(closePatience)
	}
	return f.c.close(f.db)
}

// write is the writer's loop.
func (f *file) write() {
	retry := time.NewTicker(retryDelay)
	defer retry.Stop()
	hourly := time.NewTicker(retentionEvery)
	defer hourly.Stop()
	audit := time.NewTimer(auditDelay)
	audit.Stop() // what was just opened is read through already
	defer audit.Stop()
	var written int64
	company := false
	batch := make([]*op, 0, 2*maxBatch)
	var resulted time.Time // when results were last written
	for {
		batch = batch[:0]
		select {
		case o := <-f.ops:
			batch = f.gather(append(batch, o), company)
			if time.Since(resulted) >= resultDelay {
				batch = drain(batch, f.results)
				resulted = time.Now()
			}
		case o := <-f.results:
			if batch = drain(batch, f.ops); len(batch) > 0 && time.Since(resulted) < resultDelay {
				// Intents wait: they go first, and this result with the next ones.
				f.commit(batch)
				batch = batch[:0]
			}
			batch = drain(append(batch, o), f.results)
			resulted = time.Now()
		case <-audit.C:
			f.audit()
			continue
		case <-retry.C:
			if f.inspect() != nil || !f.j.hasPending() {
				continue
			}
		case <-hourly.C:
			f.retain()
			continue
		case <-f.c.lost:
			f.commit(drain(drain(batch, f.ops), f.results)) // which refuses them
			return
		case <-f.stop:
			f.finalize()
			return
		}
		company = len(batch) > 1
		if written += f.commit(batch); written >= f.j.opts.MaxBytes/retentionShare {
			f.retain()
			written = 0
		}
		audit.Reset(f.c.auditDelay())
	}
}

// audit reads the file through once it rests, so that damage is noticed before the next intent.
func (f *file) audit() {
	defer f.c.enter()()
	_ = f.c.audit() // damage is noted; a disk that fails is noticed by the next change
}

// inspect looks after the file while no one writes, so that it is noticed when it is damaged, gone
// or back.
func (f *file) inspect() error {
	defer f.c.enter()()
	err := f.c.trusted()
	if err == nil {
		err = f.c.inPlace()
	}
	if err != nil || f.moved {
		f.j.wrote(err, pending{})
	}
	f.moved = errors.Is(err, ErrMoved)
	return err
}

// finalize writes what waits when the journal is closed. What was done is recorded even in a file
// that was moved away; an intent there is refused as ever.
func (f *file) finalize() {
	if batch := drain(nil, f.ops); len(batch) > 0 {
		f.commit(batch)
	}
	f.ending = true
	if batch := drain(nil, f.results); len(batch) > 0 || f.j.hasPending() {
		f.commit(batch)
	}
}

// change runs a transaction that writes.
func (f *file) change(do func(*bolt.Tx) error) error {
	defer f.c.enter()()
	if !f.ending {
		if err := f.c.inPlace(); err != nil {
			return err
		}
	}
	return f.c.write(f.db, do)
}

// gather adds the changes that wait already and, when the last sync had company, those of the
// next millisecond. A lone caller never waits.
func (f *file) gather(batch []*op, company bool) []*op {
	batch = drain(batch, f.ops)
	if !company || len(batch) >= maxBatch {
		return batch
	}
	timer := time.NewTimer(batchDelay)
	defer timer.Stop()
	for len(batch) < maxBatch {
		select {
		case o := <-f.ops:
			batch = append(batch, o)
		case <-timer.C:
			return drain(batch, f.ops)
		}
	}
	return batch
}

// drain adds what waits in a channel, up to maxBatch.
func drain(batch []*op, from chan *op) []*op {
	for range maxBatch {
		select {
		case o := <-from:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// commit applies a batch, and what is pending, in one synced transaction, and returns the bytes
// that were put.
func (f *file) commit(batch []*op) (written int64) {
	taken := batch[:0]
	for _, o := range batch {
		if o.claim.CompareAndSwap(claimWaiting, claimTaken) {
			taken = append(taken, o)
		}
	}
	owed := f.j.takePending()
	if len(taken) == 0 && owed.empty() {
		return 0
	}
	answers := make([]error, len(taken))
	start := time.Now()
	err := f.change(func(t *bolt.Tx) error {
		b := newBoltTx(t)
		owed.write(b)
		for i, o := range taken {
			answers[i] = o.change(b)
		}
		written = b.written
		return b.err
	})
	f.moved = errors.Is(err, ErrMoved)
	f.j.metrics.committed(time.Since(start))
	f.j.wrote(err, owed)
	for i, o := range taken {
		if err != nil {
			answers[i] = unwritable(err)
		}
		o.answer(answers[i])
	}
	return written
}

// boltTx adapts a transaction. The first failing write is kept in err and undoes all of it.
type boltTx struct {
	records, state *bolt.Bucket
	written        int64
	err            error
}

func newBoltTx(t *bolt.Tx) *boltTx {
	return &boltTx{records: t.Bucket(bucketRecords), state: t.Bucket(bucketState)}
}

func (t *boltTx) note(err error) { t.err = errors.Join(t.err, err) }

func (t *boltTx) get(id string) []byte { return t.records.Get([]byte(id)) }
func (t *boltTx) del(id string)        { t.note(t.records.Delete([]byte(id))) }
func (t *boltTx) put(id string, v []byte) {
	t.written += int64(len(v))
	t.note(t.records.Put([]byte(id), v))
}

func (t *boltTx) last() (string, bool) {
	k, _ := t.records.Cursor().Last()
	return string(k), k != nil
}

func (t *boltTx) down(before string, f func(string, []byte) bool) {
	c := t.records.Cursor()
	k, v := c.Last()
	if before != "" {
		if k, v = c.Seek([]byte(before)); k == nil {
			k, v = c.Last()
		}
		for k != nil && string(k) >= before {
			k, v = c.Prev()
		}
	}
	for ; k != nil; k, v = c.Prev() {
		if !f(string(k), v) {
			return
		}
	}
}

func (t *boltTx) up(f func(string, []byte) bool) {
	c := t.records.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if !f(string(k), v) {
			return
		}
	}
}

func (t *boltTx) states(prefix string, f func(string, []byte)) {
	c := t.state.Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
		f(strings.Clone(string(k)), v)
	}
}

func (t *boltTx) putState(key string, v []byte) {
	if v == nil {
		t.note(t.state.Delete([]byte(key)))
		return
	}
	t.note(t.state.Put([]byte(key), v))
}
