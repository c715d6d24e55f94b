package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	crowd       = 8 // submissions at once that runs wait for: more than a cluster of Alertmanagers sends
	giveWayStep = 50 * time.Millisecond
	giveWayMost = 200 * time.Millisecond // for which a run waits for them, at most
)

// slot is the queue of one target: one run at a time, the others wait for it.
type slot struct {
	target  string
	running *run
	waiting []*run
	ready   bool // in Dispatcher.ready
}

// Run runs what was accepted until ctx ends or Drain was called, then returns when all runs
// have ended, or when Drain has given one up. It is called once. When ctx ends, running steps are
// cancelled.
func (d *Dispatcher) Run(ctx context.Context) error {
	d.mu.Lock()
	if d.started {
		d.mu.Unlock()
		return errors.New("dispatch: Run was called twice")
	}
	d.started = true
	d.mu.Unlock()
	defer close(d.stopped)
	defer context.AfterFunc(ctx, func() {
		d.refuse()
		d.cancel()
	})()
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.work(max(openRuns, d.opts.Workers))
	}()
	select {
	case <-done:
	case <-d.gaveUp:
		return nil
	}
	d.dropWaiting()
	return nil
}

// work serves the targets that have a run to begin, so many at once, until stop is closed, and returns when
// all are served. A goroutine starts with a run, so that an exporter that does nothing has no stacks for them.
func (d *Dispatcher) work(most int) {
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(d.goAgain)
	room := make(chan struct{}, most)
	for {
		select {
		case <-d.stop:
			return
		case room <- struct{}{}:
		}
		select {
		case <-d.stop:
			return
		case s := <-d.ready:
			serving.Go(func() {
				defer func() { <-room }()
				d.giveWay()
				d.serve(s)
			})
		}
	}
}

// serve runs what a target has to begin.
func (d *Dispatcher) serve(s *slot) {
	r := d.take(s)
	if r == nil {
		return
	}
	if d.worthwhile(r) {
		d.finish(r, d.perform(r))
	}
	d.release(s)
}

// giveWay lets a storm of alerts be answered before the runs that it starts take the processor
// and the journal's disk: an answer that comes late is sent again.
func (d *Dispatcher) giveWay() {
	for waited := time.Duration(0); waited < giveWayMost && d.submitting.Load() > crowd; waited += giveWayStep {
		select {
		case <-d.stop:
			return
		case <-time.After(giveWayStep):
		}
	}
}

// enqueue puts a recorded run in the queue of its target. It is called with the lock held.
func (d *Dispatcher) enqueue(r *run) {
	s := d.slots[r.target]
	if s == nil {
		s = &slot{target: r.target}
		d.slots[r.target] = s
	}
	s.waiting = append(s.waiting, r)
	d.offer(s)
}

// offer makes a target that is idle and has a run ready to be served. The channel has
// room for every run that may wait.
func (d *Dispatcher) offer(s *slot) {
	if s.running == nil && !s.ready && len(s.waiting) > 0 {
		s.ready = true
		d.ready <- s
	}
}

// take begins the run of the highest level that waits for a target, the first among equals.
func (d *Dispatcher) take(s *slot) *run {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.ready = false
	if d.draining || len(s.waiting) == 0 {
		return nil
	}
	best := 0
	for i, r := range s.waiting {
		if r.progress.level > s.waiting[best].progress.level {
			best = i
		}
	}
	r := s.waiting[best]
	s.waiting = append(s.waiting[:best:best], s.waiting[best+1:]...)
	s.running = r
	r.progress.state = StateRunning
	d.queued--
	return r
}

func (d *Dispatcher) release(s *slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.running = nil
	if len(s.waiting) == 0 {
		delete(d.slots, s.target)
		return
	}
	if !d.draining {
		d.offer(s)
	}
}
