package dispatch

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	againLook  = time.Minute      // the clock may be set meanwhile
	againRetry = 10 * time.Second // after a run that could not be recorded
)

// goAgain starts the runs that are due by themselves, until no further step may begin: those that have
// waited, and those whose cooldown has ended while their alert still fires.
func (d *Dispatcher) goAgain() {
	timer := time.NewTimer(againLook)
	defer timer.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-d.roused:
		case <-timer.C:
		}
		timer.Reset(d.again())
	}
}

// again starts what is due, and returns how long to wait for what is due next.
func (d *Dispatcher) again() time.Duration {
	d.names.save(d.runCtx, d.opts.Journal.PutState)
	d.endPauses(d.runCtx)
	d.reviewProposals(d.runCtx)
	fresh, pleas := d.startDue()
	early, more := d.startEarly()
	d.plead(d.runCtx, append(pleas, more...))
	d.begin(d.runCtx, append(runsOf(fresh), early...))
	d.retryEarly(early)
	return d.postpone(fresh)
}

// rouse makes goAgain look when the next run is due.
func (d *Dispatcher) rouse() {
	select {
	case d.roused <- struct{}{}:
	default:
	}
}

// resumed is a run that begins by itself, and the wait that it ends, nil when it was held by a cooldown.
type resumed struct {
	run  *run
	wait *wait
}

func compareKeys(a, b playbookKey) int {
	return cmp.Or(cmp.Compare(a.target, b.target), cmp.Compare(a.playbook, b.playbook))
}

func runsOf(list []resumed) []*run {
	out := make([]*run, len(list))
	for i := range list {
		out[i] = list[i].run
	}
	return out
}

// due reports whether something of the playbook is to begin.
func (s *playbookState) due(now time.Time) bool {
	at := s.nextAgain()
	return !at.IsZero() && !now.Before(at)
}

// nextAgain is when something of the playbook begins by itself; zero when nothing does.
func (s *playbookState) nextAgain() time.Time {
	switch {
	case s.open != nil:
		return time.Time{}
	case s.wait != nil:
		return s.wait.until
	}
	return s.again
}

// startDue makes the runs that are due, and the records of those that may not run any more.
func (d *Dispatcher) startDue() (out []resumed, pleas []*plea) {
	subjects := make(map[playbookKey]Subject)
	d.mu.Lock()
	now := d.opts.Now()
	for key, s := range d.playbooks {
		s.clamp(now)
		if s.due(now) {
			subjects[key] = d.targets[key.target].Playbooks[key.playbook].Subject
		}
	}
	d.mu.Unlock()
	readings := make(map[playbookKey]Reading, len(subjects))
	keys := slices.SortedFunc(maps.Keys(subjects), compareKeys)
	for _, key := range keys {
		readings[key] = d.opts.Observer.Observe(key.target, subjects[key])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range keys {
		if s := d.playbooks[key]; s != nil && s.due(now) && !d.draining {
			r, plea := d.startAgain(key, s, readings[key], now)
			if r.run != nil {
				out = append(out, r)
			}
			pleas = append(pleas, plea)
		}
	}
	return out, pleas
}

// startAgain makes the run of a playbook that is due, as the present configuration has it. It is called
// with the lock held.
func (d *Dispatcher) startAgain(key playbookKey, s *playbookState, reading Reading, now time.Time) (out resumed, _ *plea) {
	t := d.targets[key.target]
	p, known := t.Playbooks[key.playbook]
	if !known {
		s.wait, s.again = nil, time.Time{}
		return out, nil
	}
	if d.queued >= d.opts.QueueLength {
		s.later(s.wait, now, againRetry)
		return out, nil
	}
	if w := s.wait; w != nil {
		s.wait = nil
		if !isFolder(p.Subject) && reading.Known && reading.Level < w.level {
			d.log.Debug("a run that waited is not needed", "run", w.run.id, "target", key.target, "playbook", key.playbook)
			return out, nil
		}
		if held, plea := d.heldAgain(&t, &p, key, s, w, nil, now); held {
			return out, plea
		}
		return resumed{d.continueRun(&t, p, key, w), w}, nil
	}
	s.again = time.Time{}
	m := d.modeOf(&t)
	switch f := s.pressing(&p, reading, now); {
	case m != enforce || f == nil:
	case s.holding(m).holds(now): // another run has prolonged it
		s.plan(s.holding(m).Until, now)
	default:
		held, plea := d.heldAgain(&t, &p, key, s, nil, f, now)
		if held {
			return out, plea
		}
		out.run = d.repeatRun(&t, p, key, f)
	}
	return out, nil
}

// heldAgain reports whether a run that is due may not begin by itself now. w is the wait that it would go on with,
// else f the alert that it would be for. Behind a pause and a closed window it is looked at again; without a
// budget it is given up, and a person is needed. It is called with the lock held.
func (d *Dispatcher) heldAgain(t *Target, p *Playbook, key playbookKey, s *playbookState, w *wait, f *firing, now time.Time) (held bool, _ *plea) {
	if w != nil {
		old := &w.run.request
		f = &firing{alert: alert.Alert{Labels: map[string]string{alert.LabelName: old.alert}, Fingerprint: old.fingerprint}, trigger: old.trigger, level: w.level}
	}
	a, trigger, level := &f.alert, f.trigger, f.level
	if !automatic(trigger) {
		return false, nil
	}
	m := d.modeAt(t, p, level)
	proposal, _ := d.proposalOf(key.target, key.playbook, "", p, level)
	switch permit(situation{
		mode: m, proposal: proposal, level: level, paused: d.pausedBy(t.Name) != nil, closed: p.closed(level, now) != "", spent: s.spent(p, now),
	}).skip {
	case "":
		return false, nil
	case SkipBudget:
		return true, d.needsHuman(key, trigger, a, level)
	}
	s.later(w, now, againLook)
	return true, nil
}

// continueRun makes the run that goes on with one that has waited.
func (d *Dispatcher) continueRun(t *Target, p Playbook, key playbookKey, w *wait) *run {
	old := &w.run.request
	r := d.newRun(t, p, old.trigger)
	r.alert, r.fingerprint, r.first, r.guarded, r.breaks, r.force, r.continues = old.alert, old.fingerprint, old.first, old.guarded, old.breaks, old.force, w.run.id
	r.progress.level, r.progress.alerts, r.progress.served, r.progress.twins = w.level, w.alerts, w.served, maps.Clone(w.run.progress.twins)
	d.own(r, key)
	if automatic(old.trigger) {
		d.spend(r, p.Budget)
	}
	return r
}

// repeatRun makes the next run for an alert that still fires, and for all others that do.
func (d *Dispatcher) repeatRun(t *Target, p Playbook, key playbookKey, f *firing) *run {
	r := d.newRun(t, p, f.trigger)
	r.guarded, r.alert, r.fingerprint = true, f.alert.Name(), f.alert.Fingerprint
	if passesAlertOn(r.steps) {
		a := f.alert
		r.first = &a
	}
	r.progress.level = f.level
	d.own(r, key)
	d.spend(r, p.Budget)
	for _, other := range r.state.firing {
		r.progress.serve(&other.alert, other.trigger)
	}
	return r
}

// postpone lets the runs that could not be recorded begin later, and returns how long to wait for what
// is due next.
func (d *Dispatcher) postpone(fresh []resumed) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	for _, f := range fresh {
		if s := f.run.state; f.run.err != nil && !errors.Is(f.run.err, ErrDraining) && s.open == nil {
			d.log.Warn("a run could not begin by itself and is tried again", "target", f.run.target, "playbook", f.run.playbook, "in", againRetry, "err", f.run.err)
			s.later(f.wait, now, againRetry)
		}
	}
	next := againLook
	for _, s := range d.playbooks {
		if at := s.nextAgain(); !at.IsZero() {
			next = min(next, max(at.Sub(now), 0))
		}
	}
	return next
}

// later puts off what is due.
func (s *playbookState) later(w *wait, now time.Time, by time.Duration) {
	if w == nil {
		s.again = now.Add(by)
		return
	}
	w.until, s.wait = now.Add(by), w
}

// waitingRuns returns how many runs wait, for the metric.
func (d *Dispatcher) waitingRuns() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, s := range d.playbooks {
		if s.wait != nil {
			n++
		}
	}
	return float64(n)
}

// applies reports whether some step runs at a level.
func (p *Playbook) applies(level series.Level) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.applies(level) })
}
