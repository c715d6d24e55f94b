package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Level is the memory level of one target at present, with hysteresis.
type Level struct {
	Target string
	Level  series.Level
}

// Change is one change of a level.
type Change struct {
	Target   string
	From, To series.Level
	First    bool // the level before is not known: the exporter has just begun to watch the target
}

// Options configure a Set. Report, Run and Logger are required.
type Options struct {
	Report     func(target string) ([]byte, error) // the health report as JSON, for a post
	Run        func(ctx context.Context, watcher int, c Config, change Change) error
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics are published
}

// Set is all watchers of a configuration. It outlives reloads: Apply exchanges the watchers, while
// the levels stay.
type Set struct {
	opts    Options
	post    action.Action
	told    *prometheus.CounterVec
	skipped prometheus.Counter

	mu       sync.Mutex
	levels   map[string]series.Level
	watchers []*watcher
	cancel   context.CancelFunc
	done     sync.WaitGroup
}

// watcher is one entry of the configuration.
type watcher struct {
	index   int
	config  Config
	on      []series.Level
	pending map[string]Change // guarded by Set.mu; at most one for each target
	wake    chan struct{}
}

// New returns a Set without watchers.
func New(o Options) *Set {
	s := &Set{
		opts: o, post: action.NewHTTP(o.Logger), levels: make(map[string]series.Level),
		told:    metric.WatcherNotifications.NewCounterVec(),
		skipped: metric.WatcherSuperseded.NewCounter(),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(s.told, s.skipped)
	}
	return s
}

// Apply ends the watchers and starts others. Changes that were not delivered yet are dropped.
func (s *Set) Apply(ctx context.Context, configs []Config) {
	s.Stop()
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	s.watchers = nil
	if len(configs) == 0 {
		clear(s.levels)
	}
	for i, c := range configs {
		w := &watcher{index: i, config: c, pending: make(map[string]Change), wake: make(chan struct{}, 1)}
		for _, name := range c.On {
			if level, ok := series.ParseLevel(name); ok {
				w.on = append(w.on, level)
			}
		}
		for _, outcome := range []action.Outcome{action.Done, action.Failed} {
			s.told.WithLabelValues(c.Kind(), string(outcome)) // born at 0
		}
		s.watchers = append(s.watchers, w)
		s.done.Go(func() { s.serve(ctx, w) })
	}
}

// Stop ends the watchers and waits for them.
func (s *Set) Stop() {
	s.mu.Lock()
	if s.cancel != nil {
		s.cancel()
	}
	s.watchers = nil
	s.mu.Unlock()
	s.done.Wait()
}

// Observe takes the levels of all targets whose level is known now, and returns at once. What changes
// while there are no watchers, as amid a reload, is a change for the next ones.
func (s *Set) Observe(levels []Level) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.watchers) == 0 {
		return
	}
	for _, l := range levels {
		before, known := s.levels[l.Target]
		if known && before == l.Level {
			continue
		}
		s.levels[l.Target] = l.Level
		if !known && l.Level == series.LevelNormal {
			continue // nothing has changed, and nothing is wrong
		}
		for _, w := range s.watchers {
			s.note(w, Change{Target: l.Target, From: before, To: l.Level, First: !known})
		}
	}
	if len(s.levels) > len(levels) {
		s.forget(levels)
	}
}

// forget drops the targets that have ended, so that their number is bounded.
func (s *Set) forget(levels []Level) {
	maps.DeleteFunc(s.levels, func(target string, _ series.Level) bool {
		return !slices.ContainsFunc(levels, func(l Level) bool { return l.Target == target })
	})
}

// note hands a change to a watcher. It is called with the lock held.
func (s *Set) note(w *watcher, c Change) {
	if len(w.config.Targets) > 0 && !slices.Contains(w.config.Targets, c.Target) {
		return
	}
	earlier, waits := w.pending[c.Target]
	if waits {
		s.skipped.Inc()
		delete(w.pending, c.Target)
		c.From, c.First = earlier.From, earlier.First
	}
	if !slices.Contains(w.on, c.To) {
		return
	}
	w.pending[c.Target] = c
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (s *Set) serve(ctx context.Context, w *watcher) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		s.mu.Lock()
		changes := slices.Collect(maps.Values(w.pending))
		clear(w.pending)
		s.mu.Unlock()
		slices.SortFunc(changes, func(a, b Change) int { return int(b.To - a.To) }) // the worst first
		for _, c := range changes {
			if ctx.Err() != nil {
				return
			}
			s.tell(ctx, w, c)
		}
	}
}

// tell does what a watcher says.
func (s *Set) tell(ctx context.Context, w *watcher, c Change) {
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout.Std())
	defer cancel()
	kind := w.config.Kind()
	outcome, err := action.Done, error(nil)
	switch kind {
	case "log":
		s.log(c)
	case "post":
		outcome, err = s.send(ctx, w, c)
	default:
		if err = s.opts.Run(ctx, w.index, w.config, c); err != nil {
			outcome = action.Failed
		}
	}
	s.told.WithLabelValues(kind, string(outcome)).Inc()
	if err != nil && !errors.Is(err, context.Canceled) {
		s.opts.Logger.Warn("a watcher could not be notified of a level", "watcher", w.index, "kind", kind, "target", c.Target, "level", c.To.String(), "err", err)
	}
}

func (s *Set) log(c Change) {
	severity := slog.LevelInfo
	if c.To > c.From {
		severity = slog.LevelWarn
	}
	s.opts.Logger.Log(context.Background(), severity, "memory level", "target", c.Target, "level", c.To.String(), "previous", c.previous())
}

func (c *Change) previous() string {
	if c.First {
		return "unknown"
	}
	return c.From.String()
}

func (s *Set) send(ctx context.Context, w *watcher, c Change) (action.Outcome, error) {
	body, err := s.opts.Report(c.Target)
	if err != nil {
		return action.Failed, fmt.Errorf("report of %s: %w", c.Target, err)
	}
	res, err := s.post.Run(ctx, action.Request{Target: c.Target, Trigger: "watch", Level: c.To, Settings: w.config.post(string(body))})
	return res.Outcome, err
}
