package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Job is one source on the sampler's schedule.
type Job struct {
	Source string // the source's name in metrics and logs: process, heap, cache, temp
	Target string // "" where the source serves all targets
	Impl   Source
	// Verify, when set, is called after each sample that found something. Its error makes the source
	// a failed one; what was sampled is published all the same.
	Verify func() error
}

// Lane is a set of jobs that are sampled one after another, in order, on one cadence. Lanes run
// beside each other, so a heap client that waits for its deadline delays no process sample.
type Lane struct {
	Name     string
	Interval time.Duration
	Timeout  time.Duration // for one job; default: the interval, at most 10s
	Jobs     []Job
	// Hurry, when set and true, makes the lane sample five times as often.
	Hurry func() bool
	// Budget, when above 0, is the share of wall time that the lane may be busy: the interval
	// stretches so that it holds.
	Budget float64
	// After is called after each sweep of the lane, on its goroutine.
	After func()
}

const (
	hurryFactor   = 5
	maxJobTimeout = 10 * time.Second
	minLanePause  = 50 * time.Millisecond
	// firstSweepPatience bounds how long lanes after the first hold back Ready.
	firstSweepPatience = 2 * time.Second
	kickQueue          = 16
	forgetAbsent       = 30 * time.Minute // series absent for longer leave the memory
	forgetInterval     = 5 * time.Minute
)

// SamplerOptions configure a Sampler. Store, Logger and Registerer are required.
type SamplerOptions struct {
	Store   *series.Store
	Lanes   []Lane
	Metrics *SamplerMetrics
	Logger  *slog.Logger
	Now     func() time.Time // default time.Now
}

// SamplerMetrics are the counters of the sampler itself. They are made once per process and
// outlive reloads.
type SamplerMetrics struct {
	ticks    prometheus.Counter
	missed   prometheus.Counter
	duration prometheus.Histogram
	interval *prometheus.GaugeVec
}

// NewSamplerMetrics makes and registers the sampler's metrics.
func NewSamplerMetrics(reg prometheus.Registerer) *SamplerMetrics {
	m := &SamplerMetrics{
		ticks:  metric.SamplerTicks.NewCounter(),
		missed: metric.SamplerMissed.NewCounter(),
		duration: metric.SamplerDuration.NewHistogram(prometheus.HistogramOpts{
			Buckets: []float64{.0001, .001, .01, .1, 1, 10, 60}, NativeHistogramBucketFactor: 1.1,
			NativeHistogramMaxBucketNumber: 100,
		}),
		interval: metric.SamplerInterval.NewGaugeVec(),
	}
	reg.MustRegister(m.ticks, m.missed, m.duration, m.interval)
	return m
}

// Sampler owns the cadence: it samples every lane on its interval, with a deadline for each job,
// publishes the batches, and knows when it was late. All I/O of observing happens here.
type Sampler struct {
	opts   SamplerOptions
	lanes  []*lane
	ready  chan struct{}
	cancel context.CancelFunc
	done   sync.WaitGroup
}

type lane struct {
	Lane
	s     *Sampler
	jobs  []*job
	kicks chan func(Job) bool
	first chan struct{}

	beside time.Duration // that a second core was busy in the last sweep
}

type job struct {
	Job
	batch, frame series.Batch
	lastSuccess  time.Time
	lastErr      string

	mu   sync.Mutex
	runs uint64
	err  string
}

// NewSampler returns a Sampler that has not started.
func NewSampler(o SamplerOptions) *Sampler {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sampler{opts: o, ready: make(chan struct{})}
	for _, l := range o.Lanes {
		ln := &lane{Lane: l, s: s, kicks: make(chan func(Job) bool, kickQueue), first: make(chan struct{})}
		if ln.Timeout <= 0 {
			ln.Timeout = min(l.Interval, maxJobTimeout)
		}
		for _, j := range l.Jobs {
			ln.jobs = append(ln.jobs, &job{Job: j})
		}
		s.lanes = append(s.lanes, ln)
	}
	return s
}

// Start begins sampling and returns at once. Ready is closed after the first sweep of every lane;
// for lanes after the first, which may scan large trees or wait for others, it waits 2 s at most.
func (s *Sampler) Start(ctx context.Context) {
	ctx, s.cancel = context.WithCancel(ctx)
	for _, l := range s.lanes {
		s.done.Go(func() { l.run(ctx) })
	}
	s.done.Go(func() { s.housekeep(ctx) })
	s.done.Go(func() {
		patience := time.NewTimer(firstSweepPatience)
		defer patience.Stop()
		for i, l := range s.lanes {
			waited := patience.C
			if i == 0 {
				waited = nil
			}
			select {
			case <-l.first:
			case <-waited:
				patience.Reset(0) // for those that follow
			case <-ctx.Done():
				return
			}
		}
		close(s.ready)
	})
}

// Ready is closed once every lane has been sampled once, or has had 2 s for it.
func (s *Sampler) Ready() <-chan struct{} { return s.ready }

// Stop ends all lanes, waits for them, and closes the sources that hold something open. What was
// published stays in the store until Forget.
func (s *Sampler) Stop() {
	if s.cancel != nil {
		s.cancel()
	}
	s.done.Wait()
	for _, l := range s.lanes {
		for _, j := range l.jobs {
			c, ok := j.Impl.(io.Closer)
			if !ok {
				continue
			}
			if err := c.Close(); err != nil {
				s.opts.Logger.Warn("closing a source failed", "source", j.Source, "target", j.Target, "err", err)
			}
		}
	}
}

// Forget removes from the store what only this sampler has published. It is called after its
// successor's first sweep, so that nothing that both observe is ever absent.
func (s *Sampler) Forget() {
	for _, l := range s.lanes {
		for _, j := range l.jobs {
			s.opts.Store.Forget(&j.batch)
			s.opts.Store.Forget(&j.frame)
		}
	}
}

// Kick asks for a fresh sample, soon, of the jobs that match selects. It never blocks; when many
// kicks are waiting already it does nothing, since those bring the same news.
func (s *Sampler) Kick(match func(Job) bool) {
	for _, l := range s.lanes {
		if !slices.ContainsFunc(l.Jobs, match) {
			continue
		}
		select {
		case l.kicks <- match:
		default:
		}
	}
}

// Runs returns how often the jobs that match selects have been sampled, the least of them.
func (s *Sampler) Runs(match func(Job) bool) (runs uint64) {
	found := false
	for _, l := range s.lanes {
		for _, j := range l.jobs {
			if !match(j.Job) {
				continue
			}
			j.mu.Lock()
			if !found || j.runs < runs {
				runs = j.runs
			}
			j.mu.Unlock()
			found = true
		}
	}
	return runs
}

// SourceError is the present error of one source.
type SourceError struct{ Source, Target, Error string }

// Errors returns the sources whose last sample failed.
func (s *Sampler) Errors() []SourceError {
	var out []SourceError
	for _, l := range s.lanes {
		for _, j := range l.jobs {
			j.mu.Lock()
			if j.err != "" {
				out = append(out, SourceError{j.Source, j.Target, j.err})
			}
			j.mu.Unlock()
		}
	}
	return out
}

func (s *Sampler) housekeep(ctx context.Context) {
	t := time.NewTicker(forgetInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.opts.Store.ForgetOlder(s.opts.Now().Add(-forgetAbsent))
		}
	}
}

func (l *lane) run(ctx context.Context) {
	m := l.s.opts.Metrics
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := l.s.opts.Now()
	first := l.first
	for {
		select {
		case <-ctx.Done():
			return
		case match := <-l.kicks:
			l.sweep(ctx, match)
			continue
		case <-timer.C:
		}
		start := l.s.opts.Now()
		l.sweep(ctx, nil)
		took := l.s.opts.Now().Sub(start)
		m.ticks.Inc()
		m.duration.Observe(took.Seconds())
		if first != nil {
			close(first)
			first = nil
		}
		interval := l.interval(took)
		m.interval.WithLabelValues(l.Name).Set(interval.Seconds())
		// The next tick keeps the lane's phase; ticks that are in the past already are missed.
		due = due.Add(interval)
		now := l.s.opts.Now()
		if late := now.Sub(due); late >= 0 {
			missed := int64(late/interval) + 1
			m.missed.Add(float64(missed))
			due = due.Add(time.Duration(missed * int64(interval)))
		}
		if due.Sub(now) > interval { // the clock was set back
			due = now.Add(interval)
		}
		timer.Reset(max(due.Sub(now), minLanePause))
	}
}

// interval returns the time from the start of this sweep to the start of the next.
func (l *lane) interval(took time.Duration) time.Duration {
	d := l.Interval
	if l.Hurry != nil && l.Hurry() {
		d /= hurryFactor
	}
	if l.Budget > 0 {
		d = max(d, time.Duration(float64(took+l.beside)/l.Budget))
	}
	return max(d, minLanePause)
}

// sweep samples the jobs that match selects, all of them when it is nil.
func (l *lane) sweep(ctx context.Context, match func(Job) bool) {
	l.beside = 0
	for _, j := range l.jobs {
		if ctx.Err() != nil {
			return
		}
		if match == nil || match(j.Job) {
			l.sample(ctx, j)
		}
	}
	if l.After != nil {
		l.After()
	}
}

func (l *lane) sample(ctx context.Context, j *job) {
	o := &l.s.opts
	start := o.Now()
	j.batch.Reset(start)
	jctx, cancel := context.WithTimeout(ctx, l.Timeout)
	err := j.Impl.Sample(jctx, &j.batch)
	cancel()
	if j.Verify != nil && !errors.Is(err, ErrAbsent) {
		err = errors.Join(err, j.Verify())
	}
	if ctx.Err() != nil {
		return // stopping: an interrupted sample says nothing
	}
	took := o.Now().Sub(start)
	if w, ok := j.Impl.(interface{ cores() int }); ok {
		l.beside += took * time.Duration(max(w.cores()-1, 0))
	}
	absent := errors.Is(err, ErrAbsent)
	failed := err != nil && !absent
	o.Store.Commit(&j.batch)

	if !failed {
		j.lastSuccess = start
	}
	j.frame.Reset(start)
	success := 1.0
	if failed {
		success = 0
	}
	j.frame.Set(metric.SourceSuccess, success, j.Source, j.Target)
	j.frame.Set(metric.SourceDuration, took.Seconds(), j.Source, j.Target)
	if !j.lastSuccess.IsZero() {
		j.frame.Set(metric.SourceLastSuccess, float64(j.lastSuccess.UnixMilli())/1000, j.Source, j.Target)
	}
	o.Store.Commit(&j.frame)
	j.report(o.Logger, err, failed)
}

// report logs a change of the source's state, once, and remembers it for the page.
func (j *job) report(logger *slog.Logger, err error, failed bool) {
	text := ""
	if failed {
		text = err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			text = fmt.Sprintf("no answer in time: %v", err)
		}
	}
	j.mu.Lock()
	j.runs++
	j.err = text
	j.mu.Unlock()
	switch {
	case failed && j.lastErr == "":
		logger.Warn("source failed", "source", j.Source, "target", j.Target, "err", text)
	case !failed && j.lastErr != "":
		logger.Info("source works again", "source", j.Source, "target", j.Target)
	case failed && text != j.lastErr:
		logger.Debug("source fails differently", "source", j.Source, "target", j.Target, "err", text)
	}
	j.lastErr = text
}
