package collector

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Job is one source on the sampler's schedule.
type Job struct {
	Source string // the source's name in metrics and logs: process, heap, cache, temp
	Target string // "" where the source serves all targets
	Name   string // of the policy, where a target may have several of the source; else ""
	Dir    string // the folder that is scanned; "" where there is none
	Impl   Source
	// Verify, when set, is called after each sample that found something. Its error makes the source
	// a failed one; what was sampled is published all the same.
	Verify func() error
}

// Lane is a set of jobs that are sampled one after another, in order, on one schedule. Lanes run
// concurrently, so a heap client that waits for its deadline delays no process sample.
type Lane struct {
	Name     string
	Interval time.Duration
	Timeout  time.Duration // for one job; default: the interval, at most 10s
	Jobs     []Job
	// Hurry, when set and true, makes the lane sample five times as often.
	Hurry func() bool
	// Share, when set, is what the lane has in common with others: a budget and a number of turns.
	Share *Share
	// Stall, when above 0, is how long a scan may make no progress before it counts as stuck.
	Stall time.Duration
	// After is called after each sweep of the lane. whole is false while a job of the lane is stuck.
	After func(whole bool)
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

// SamplerOptions configure a Sampler. Store, Metrics and Logger are required.
type SamplerOptions struct {
	Store   *series.Store
	Lanes   []Lane
	Metrics *SamplerMetrics
	Logger  *slog.Logger
	Now     func() time.Time // default time.Now
	Blocked *Blocked         // of the process; default: one of its own

	// Crossed, when set, is called when a level has changed, and after a reading at warning or above
	// that a Wake led to: on the goroutine that took the reading, directly after the store has it,
	// never concurrently with itself. Sampling goes on when it returns.
	Crossed func(Crossing)
}

// Sampler owns the schedule: it samples every lane on its interval, with a deadline for each job,
// publishes the batches, and knows when it was late. All I/O of observing happens here. A job that
// does not return, even after its deadline, is given up by the watch: its lane goes on without it.
type Sampler struct {
	opts  SamplerOptions
	lanes []*lane
	near  *near
	ready chan struct{}
	done  sync.WaitGroup // of the goroutines that do no I/O themselves

	outside sync.Once // says that cgroups are not seen

	mu      sync.Mutex
	cancel  context.CancelFunc // nil before Start
	stopped bool
}

// NewSampler returns a Sampler that has not started.
func NewSampler(o SamplerOptions) *Sampler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Blocked == nil {
		o.Blocked = NewBlocked()
	}
	s := &Sampler{opts: o, ready: make(chan struct{})}
	s.near = newNear(s)
	slowest := make(map[string]time.Duration)
	for _, l := range o.Lanes {
		s.lanes = append(s.lanes, newLane(s, l))
		slowest[l.Name] = max(slowest[l.Name], l.Interval)
	}
	for _, l := range s.lanes {
		l.slowest = l.Interval == slowest[l.Name]
	}
	return s
}

// Start begins sampling and returns at once. Ready is closed after the first sweep of every lane;
// for lanes after the first, which may scan large trees or wait for others, it waits 2 s at most.
func (s *Sampler) Start(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.near.start(ctx)
	for _, l := range s.lanes {
		l.start(ctx)
	}
	s.done.Go(func() { s.housekeep(ctx) })
	s.done.Go(func() { s.watch(ctx) })
	s.done.Go(func() { s.awaitFirst(ctx) })
}

// awaitFirst closes ready.
func (s *Sampler) awaitFirst(ctx context.Context) {
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
}

// Ready is closed once every lane has been sampled once, or has had 2 s for it.
func (s *Sampler) Ready() <-chan struct{} { return s.ready }

// Stop ends all lanes, waits for them until ctx is done, and closes the sources that hold
// something open. The error names each job that has not returned; its goroutine is abandoned, and
// its source is closed when it does return. What was published stays in the store until Forget.
// Stop may be called before Start, and again.
func (s *Sampler) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.done.Wait()
	errs := []error{s.near.stop(ctx)}
	for _, l := range s.lanes {
		errs = append(errs, l.stop(ctx))
	}
	return errors.Join(errs...)
}

// Forget removes from the store what only this sampler has published. It is called after its
// successor's first sweep, so that series sampled by both never disappear during the swap.
func (s *Sampler) Forget() {
	for _, l := range s.lanes {
		for _, j := range l.jobs {
			s.opts.Store.Forget(&j.batch)
			s.opts.Store.Forget(&j.frame)
		}
	}
}

// Kick requests a fresh sample, soon, of the jobs that match selects. It never blocks; when many
// kicks are waiting already it does nothing, since they lead to the same sample.
func (s *Sampler) Kick(match func(Job) bool) {
	for _, l := range s.lanes {
		if slices.ContainsFunc(l.Jobs, match) {
			l.kick(match)
		}
	}
}

// Wake takes a reading of a target's memory at once, or 50 ms after the last one. It is called when
// something says that its memory is short, from any goroutine, and never blocks. reason is one of
// the Wake constants.
func (s *Sampler) Wake(target, reason string) {
	if reason == "" {
		reason = WakeOther
	}
	s.near.wakeTarget(target, reason)
}

// Runs returns how often the jobs that match selects have been sampled, the least of them. Jobs
// that are stuck do not count: nothing is to be expected of them.
func (s *Sampler) Runs(match func(Job) bool) (runs uint64) {
	found := false
	for _, l := range s.lanes {
		for _, j := range l.jobs {
			if !match(j.Job) {
				continue
			}
			j.mu.Lock()
			if !j.silent && (!found || j.runs < runs) {
				runs, found = j.runs, true
			}
			j.mu.Unlock()
		}
	}
	return runs
}

// SourceError is the present error of one source.
type SourceError struct{ Source, Target, Name, Error string }

// Errors returns the sources whose last sample failed, and those that are stuck.
func (s *Sampler) Errors() []SourceError {
	var out []SourceError
	for _, l := range s.lanes {
		for _, j := range l.jobs {
			j.mu.Lock()
			if j.err != "" {
				out = append(out, SourceError{j.Source, j.Target, j.Name, j.err})
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

// close closes a source that holds something open.
func (s *Sampler) close(j *job) {
	c, ok := j.Impl.(io.Closer)
	if !ok {
		return
	}
	if err := c.Close(); err != nil {
		s.opts.Logger.Warn("closing a source failed", "source", j.Source, "target", j.Target, "err", err)
	}
}
