package eval

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	defaultMaxSeries = 20000
	maxSamples       = 500_000 // of one query: 8 MB
	queryTimeout     = 10 * time.Second
)

// Options configure an Evaluator. Gatherer, Rules, Submit, Logger and Registerer are required.
type Options struct {
	Gatherer prometheus.Gatherer
	Rules    *Ruleset
	Interval time.Duration // between evaluations, until SetRules brings another; default: that of Rules
	// Submit takes the alerts that are due. After an error the same are submitted again at the next evaluation.
	Submit     func(ctx context.Context, b alert.Batch) ([]alert.Disposition, error)
	State      StateStore        // keeps alerts over a restart; may be nil
	Labels     map[string]string // given to every gathered series, as a Prometheus gives job and instance
	MaxSeries  int               // series above this number are dropped and counted; default 20000
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // default time.Now

	// Page returns the address at which people see what the exporter knows about a target, for the alerts'
	// generatorURL; may be nil.
	Page func(target string) string

	// Store is what Cross finds fresh readings in, and Acts reports whether alerts about a target lead
	// to something, so that it is worth judging between evaluations. Without either no target is.
	Store *series.Store
	Acts  func(target string) bool
}

// Evaluator evaluates rules over what it gathers. It is safe for concurrent use.
type Evaluator struct {
	o       Options
	extra   []labels.Label
	engine  *promql.Engine
	metrics *metrics
	kicks   chan struct{}

	crossings *crossings

	interval atomic.Int64 // nanoseconds

	tick sync.Mutex // one evaluation at a time, its notifications included

	mu        sync.Mutex // guards what follows; not held while Submit runs
	rules     *Ruleset
	groups    []*runGroup
	mem       *memory
	gatherer  writer
	judged    map[string]bool // families that are read at a crossing
	samples   []series.Sample // scratch
	restored  []savedAlert    // alerts of before the restart that have found no rule yet
	savedAt   time.Time       // when they were written
	last      time.Time       // of the last evaluation
	saved     time.Time       // when the state was written last
	changed   bool            // the state is not written
	submitErr bool
	stateErr  bool
}

// runGroup is a group with what its rules remember.
type runGroup struct {
	*group
	rules []*rule
	last  time.Time
}

// New returns an Evaluator that has not evaluated anything. The alerts that State holds are taken
// over; a state that cannot be read is logged and left behind.
func New(o Options) *Evaluator {
	if o.Interval <= 0 {
		o.Interval = o.Rules.interval
	}
	if o.MaxSeries <= 0 {
		o.MaxSeries = defaultMaxSeries
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Evaluator{o: o, metrics: newMetrics(o.Registerer), kicks: make(chan struct{}, 1), crossings: newCrossings()}
	e.interval.Store(int64(o.Interval))
	for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
		if o.Labels[name] != "" {
			e.extra = append(e.extra, labels.Label{Name: name, Value: o.Labels[name]})
		}
	}
	e.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: maxSamples, Timeout: queryTimeout, LookbackDelta: lookbackDelta,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: newParser(),
		NoStepSubqueryIntervalFn: func(int64) int64 { return e.every().Milliseconds() },
	})
	e.mem = newMemory(o.Rules.needs, o.MaxSeries)
	e.load()
	e.install(o.Rules)
	return e
}

// every is the time between evaluations.
func (e *Evaluator) every() time.Duration { return time.Duration(e.interval.Load()) }

// SetRules exchanges the rules, and the interval for which they were loaded. A rule of the same group, name and labels keeps its alerts and
// what it recorded; the alerts of rules that are gone are forgotten.
func (e *Evaluator) SetRules(r *Ruleset) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.install(r)
	e.interval.Store(int64(r.interval))
	e.changed = true
}

func (e *Evaluator) install(r *Ruleset) {
	old := make(map[string]*rule)
	lasts := make(map[string]time.Time)
	for _, g := range e.groups {
		lasts[g.file+"\xff"+g.name] = g.last
		for _, x := range g.rules {
			old[x.key] = x
		}
	}
	e.rules, e.groups = r, nil
	e.judged = judgedFamilies(r)
	e.mem.setNeeds(r.needs)
	for _, g := range r.groups {
		rg := &runGroup{group: g, last: lasts[g.file+"\xff"+g.name]}
		for _, d := range g.rules {
			x := newRule(d)
			if before := old[d.key]; before != nil {
				x.adopt(before)
				delete(old, d.key)
			}
			rg.rules = append(rg.rules, x)
		}
		e.groups = append(e.groups, rg)
	}
	var gone []line
	for _, x := range old {
		for _, a := range x.sortedWhere(func(a *active) bool { return a.state == stateFiring }) {
			l := turn{x, a, alert.StatusResolved}.line(e.last)
			l.attrs = append(l.attrs, "reason", "its rule is no longer evaluated")
			gone = append(gone, l)
		}
		e.mem.leave(&x.w)
	}
	e.write(gone)
	e.restore()
}

// Evaluate is one tick: gather, store, evaluate every group that is due, submit what is due.
// Its error joins those of the gatherer, of single rules and of Submit; none of them stops the rest.
func (e *Evaluator) Evaluate(ctx context.Context, now time.Time) error {
	e.tick.Lock()
	defer e.tick.Unlock()
	return e.evaluate(ctx, now)
}

// evaluate is Evaluate. tick is held.
func (e *Evaluator) evaluate(ctx context.Context, now time.Time) error {
	began := e.o.Now()
	now = time.UnixMilli(now.UnixMilli()) // the resolution of samples
	read := e.crossings.crossed(now)      // before gathering: what crosses later is judged later
	families, gatherErr := e.o.Gatherer.Gather()
	var errs []error
	up := 1.0
	if gatherErr != nil {
		up = 0
		errs = append(errs, fmt.Errorf("gather: %w", gatherErr))
	}
	e.mu.Lock()
	e.turnBack(now)
	s := scrape{mem: e.mem, w: &e.gatherer, ms: now.UnixMilli(), extra: e.extra}
	if err := s.families(families, up); err != nil {
		errs = append(errs, err)
	}
	ev := &evaluation{at: now, mem: e.mem, ask: e.query, query: e.query, read: read}
	e.recover(now)
	for _, g := range e.groups {
		errs = append(errs, e.group(ctx, g, ev)...)
	}
	e.changed = e.changed || ev.changed
	e.last = now
	batch, sent := e.pending(ctx, ev)
	lines := e.announced(ctx, ev)
	series, dropped := e.mem.series, e.mem.dropped
	e.countFailing()
	e.mu.Unlock()
	e.write(lines)

	if err := e.tell(ctx, batch, sent, now); err != nil {
		errs = append(errs, err)
	}
	if err := e.save(now, false); err != nil {
		errs = append(errs, err)
	}
	e.plan(now, 0, e.crossings.with(read))
	e.metrics.evaluated(e.o.Now().Sub(began), series, dropped)
	return errors.Join(errs...)
}

// turnBack makes the past consistent after the clock was set back: samples and alerts of a time
// that is yet to come are moved to now.
func (e *Evaluator) turnBack(now time.Time) {
	if !now.Before(e.last) {
		return
	}
	back := e.last.Sub(now)
	e.mem.cut(now.UnixMilli())
	for _, g := range e.groups {
		g.last = time.Time{}
		for _, r := range g.rules {
			for _, a := range r.active {
				a.shift(-back)
			}
		}
	}
}

// shift moves the times of an alert that are counted from, and not its identity.
func (a *active) shift(d time.Duration) {
	for _, t := range []*time.Time{&a.activeAt, &a.resolvedAt, &a.lastSent, &a.keepSince, &a.sampledAt} {
		if !t.IsZero() {
			*t = t.Add(d)
		}
	}
}

// group evaluates the rules of a group in order, when it is due.
func (e *Evaluator) group(ctx context.Context, g *runGroup, ev *evaluation) (errs []error) {
	if every := e.every(); g.interval > every && !g.last.IsZero() {
		// Half an evaluation early counts as due, so that the cadence does not drift.
		if due := g.last.Add(g.interval - every/2); ev.at.Before(due) {
			return nil
		}
	}
	g.last = ev.at
	for _, r := range g.rules {
		began := e.o.Now()
		err := r.run(ctx, ev, g.offset, g.limit)
		r.lastDuration, r.lastEval, r.evaluated = e.o.Now().Sub(began), ev.at, true
		e.note(r, err)
		if err != nil {
			errs = append(errs, fmt.Errorf("group %q, rule %q: %w", g.name, r.name, err))
		}
	}
	return errs
}

// note keeps the error of a rule and logs it when it is news.
func (e *Evaluator) note(r *rule, err error) {
	text := ""
	if err != nil {
		text = err.Error()
		e.metrics.failures.Inc()
	}
	if text != r.lastErrText {
		if err != nil {
			e.o.Logger.Warn("rule failed", "group", r.pos.group, "rule", r.name, "file", r.pos.file, "line", r.pos.line, "err", err)
		} else {
			e.o.Logger.Info("rule works again", "group", r.pos.group, "rule", r.name)
		}
	}
	r.lastErr, r.lastErrText = err, text
}

// countFailing publishes which rules failed when they were evaluated last. mu is held.
func (e *Evaluator) countFailing() {
	e.metrics.failing.Reset()
	for _, g := range e.groups {
		for _, r := range g.rules {
			if r.lastErr != nil {
				e.metrics.failing.WithLabelValues(g.name, r.name).Set(1)
			}
		}
	}
}

// query runs PromQL over the memory, for rules and for templates. e.mu is held.
func (e *Evaluator) query(ctx context.Context, qs string, at time.Time) (promql.Vector, error) {
	return e.queryOver(ctx, e.mem, qs, at)
}

func (e *Evaluator) queryOver(ctx context.Context, over storage.Queryable, qs string, at time.Time) (promql.Vector, error) {
	q, err := e.engine.NewInstantQuery(ctx, over, nil, qs, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, res.Err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return slices.Clone(v), nil // Close gives the vector back to the engine
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	}
	return nil, errors.New("the result is neither a vector nor a scalar")
}
