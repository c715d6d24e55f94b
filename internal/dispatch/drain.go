package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

const (
	drainGrace = 2 * time.Second        // a cancelled action has to say what it did
	writeGrace = 800 * time.Millisecond // and the journal to write it
	writePoll  = 10 * time.Millisecond
	dropAtOnce = 64 // waiting runs that are recorded together
)

// errNotWritten says that the journal is too slow for a shutdown.
var errNotWritten = errors.New("results are not in the journal yet")

// refuse makes Submit and RunNow refuse, and lets no further step begin.
func (d *Dispatcher) refuse() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.draining {
		d.draining = true
		close(d.stop)
	}
}

// Drain ends the dispatcher: nothing more is accepted, runs that wait are recorded as
// interrupted, running steps have until ctx ends and are then cancelled. An action that does not
// return even then is recorded as unknown and named in the error. Run returns after it. It is
// called once.
func (d *Dispatcher) Drain(ctx context.Context) error {
	d.refuse()
	d.dropWaiting()
	defer d.cancel()
	d.mu.Lock()
	started := d.started
	d.mu.Unlock()
	if !started {
		return nil
	}
	select {
	case <-d.stopped:
		return d.strayError()
	case <-ctx.Done():
	}
	d.cancel()
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	select {
	case <-d.stopped:
		return d.strayError()
	case <-grace.C:
	}
	return errors.Join(d.abandon(), d.strayError())
}

// dropWaiting records the runs that have not begun as interrupted.
func (d *Dispatcher) dropWaiting() {
	d.mu.Lock()
	var dropped []*run
	for _, s := range d.slots {
		dropped = append(dropped, s.waiting...)
		s.waiting = nil
	}
	d.queued -= len(dropped)
	d.mu.Unlock()
	slices.SortFunc(dropped, bySeq)
	// Many at once, so that they share the journal's syncs.
	var wg sync.WaitGroup
	next := make(chan *run)
	for range min(len(dropped), dropAtOnce) {
		wg.Go(func() {
			for r := range next {
				d.finish(r, result{outcome: journal.OutcomeInterrupted, err: fmt.Errorf("not begun: %w", ErrDraining)})
			}
		})
	}
	for _, r := range dropped {
		next <- r
	}
	close(next)
	wg.Wait()
}

// abandon records the runs whose action does not return, the oldest first.
func (d *Dispatcher) abandon() error {
	defer close(d.gaveUp)
	d.mu.Lock()
	runs := slices.SortedFunc(maps.Keys(d.open), bySeq)
	stuck := make([]string, len(runs))
	steps := make([]string, len(runs))
	results := make([]result, len(runs))
	for i, r := range runs {
		steps[i] = r.progress.record
		stuck[i] = r.target + ": " + r.progress.action
		results[i] = result{
			outcome: string(action.Unknown), effect: effectActed, err: fmt.Errorf("%s did not return after it was cancelled", r.progress.action),
		}
		if r.mode == dryRun {
			results[i].effect = effectDry
		}
	}
	d.mu.Unlock()
	for i, r := range runs {
		if id, err := steps[i], results[i].err; id != "" {
			d.note(id, func(rec *journal.Record) { rec.Outcome, rec.Error = string(action.Unknown), err.Error() })
		}
		d.finish(r, results[i])
	}
	if len(stuck) == 0 {
		return d.awaitWritten()
	}
	return errors.Join(fmt.Errorf("%d runs did not end after they were cancelled: %s", len(stuck), list(stuck)), d.awaitWritten())
}

// awaitWritten waits a little for the ends of runs that are being written: the journal is closed next.
func (d *Dispatcher) awaitWritten() error {
	limit := time.NewTimer(writeGrace)
	defer limit.Stop()
	poll := time.NewTicker(writePoll)
	defer poll.Stop()
	for {
		d.mu.Lock()
		n := d.ending
		d.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-poll.C:
		case <-limit.C:
			return fmt.Errorf("%w: those of %d runs", errNotWritten, n)
		}
	}
}

// bySeq orders runs as they were accepted.
func bySeq(a, b *run) int { return cmp.Compare(a.seq, b.seq) }
