package history

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// RecorderOptions configure a Recorder. All are required but Taken, Now and Booted.
type RecorderOptions struct {
	Store   *Store
	Series  *series.Store
	Program func(target string, started time.Time) Program // what the process of a target that started then runs
	Refill  time.Duration                                  // how far back the rings reach
	Logger  *slog.Logger
	Taken   func(samples []Sample, at time.Time, marks []Mark) // what was recorded of the step that begins then; it may not keep the slices
	Now     func() time.Time                                   // default time.Now
	Booted  func() time.Time                                   // when the host started; default the kernel's answer
}

// Recorder writes what a series store has into a Store, and gives the rings back what they held before a
// restart.
type Recorder struct {
	opts   RecorderOptions
	swept  chan struct{}
	step   int64 // the one that is under way
	starts map[string]time.Time
}

// startSlack is how far two readings of the same start of a process can be apart: the kernel counts it
// from a boot time that follows the clock.
const startSlack = 2 * time.Second

// NewRecorder returns a Recorder. From now on the series store gathers for it.
func NewRecorder(o RecorderOptions) *Recorder {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Booted == nil {
		o.Booted = func() time.Time { return Booted(o.Now()) }
	}
	o.Series.GatherEvery(Step, Recorded)
	return &Recorder{opts: o, swept: make(chan struct{}, 1), starts: make(map[string]time.Time)}
}

// Booted returns when the host started, the zero time where the kernel does not say.
func Booted(now time.Time) time.Time {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return time.Time{}
	}
	return now.Add(-time.Duration(info.Uptime) * time.Second)
}

// Swept is called after a sweep: there may be new values. It never waits.
func (r *Recorder) Swept() {
	select {
	case r.swept <- struct{}{}:
	default:
	}
}

// Run opens the Store and records until ctx is done; then it writes what the present step has, and closes it.
// A Store that cannot be opened is logged once, and nothing is recorded.
func (r *Recorder) Run(ctx context.Context) {
	began := time.Now()
	if err := r.opts.Store.Open(); err != nil {
		r.opts.Series.GatherEvery(Step, nil)
		r.opts.Logger.Warn("the history is off: what is measured is not kept over a restart", "err", err)
		return
	}
	r.opts.Logger.Info("history opened", "path", r.opts.Store.Path(), "after", time.Since(began).Round(time.Microsecond))
	r.step = r.now()
	for {
		select {
		case <-ctx.Done():
			r.record(true)
			if err := r.opts.Store.Close(); err != nil {
				r.opts.Logger.Warn("closing the history failed", "err", err)
			}
			return
		case <-r.swept:
			r.refill()
			if now := r.now(); now != r.step {
				r.step = now
				r.record(false)
			}
		}
	}
}

func (r *Recorder) now() int64 { return r.opts.Now().UnixMilli() / Step.Milliseconds() }

// record appends the steps that have ended, with all the present one too. The Store logs what fails. What it
// collects for that is not kept: it would be five minutes without use.
func (r *Recorder) record(all bool) {
	now := r.opts.Now()
	gathered := r.opts.Series.Gather(nil, now, all)
	marks := r.marks(gathered, now)
	samples := make([]Sample, 0, len(gathered))
	for rest := gathered; len(rest) > 0; { // mostly all are of one step
		at := rest[0].Time
		samples = samples[:0]
		later := rest[:0]
		for i := range rest {
			g := &rest[i]
			if !g.Time.Equal(at) {
				later = append(later, *g)
				continue
			}
			samples = append(samples, Sample{Target: g.Values[0], Gauge: GaugeOf(g.Desc, g.Values), Min: g.Min, Mean: g.Mean, Max: g.Max})
		}
		rest = later
		if err := r.opts.Store.Append(at, samples, marks); err == nil {
			for i := range marks {
				r.starts[marks[i].Target] = marks[i].Time
			}
			r.taken(samples, at, marks)
			marks = nil
			continue
		}
		r.taken(samples, at, marks)
	}
}

// taken passes on what was measured, whether the disk took it or not.
func (r *Recorder) taken(samples []Sample, at time.Time, marks []Mark) {
	if r.opts.Taken != nil {
		r.opts.Taken(samples, at, marks)
	}
}

// marks returns the starts of services that the history does not have yet.
func (r *Recorder) marks(gathered []series.Gathered, now time.Time) []Mark {
	var out []Mark
	for i := range gathered {
		g := &gathered[i]
		if g.Desc != metric.MemoryResident {
			continue
		}
		target := g.Values[0]
		started, ok := r.started(target)
		if !ok || !started.After(r.lastStart(target, now).Add(startSlack)) {
			continue
		}
		out = append(out, Mark{Target: target, Time: started, Program: r.opts.Program(target, started)})
	}
	return out
}

// started returns when the oldest process of a target started.
func (r *Recorder) started(target string) (time.Time, bool) {
	seconds, _, ok := r.opts.Series.Value(metric.ProcessOldestStart, target)
	return time.UnixMilli(int64(seconds * 1000)), ok
}

// lastStart returns the newest start of a target that the history has.
func (r *Recorder) lastStart(target string, now time.Time) time.Time {
	if at, known := r.starts[target]; known {
		return at
	}
	marks, err := r.opts.Store.Marks(target, time.Time{}, now)
	if err != nil {
		return now // it will say so when it is written
	}
	var last time.Time
	if n := len(marks); n > 0 {
		last = marks[n-1].Time
	}
	r.starts[target] = last
	return last
}

// refill gives series that are new to this process their past. A trend reaches back to the start of the
// service at most, and of the host.
func (r *Recorder) refill() {
	fresh := r.opts.Series.Fresh(nil) // mostly none
	now := r.opts.Now()
	var points []series.Point
	samples := make([]Sample, 0, len(fresh))
	defer func() {
		if len(samples) > 0 {
			r.taken(samples, stepOf(now), nil)
		}
	}()
	for i := range fresh {
		s := &fresh[i]
		target := s.Values[0]
		samples = append(samples, Sample{Target: target, Gauge: GaugeOf(s.Desc, s.Values), Min: s.Value, Mean: s.Value, Max: s.Value})
		past, err := r.opts.Store.Series(target, GaugeOf(s.Desc, s.Values), now.Add(-r.opts.Refill), now)
		if err != nil && !errors.Is(err, ErrNotOpen) {
			r.opts.Logger.Warn("the history cannot be read: rings begin anew", "err", err)
			return
		}
		if len(past) == 0 {
			continue
		}
		points = points[:0]
		for _, p := range past {
			points = append(points, series.Point{Time: p.Time.Add(Step / 2), Min: p.Min, Max: p.Max, Last: p.Mean})
		}
		cut := r.opts.Booted()
		if started, ok := r.started(target); ok && started.After(cut) {
			cut = started
		}
		r.opts.Series.Past(points, stepOf(cut.Add(Step-time.Millisecond)), s.Desc, s.Values...)
	}
}
