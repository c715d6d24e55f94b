package collector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

const (
	watchEvery = 500 * time.Millisecond
	// stuckGrace is what a job may take beyond its deadline to notice it.
	stuckGrace = 5 * time.Second
	// turnPatience is how long a scan that makes no progress keeps its turn: it costs nothing then,
	// and others must not wait for it.
	turnPatience = time.Second
)

// Blocked are the jobs whose sample has not returned. It is made once per process and outlives
// reloads: a call that is stuck in the kernel cannot be cancelled, and its successor must not wait
// in the same place, with one more thread for each reload.
type Blocked struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// NewBlocked returns an empty Blocked.
func NewBlocked() *Blocked { return &Blocked{since: make(map[string]time.Time)} }

// placeOf is what a job would wait in: the folder, or else the source itself.
func placeOf(j *Job) string {
	if j.Dir != "" {
		return j.Dir
	}
	return strings.Join([]string{j.Source, j.Target, j.Name}, "\x00")
}

func (b *Blocked) add(place string, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.since[place] = since
}

func (b *Blocked) remove(place string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.since, place)
}

func (b *Blocked) get(place string) (since time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	since, ok = b.since[place]
	return since, ok
}

// watch looks for jobs that do not return.
func (s *Sampler) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := s.opts.Now()
		for _, l := range s.lanes {
			l.look(ctx, now)
		}
	}
}

// enter notes that a job is being sampled from now on, with a turn of Share.
func (l *lane) enter(j *job, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now, l.since, l.moved, l.holds = j, now, now, true
}

// leave notes that a sample has returned. It is false when that was too late: the lane has gone on
// without this goroutine, and the sample is thrown away.
func (l *lane) leave(j *job, turn uint64) bool {
	l.mu.Lock()
	if l.turn == turn {
		l.now = nil
		l.giveTurn()
		l.mu.Unlock()
		return true
	}
	j.stuck = false
	orphan := j.orphan
	l.mu.Unlock()
	l.s.opts.Blocked.remove(j.place)
	if orphan {
		l.s.close(j)
		return false
	}
	l.kick(func(k Job) bool { return k.Source == j.Source && k.Target == j.Target && k.Name == j.Name })
	return false
}

// giveTurn gives back the turn that the present job has. mu is held.
func (l *lane) giveTurn() {
	if l.holds {
		l.holds = false
		l.Share.give()
	}
}

// look takes the lane away from an owner that is stuck.
func (l *lane) look(ctx context.Context, now time.Time) {
	l.mu.Lock()
	j := l.now
	if j == nil {
		l.mu.Unlock()
		return
	}
	stuck := now.Sub(l.since) >= l.Timeout+stuckGrace
	if p, ok := j.Impl.(interface{ moved() bool }); ok {
		if p.moved() {
			l.moved = now
		}
		idle := now.Sub(l.moved)
		if idle >= turnPatience {
			l.giveTurn()
		}
		stuck = stuck || l.Stall > 0 && idle >= l.Stall
	}
	if !stuck || ctx.Err() != nil {
		l.mu.Unlock()
		return
	}
	l.giveUp(j)
	text, _ := l.silence(j, now, l.since)
	l.left = make(chan struct{})
	go l.run(ctx, l.turn, l.left)
	l.mu.Unlock()
	l.warnStuck(j, text)
}

// giveUp leaves the present job to its goroutine. mu is held.
func (l *lane) giveUp(j *job) {
	l.giveTurn()
	l.turn++
	l.now, j.stuck = nil, true
	l.s.opts.Blocked.add(j.place, l.since)
}

// silence publishes that a job is stuck: what it has read is absent. It returns the error that the
// page shows, and whether that is news. mu is held, so that its goroutine does not come back
// meanwhile.
func (l *lane) silence(j *job, now, since time.Time) (text string, news bool) {
	o := &l.s.opts
	o.Store.Hide(&j.batch)
	j.setFrame(now, now.Sub(since), true)
	j.frame.Set(metric.LaneStuck, 1, l.Name, j.Source, j.Target, j.Name)
	o.Store.Commit(&j.frame)
	text = fmt.Sprintf("%s has not returned since %s", j.Source, since.UTC().Format(time.RFC3339))
	if j.Dir != "" {
		text = fmt.Sprintf("%s has not answered since %s: check whether the server of its mount is alive", j.Dir, since.UTC().Format(time.RFC3339))
	}
	j.mu.Lock()
	news = !j.silent
	j.err, j.silent = text, true
	j.mu.Unlock()
	j.lastErr, j.quiet = text, false
	return text, news
}

// warnStuck says, once, that a job is stuck.
func (l *lane) warnStuck(j *job, text string) {
	hint := "its readings are absent until it returns; everything else goes on"
	if j.Dir != "" {
		hint = "check whether the server of the mount is alive (see /proc/self/mountinfo); umount -l detaches a dead mount"
	}
	l.s.opts.Logger.Warn("source is stuck", j.attrs("err", text, "hint", hint)...)
}

// skips reports whether a job cannot be sampled because an earlier sample has not returned, be it
// of this sampler or of the one before a reload.
func (l *lane) skips(j *job) bool {
	l.mu.Lock()
	if j.stuck {
		l.mu.Unlock()
		return true
	}
	since, blocked := l.s.opts.Blocked.get(j.place)
	if !blocked {
		l.mu.Unlock()
		return false
	}
	text, news := l.silence(j, l.s.opts.Now(), since)
	l.mu.Unlock()
	if news {
		l.warnStuck(j, text)
	}
	return true
}

// whole reports whether no job of the lane is stuck.
func (l *lane) whole() bool {
	for _, j := range l.jobs {
		j.mu.Lock()
		silent := j.silent
		j.mu.Unlock()
		if silent {
			return false
		}
	}
	return true
}

// stop waits for the lane's goroutine until ctx is done and closes the sources. The error names
// the jobs that have not returned.
func (l *lane) stop(ctx context.Context) error {
	l.mu.Lock()
	left := l.left
	l.mu.Unlock()
	var errs []error
	if left != nil {
		select {
		case <-left:
		case <-ctx.Done():
			errs = append(errs, l.abandon(left))
		}
	}
	l.Share.forget(l)
	l.mu.Lock()
	done := l.closed
	l.closed = true
	var idle []*job
	for _, j := range l.jobs {
		_, blocked := l.s.opts.Blocked.get(j.place) // by the sampler before a reload, too
		if j.stuck || blocked {
			errs = append(errs, errors.New(j.describe()))
		}
		if j.orphan = j.stuck; !j.stuck {
			idle = append(idle, j)
		}
	}
	l.mu.Unlock()
	if !done {
		for _, j := range idle {
			l.s.close(j)
		}
	}
	return errors.Join(errs...)
}

// abandon gives up the lane's goroutine, wherever it is.
func (l *lane) abandon(left chan struct{}) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if j := l.now; j != nil {
		l.giveUp(j)
		return nil // stop names the job
	}
	select {
	case <-left:
		return nil
	default:
		return fmt.Errorf("lane %s has not ended", l.Name)
	}
}

// describe names a job that is stuck.
func (j *job) describe() string {
	if j.Dir != "" {
		return fmt.Sprintf("%s %q of target %q does not return from %s", j.Source, j.Name, j.Target, j.Dir)
	}
	return strings.TrimSpace(fmt.Sprintf("%s of target %q does not return", j.Source, j.Target))
}
