package wake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// The reasons of a wake: what the kernel has reported.
const (
	ReasonPressure  = "pressure"      // tasks waited for memory
	ReasonEvents    = "memory_events" // a limit was met, or a process was killed
	ReasonThreshold = "threshold"     // the usage has passed a threshold
)

var reasons = []string{ReasonPressure, ReasonEvents, ReasonThreshold}

const defaultMaxWatches = 512

// Subject is what is watched for a target. A target may have several.
type Subject struct {
	Target    string
	CgroupDir string // the folder of its cgroup, of either version; "" for none
	// Pressure is a file with pressure stall information; "" is memory.pressure in CgroupDir.
	Pressure string
	// Thresholds are numbers of bytes, for a cgroup of version 1.
	Thresholds []int64
}

func (s *Subject) equal(o *Subject) bool {
	return s.Target == o.Target && s.CgroupDir == o.CgroupDir && s.Pressure == o.Pressure && slices.Equal(s.Thresholds, o.Thresholds)
}

// Options configure a Waker. Wake and Logger are required.
type Options struct {
	// Wake is called on the one goroutine of the Waker with one of the reasons. It must not block.
	// For one target it is called again after 50 ms at the earliest, and less and less often while
	// the kernel goes on reporting: at last once a second.
	Wake       func(target, reason string)
	Logger     *slog.Logger
	MaxWatches int                   // subjects that are watched at most; default 512
	Registerer prometheus.Registerer // nil: no metrics are published
}

// Waker is what is registered with the kernel. Its methods are safe for concurrent use.
type Waker struct {
	opts  Options
	gauge *prometheus.GaugeVec

	setting sync.Mutex // serialises Set and Stop
	stopped bool
	watches []*watch
	said    map[string]bool // what was logged

	loop *loop // nil until something is to be watched
}

// New returns a Waker that watches nothing and has opened nothing.
func New(o Options) *Waker {
	if o.MaxWatches <= 0 {
		o.MaxWatches = defaultMaxWatches
	}
	w := &Waker{opts: o, gauge: metric.WakeWatches.NewGaugeVec(), said: make(map[string]bool)}
	for _, reason := range reasons {
		w.gauge.WithLabelValues(reason).Set(0)
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(w.gauge)
	}
	return w
}

// Set exchanges the subjects: what is no longer among them is closed, what is new is registered,
// and the rest stays, unless its cgroup is another one of the same name by now. It is cheap to call
// with the same subjects again, and does nothing after Stop.
func (w *Waker) Set(subjects []Subject) {
	w.setting.Lock()
	defer w.setting.Unlock()
	if w.stopped {
		return
	}
	if len(subjects) > w.opts.MaxWatches {
		w.say("too many", "targets that the kernel reports on", "watched", w.opts.MaxWatches, "of", len(subjects))
		subjects = subjects[:w.opts.MaxWatches]
	}
	if w.unchanged(subjects) {
		return
	}
	w.exchange(subjects)
	counts := make(map[string]float64)
	for _, x := range w.watches {
		for _, s := range x.sources {
			counts[s.reason]++
		}
	}
	for _, reason := range reasons {
		w.gauge.WithLabelValues(reason).Set(counts[reason])
	}
}

// unchanged reports whether exactly these subjects are watched, in this order, and all still work.
func (w *Waker) unchanged(subjects []Subject) bool {
	if len(w.watches) != len(subjects) || w.loop.anyDead() {
		return false
	}
	for i, x := range w.watches {
		if !x.subject.equal(&subjects[i]) || !x.same() {
			return false
		}
	}
	return true
}

// exchange keeps what is still to be watched and works, registers the rest, and closes what is left.
func (w *Waker) exchange(subjects []Subject) {
	old := w.watches
	w.watches = make([]*watch, 0, len(subjects))
	for i := range subjects {
		s := &subjects[i]
		kept := slices.IndexFunc(old, func(x *watch) bool { return x.subject.equal(s) && x.same() && !w.loop.isDead(x) })
		if kept >= 0 {
			w.watches = append(w.watches, old[kept])
			old = slices.Delete(old, kept, kept+1)
			continue
		}
		if w.loop == nil {
			l, err := newLoop(w.opts.Wake)
			if err != nil {
				w.say("epoll "+err.Error(), "any event", "err", err)
				return
			}
			w.loop = l
		}
		w.watches = append(w.watches, w.register(s))
	}
	for _, x := range old {
		w.loop.remove(x)
	}
	if w.loop != nil && !slices.ContainsFunc(w.watches, func(x *watch) bool { return len(x.sources) > 0 }) {
		w.loop.close() // there is nothing to wait for
		<-w.loop.done
		w.loop = nil
	}
}

// register asks the kernel for all that it can report on a subject. What it cannot is said once.
func (w *Waker) register(s *Subject) *watch {
	x := newWatch(s)
	for _, kind := range kinds {
		file, err := kind.register(w.loop, x)
		switch {
		case err == nil, errors.Is(err, os.ErrNotExist), errors.Is(err, errNone):
		default: // one word for all targets: they are refused for the same reason
			w.say(kind.reason+" "+cause(err), kind.what, "file", file, "err", err)
		}
	}
	return x
}

// cause is the kernel's error number, for errors about different files to be the same.
func cause(err error) string {
	if number, ok := errors.AsType[unix.Errno](err); ok {
		return number.Error()
	}
	return err.Error()
}

// say logs once what the kernel does not report here.
func (w *Waker) say(key, what string, attrs ...any) {
	if w.said[key] {
		return
	}
	w.said[key] = true
	w.opts.Logger.Info("a kernel notification is not available here: sampling goes by the clock", append([]any{"what", what}, attrs...)...)
}

// Stop closes everything and waits for the goroutine until ctx is done. It may be called again.
func (w *Waker) Stop(ctx context.Context) error {
	w.setting.Lock()
	w.stopped = true
	for _, x := range w.watches {
		w.loop.remove(x)
	}
	w.watches = nil
	l := w.loop
	w.setting.Unlock()
	if l == nil {
		return nil
	}
	l.close()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the wait for the kernel's reports: %w", ctx.Err())
	}
}

// pace bounds how often a target is woken. It belongs to the loop.
type pace struct {
	gap  time.Duration // until the next wake
	last time.Time
	// due is when an event that came too early is passed on, zero for none, and reason its reason.
	due    time.Time
	reason string
}

const (
	minGap = 50 * time.Millisecond
	maxGap = time.Second
)

// note takes an event and reports whether the target is to be woken now.
func (p *pace) note(now time.Time, reason string) bool {
	switch since := now.Sub(p.last); {
	case p.last.IsZero(), since >= 2*p.gap:
		p.gap = minGap
	case since < p.gap:
		if p.due.IsZero() {
			p.due, p.reason = p.last.Add(p.gap), reason
		}
		return false
	default:
		p.gap = min(2*p.gap, maxGap)
	}
	p.last, p.due = now, time.Time{}
	return true
}

// late takes an event that waited until it was due.
func (p *pace) late(now time.Time) {
	p.gap = min(2*p.gap, maxGap)
	p.last, p.due = now, time.Time{}
}
