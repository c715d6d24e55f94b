package eval

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Judge evaluates the local rules (see markLocal) for the targets that have crossed a threshold and
// for those that are watched, over fresh readings from the store, and submits what is due. It
// moves the same alerts as Evaluate does: what is true of a target and a rule is kept once.
func (e *Evaluator) Judge(ctx context.Context, now time.Time) error {
	e.tick.Lock()
	defer e.tick.Unlock()
	at := time.UnixMilli(now.UnixMilli())
	e.mu.Lock()
	first, back := e.last.IsZero(), at.Before(e.last)
	e.mu.Unlock()
	if first || back { // nothing to go on from
		return e.evaluate(ctx, now)
	}
	read := e.crossings.crossed(now)
	targets := e.crossings.with(read)
	maps.DeleteFunc(targets, func(name string, _ bool) bool { return !e.acts(name) })
	if len(targets) == 0 {
		e.plan(now, 0, nil)
		return nil
	}
	began := e.o.Now()
	e.mu.Lock()
	pressed, fresh := e.refresh(targets, at)
	for name, t := range fresh {
		if _, crossed := read[name]; !crossed {
			read[name] = t
		}
	}
	ev := &evaluation{at: at, mem: e.mem, ask: e.queryChosen, query: e.query, targets: targets, read: read}
	errs := e.judgeRules(ctx, ev)
	e.changed = e.changed || ev.changed
	e.last = at
	batch, sent := e.pending(ctx, ev)
	lines := e.announced(ctx, ev)
	e.mu.Unlock()
	e.write(lines)
	e.metrics.judged.Inc()
	took := e.o.Now().Sub(began)
	errs = append(errs, e.tell(ctx, batch, sent, at), e.save(at, false))
	e.plan(now, took, pressed)
	return errors.Join(errs...)
}

// refresh writes the present readings of targets into the memory. It returns the targets above
// normal, and when the newest reading of each was taken. mu is held.
func (e *Evaluator) refresh(targets map[string]bool, at time.Time) (pressed map[string]bool, fresh map[string]time.Time) {
	pressed, fresh = make(map[string]bool), make(map[string]time.Time)
	one := ""
	if len(targets) == 1 { // the usual case, where the comparison is all that counts
		one = slices.Collect(maps.Keys(targets))[0]
	}
	e.samples = e.o.Store.SnapshotWhere(e.samples[:0], func(d *series.Desc, target string) bool {
		return (target == one || one == "" && targets[target]) && (e.judged[d.Name] || d == metric.MemoryLevel)
	})
	s := scrape{mem: e.mem, w: &e.gatherer, ms: at.UnixMilli(), extra: e.extra}
	e.mem.begin(&e.gatherer)
	for i := range e.samples {
		x := &e.samples[i]
		name := x.Values[0]
		if x.Desc == metric.MemoryLevel && series.Level(x.Value) > series.LevelNormal {
			pressed[name] = true
		}
		if x.Time.After(fresh[name]) && !x.Time.After(at) {
			fresh[name] = x.Time
		}
		s.stored(x)
	}
	e.mem.endPart(&e.gatherer, s.ms, targets, func(name string) bool { return e.judged[name] })
	return pressed, fresh
}

// judgeRules evaluates the local rules over the chosen targets. mu is held.
func (e *Evaluator) judgeRules(ctx context.Context, ev *evaluation) (errs []error) {
	defer e.mem.choose(ev.targets)()
	for _, g := range e.groups {
		if g.interval > e.every() {
			continue // its owner wants it to be slower
		}
		for _, r := range g.rules {
			if !r.local || !r.evaluated || r.lastErr != nil {
				continue // a rule that fails fails for all targets
			}
			err := r.run(ctx, ev, 0, 0)
			e.note(r, err)
			errs = append(errs, err)
		}
	}
	return errs
}

// queryChosen is query over the series of the chosen targets. e.mu is held.
func (e *Evaluator) queryChosen(ctx context.Context, qs string, at time.Time) (promql.Vector, error) {
	return e.queryOver(ctx, chosenOnly{e.mem}, qs, at)
}

// plan decides which targets are judged again before the next evaluation, and when: those above
// normal, and those with a pending alert, which is judged again when its time is over.
func (e *Evaluator) plan(now time.Time, took time.Duration, pressed map[string]bool) {
	watched := make(map[string]bool, len(pressed))
	maps.Copy(watched, pressed)
	next := now.Add(watchEvery)
	e.mu.Lock()
	for _, g := range e.groups {
		for _, r := range g.rules {
			if !r.local || g.interval > e.every() {
				continue
			}
			for _, a := range r.active {
				if a.state != statePending || !e.acts(a.target) {
					continue
				}
				watched[a.target] = true
				if due := a.activeAt.Add(r.hold); due.Before(next) && due.After(now) {
					next = due
				}
			}
		}
	}
	e.mu.Unlock()
	e.crossings.judged(now, took, watched, next)
}

// judgedFamilies are those of the store that local rules read.
func judgedFamilies(r *Ruleset) map[string]bool {
	out := make(map[string]bool)
	descs := metric.Descs()
	r.each(func(d *ruleDef) {
		for _, name := range d.reads {
			if d.local && slices.ContainsFunc(descs, func(x *series.Desc) bool {
				return x.Name == name && len(x.Labels) > 0 && x.Labels[0] == labelTarget
			}) {
				out[name] = true
			}
		}
	})
	return out
}

// stored writes one sample of the store.
func (s *scrape) stored(x *series.Sample) {
	if !s.mem.wants(x.Desc.Name) {
		return
	}
	s.pairs = s.pairs[:0]
	for i, v := range x.Values {
		if v != "" {
			s.pairs = append(s.pairs, labels.Label{Name: x.Desc.Labels[i], Value: v})
		}
	}
	s.write(x.Desc.Name, x.Value)
}
