package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// lane is a Lane that runs. One goroutine at a time owns it: the one whose number is turn. What
// stands outside mu belongs to the owner.
type lane struct {
	Lane
	s     *Sampler
	jobs  []*job
	kicks chan func(Job) bool
	first chan struct{}   // closed after the first sweep
	wakes <-chan struct{} // of a source that asks for samples itself; nil where none does

	slowest bool // no lane of its name has a longer interval: it publishes that of all

	swept bool           // first is closed
	due   time.Time      // of the next tick
	began time.Time      // of the present sweep
	match func(Job) bool // of the present sweep; nil = a tick, which samples all jobs
	next  int            // job after the one that is sampled
	ran   bool           // the present sweep has sampled a job
	busy  time.Duration  // that the cores were busy in the present sweep
	early bool           // the next sweep comes before the tick, because a reading is due

	mu     sync.Mutex
	turn   uint64
	now    *job          // that is sampled at present; nil between two
	since  time.Time     // when its sample began
	moved  time.Time     // when its scan was last seen to go on
	holds  bool          // a turn of Share
	left   chan struct{} // closed when the owner has returned; nil before start
	closed bool          // its sources are
}

// job is a Job of a lane.
type job struct {
	Job
	place        string // see Blocked
	batch, frame series.Batch
	lastSuccess  time.Time
	lastErr      string
	pushed       time.Time    // when the rings last moved on
	gauges       []*gauge     // of the last sweep
	fast         series.Batch // to work with
	quiet        bool         // lastErr was said for all sources

	stuck  bool // guarded by lane.mu: an earlier sample has not returned
	orphan bool // guarded by lane.mu: it is to be closed when it returns

	mu     sync.Mutex
	runs   uint64
	err    string
	silent bool // it is stuck, here or in an earlier sampler
}

func newLane(s *Sampler, l Lane) *lane {
	ln := &lane{Lane: l, s: s, kicks: make(chan func(Job) bool, kickQueue), first: make(chan struct{})}
	if ln.Timeout <= 0 {
		ln.Timeout = min(l.Interval, maxJobTimeout)
	}
	for _, j := range l.Jobs {
		ln.jobs = append(ln.jobs, &job{Job: j, place: placeOf(&j)})
		if w, ok := j.Impl.(interface{ wakes() <-chan struct{} }); ok {
			ln.wakes = w.wakes()
		}
	}
	return ln
}

func (l *lane) start(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = l.s.opts.Now()
	l.left = make(chan struct{})
	go l.run(ctx, l.turn, l.left)
}

func (l *lane) kick(match func(Job) bool) {
	select {
	case l.kicks <- match:
	default:
	}
}

// run samples the lane until ctx is done or the lane has gone on without this goroutine. The
// first owner starts with a tick, a later one with the rest of the sweep that the one before it
// is stuck in.
func (l *lane) run(ctx context.Context, turn uint64, left chan struct{}) {
	defer close(left)
	if turn > 0 && !l.resume(ctx, turn) {
		return
	}
	l.early = false
	timer := time.NewTimer(l.due.Sub(l.s.opts.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case match := <-l.kicks:
			if !l.sweep(ctx, turn, match) {
				return
			}
			continue
		case <-l.wakes:
			l.early = true
		case <-timer.C:
		}
		if l.early {
			l.s.opts.Metrics.woken(l.reason())
			if !l.sweep(ctx, turn, everyJob) {
				return
			}
			timer.Reset(l.soonest(l.due.Sub(l.s.opts.Now())))
			continue
		}
		if !l.sweep(ctx, turn, nil) {
			return
		}
		timer.Reset(l.soonest(l.ticked()))
	}
}

func everyJob(Job) bool { return true }

// reason is why a sweep comes before its tick.
func (l *lane) reason() string {
	if l.wakes != nil {
		return WakeStart
	}
	return WakeDistance
}

// soonest returns how long to wait: for the tick, or for a reading that is due before it.
func (l *lane) soonest(tick time.Duration) time.Duration {
	next := tick
	for _, j := range l.jobs {
		if p, ok := j.Impl.(interface {
			within(interval time.Duration) time.Duration
		}); ok {
			next = min(next, p.within(l.Interval)-l.s.opts.Now().Sub(l.began))
		}
	}
	l.early = next < tick
	return max(next, 0)
}

// sweep samples the jobs that match selects, all of them when it is nil. It is false when the lane
// has gone on without this goroutine.
func (l *lane) sweep(ctx context.Context, turn uint64, match func(Job) bool) bool {
	l.began, l.match, l.next, l.ran, l.busy = l.s.opts.Now(), match, 0, false, 0
	return l.rest(ctx, turn)
}

// resume ends the sweep of an owner that is stuck.
func (l *lane) resume(ctx context.Context, turn uint64) bool {
	if !l.rest(ctx, turn) {
		return false
	}
	if l.match == nil {
		l.ticked()
	}
	return true
}

// rest samples the jobs of the present sweep from next on.
func (l *lane) rest(ctx context.Context, turn uint64) bool {
	for l.next < len(l.jobs) {
		j := l.jobs[l.next]
		l.next++
		if ctx.Err() != nil {
			return true
		}
		if l.match != nil && !l.match(j.Job) {
			continue
		}
		if !l.sample(ctx, turn, j) {
			return false
		}
	}
	if l.After != nil {
		l.After(l.whole())
	}
	return true
}

// ticked counts a tick and returns how long to wait for the next. It keeps the lane's phase; ticks
// that are in the past already are missed.
func (l *lane) ticked() time.Duration {
	m := l.s.opts.Metrics
	now := l.s.opts.Now()
	took := now.Sub(l.began)
	if l.ran {
		m.ticks.Inc()
		m.duration.Observe(took.Seconds())
	}
	if !l.swept {
		l.swept = true
		close(l.first)
	}
	interval, longest := l.interval()
	if l.slowest {
		m.interval.WithLabelValues(l.Name).Set(longest.Seconds())
	}
	l.due = l.due.Add(interval)
	if late := now.Sub(l.due); late >= 0 {
		missed := int64(late/interval) + 1
		m.missed.Add(float64(missed))
		l.due = l.due.Add(time.Duration(missed * int64(interval)))
	}
	if l.due.Sub(now) > interval { // the clock was set back
		l.due = now.Add(interval)
	}
	return max(l.due.Sub(now), minLanePause)
}

// interval returns the time from the start of this sweep to the start of the next, and the longest
// among the lanes that share a budget with this one.
func (l *lane) interval() (own, longest time.Duration) {
	d := l.Interval
	if l.Hurry != nil && l.Hurry() {
		d /= hurryFactor
	}
	d = max(d, minLanePause)
	if l.Share == nil {
		return d, d
	}
	return l.Share.interval(l, d, l.busy)
}

// sample takes one sample of a job, unless it is stuck. It is false when the lane has gone on
// without this goroutine.
func (l *lane) sample(ctx context.Context, turn uint64, j *job) bool {
	o := &l.s.opts
	if l.skips(j) || !l.Share.take(ctx) {
		return true
	}
	start := o.Now()
	l.enter(j, start)
	j.batch.Reset(start)
	jctx, cancel := context.WithTimeout(ctx, l.Timeout)
	err := j.Impl.Sample(jctx, &j.batch)
	cancel()
	if j.Verify != nil && !errors.Is(err, ErrAbsent) {
		err = errors.Join(err, j.Verify())
	}
	if !l.leave(j, turn) {
		return false
	}
	if ctx.Err() != nil {
		return true // stopping: an interrupted sample says nothing
	}
	l.ran = true
	took := o.Now().Sub(start)
	l.busy += took
	if w, ok := j.Impl.(interface{ cores() int }); ok {
		l.busy += took * time.Duration(max(w.cores()-1, 0))
	}
	failed := err != nil && !errors.Is(err, ErrAbsent)
	l.commit(j, start)
	if !failed {
		j.lastSuccess = start
	}
	j.publish(o.Store, start, took, failed)
	l.s.near.sampled(j)
	text := ""
	if failed {
		text = err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			text = fmt.Sprintf("no answer in time: %v", err)
		}
	}
	quiet := isOutside(err)
	if quiet {
		l.s.outside.Do(func() {
			o.Logger.Warn("cgroups that hold targets are not seen from here: these have no limit, memory events or pressure", "err", err, "hint", "mount the host's /sys at /host/sys, or write memory.limit")
		})
	}
	j.report(o.Logger, text, quiet)
	return true
}

// commit publishes a sample. The rings move on once in an interval, whatever asked for samples in
// between, so that they always span the same time.
func (l *lane) commit(j *job, start time.Time) {
	if since := start.Sub(j.pushed); since >= 0 && since < l.Interval-l.Interval/10 {
		j.batch.Between()
	} else {
		j.pushed = start
	}
	l.s.opts.Store.Commit(&j.batch)
}

// publish sets what the frame keeps for the job.
func (j *job) publish(store *series.Store, start time.Time, took time.Duration, failed bool) {
	j.setFrame(start, took, failed)
	store.Commit(&j.frame)
}

func (j *job) setFrame(start time.Time, took time.Duration, failed bool) {
	success := 1.0
	if failed {
		success = 0
	}
	j.frame.Reset(start)
	j.frame.Set(metric.SourceSuccess, success, j.Source, j.Target, j.Name)
	j.frame.Set(metric.SourceDuration, took.Seconds(), j.Source, j.Target, j.Name)
	if !j.lastSuccess.IsZero() {
		j.frame.Set(metric.SourceLastSuccess, float64(j.lastSuccess.UnixMilli())/1000, j.Source, j.Target, j.Name)
	}
}

// attrs are what names a job in the log.
func (j *job) attrs(more ...any) []any {
	out := []any{"source", j.Source, "target", j.Target}
	if j.Name != "" {
		out = append(out, "name", j.Name)
	}
	if j.Dir != "" {
		out = append(out, "dir", j.Dir)
	}
	return append(out, more...)
}

// isOutside reports whether nothing failed but that cgroups cannot be seen from here.
func isOutside(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it is taken apart
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if !isOutside(one) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		return isOutside(e.Unwrap())
	}
	return err == cgroup.ErrOutside || err == cgroup.ErrUnmounted //nolint:errorlint // the innermost
}

// report logs a change of the source's state, once, and remembers it for the page. text is what
// failed; "" is a success. What is quiet was said for all sources.
func (j *job) report(logger *slog.Logger, text string, quiet bool) {
	j.mu.Lock()
	j.runs++
	j.err, j.silent = text, false
	j.mu.Unlock()
	switch failed := j.lastErr != "" && !j.quiet; {
	case quiet && text != j.lastErr:
		logger.Debug("source failed", j.attrs("err", text)...)
	case quiet:
	case text != "" && !failed:
		logger.Warn("source failed", j.attrs("err", text)...)
	case text == "" && failed:
		logger.Info("source works again", j.attrs()...)
	case text != j.lastErr:
		logger.Debug("source fails differently", j.attrs("err", text)...)
	}
	j.lastErr, j.quiet = text, quiet
}
