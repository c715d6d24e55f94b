package dispatch

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// perform runs the steps of a run.
func (d *Dispatcher) perform(r *run) result {
	res := result{before: d.opts.Observer.Observe(r.target, r.subject), skipped: make(map[string]int64)}
	if r.continues != "" {
		res.notes = append(res.notes, "goes on with the run "+r.continues+", which waited")
	}
	level := d.raise(r, res.before)
	d.logBegin(r, res.before, level)
	if passesOn(r.steps) {
		res.removed = new(action.Removed)
	}
	if why := d.stale(r); why != "" {
		res.outcome, res.after = OutcomeVoided, res.before
		res.notes = append(res.notes, "nothing ran: "+why)
		return res
	}
	for i, goOn := r.from(), true; goOn && i < len(r.steps); {
		i, goOn = d.advance(r, i, &res)
	}
	res.after = d.opts.Observer.Observe(r.target, r.subject)
	if res.outcome == "" {
		d.lookAgain(r, &res)
		res.outcome = outcomeOf(&res, r.mayWait(&res))
	}
	if res.verified == verifiedLost && res.err == nil {
		res.err = fmt.Errorf("no fresh reading of %s within %s", r.subject, d.opts.VerifyTimeout)
	}
	return res
}

// advance does one step, unless it is skipped, and those directly after it that run if something was removed:
// they need not wait until it is seen whether it has helped. It returns the number of the next step, and
// whether the run goes on.
func (d *Dispatcher) advance(r *run, i int, res *result) (next int, goOn bool) {
	step := r.steps[i]
	did, goOn := d.do(r, i, res)
	next = i + 1
	if !goOn || did == effectNone {
		return next, goOn
	}
	for ; next < len(r.steps) && r.steps[next].Run == RunIfRemoved; next++ {
		if _, goOn := d.do(r, next, res); !goOn {
			return next, false
		}
	}
	switch {
	case did == effectDry, res.settled, !r.wantsVerification(step, res.before), did == effectEmpty && next < len(r.steps):
		return next, true
	case step.Run == RunIfRemoved && !step.Verify.Written: // it passes on what was done
		return next, true
	}
	if did == effectEmpty {
		step.Verify.Settle = nil // nothing was done that takes its time
	}
	res.verified = d.verify(r, step, res.before)
	res.settled = res.verified == verifiedRelieved || res.verified == verifiedLost
	return next, true
}

// do does one step, unless it is skipped: then its effect is none. goOn is false when no other step may
// follow.
func (d *Dispatcher) do(r *run, i int, res *result) (did effect, goOn bool) {
	step := r.steps[i]
	if !res.wants(&step) {
		return effectNone, true
	}
	early := d.isEarly(r)
	if early && !step.Early {
		return effectNone, true
	}
	if !r.approves(i) {
		res.notes = append(res.notes, fmt.Sprintf("%s was skipped, since it was not proposed", step.Do))
		return effectNone, true
	}
	if d.isStopping() {
		res.outcome, res.err = journal.OutcomeInterrupted, fmt.Errorf("stopped before step %d: %w", i+1, ErrDraining)
		return effectNone, false
	}
	if d.holdsBack(r, step, res) {
		return effectNone, true
	}
	now := d.opts.Observer.Observe(r.target, r.subject)
	if r.guarded && !early && !res.settled && step.isRelief() && falling(r.subject, now) {
		res.outcome, res.settled = OutcomeFalling, true
		res.notes = append(res.notes, fmt.Sprintf("stopped before step %d: %s is below 85%% of its recent peak of %s and falling by itself", i+1, percent(now.Ratio), percent(now.Peak)))
		d.skipRest(r, i, SkipFalling)
		return effectNone, true
	}
	if (r.guarded || isLast(&step)) && d.skips(r, step, now, res) {
		return effectNone, true
	}
	if d.asks(r, &step) {
		return effectNone, d.propose(r, i, now, res)
	}
	out, err := d.performStep(r, i, step, now, res)
	if errors.Is(err, errStray) { // the steps after it need not wait
		res.err = err
		res.steps = append(res.steps, action.Failed)
		d.metrics.skips.WithLabelValues(r.target, step.Do, SkipStuck).Inc()
		return effectNone, true
	}
	if err != nil {
		res.cutShort(err)
		return effectNone, false
	}
	if out.observed && out.detail != "" {
		res.notes = append(res.notes, out.detail)
	}
	if out.observed && !r.onlyObserves() { // whatever it came to, the remedy follows
		return effectNone, true
	}
	res.effect = max(res.effect, out.effect)
	res.steps = append(res.steps, out.outcome)
	if out.observed { // there is nothing to verify
		return effectNone, true
	}
	if out.effect != effectDry && d.runCtx.Err() != nil {
		res.outcome, res.err = string(action.Unknown), errors.New("cancelled while the exporter was shutting down")
		return out.effect, false
	}
	return out.effect, true
}

// isRelief reports whether the step is there to relieve, and not to pass on what was done.
func (s *Step) isRelief() bool { return s.Run != RunIfRemoved && s.Run != RunAlways }

// wants reports whether a step is to run after what has been reached. It notes why one does not that waits
// for a removal.
func (res *result) wants(step *Step) bool {
	switch {
	case step.Run == RunAlways:
		return true
	case step.Run != RunIfRemoved:
		return !res.settled
	case res.removed.Noted() > 0:
		return true
	}
	res.notes = append(res.notes, fmt.Sprintf("%s was skipped, since nothing was removed", step.Do))
	return false
}

// onlyObserves reports whether no step of a run relieves anything.
func (r *run) onlyObserves() bool { return onlyObserve(r.steps) }

func onlyObserve(steps []Step) bool {
	return !slices.ContainsFunc(steps, func(s Step) bool { return !observes(&s) })
}

// observes reports whether a step only looks.
func observes(s *Step) bool {
	spec, _ := action.SpecOf(s.Do)
	return spec.Observes
}

// skips reports whether a step does not run, and notes why.
func (d *Dispatcher) skips(r *run, step Step, now Reading, res *result) bool {
	level := d.raise(r, now)
	if isLast(&step) && now.Known {
		level = now.Level // not the highest of the run: the steps before it may have helped
	}
	if d.isEarly(r) {
		step.When = nil
	}
	reason, text := skipStep(step, level, d.stepUntil(r, step), d.opts.Now())
	if reason == "" {
		return false
	}
	res.notes = append(res.notes, text)
	d.metrics.skips.WithLabelValues(r.target, step.Do, reason).Inc()
	return true
}

// cutShort notes that a step could not run.
func (res *result) cutShort(err error) {
	res.outcome, res.err = string(action.Failed), err
	switch {
	case errors.Is(err, ErrDraining):
		res.outcome = journal.OutcomeInterrupted
	case res.effect != effectNone:
		res.outcome = string(action.Partial)
	}
}

// outcomeOf sums up the steps of a run that was not cut short. waits says that what is left goes later.
func outcomeOf(res *result, waits bool) string {
	count := make(map[action.Outcome]int)
	for _, o := range res.steps {
		count[o]++
	}
	switch {
	case len(res.steps) == 0:
		return OutcomeSkipped
	case res.verified == verifiedRelieved && res.effect == effectActed:
		return OutcomeRelieved
	case res.verified == verifiedLost:
		return string(action.Unknown)
	case count[action.Failed] == len(res.steps):
		return string(action.Failed)
	case waits:
		return OutcomeWaiting
	case res.verified == verifiedStill:
		return OutcomeIneffective
	case count[action.Unknown] > 0:
		return string(action.Unknown)
	case count[action.Failed]+count[action.Partial] > 0:
		return string(action.Partial)
	case count[action.Done] == 0:
		return string(action.DryRun)
	case res.effect == effectEmpty:
		return OutcomeNothing
	}
	return string(action.Done)
}

// mayWait reports whether a run is to go again when what it had to leave becomes due: one of a playbook,
// under pressure, that acts. Memory or a heap that stays full although something was done for it is not
// waited for: that is a leak, and there are young files at any time.
func (r *run) mayWait(res *result) bool {
	switch {
	case r.why != "": // the next window, or an alert, says whether it is still needed
		return false
	case r.state == nil || res.dueAt.IsZero() && !res.inUse || res.effect == effectDry:
		return false
	case isFolder(r.subject):
		return r.guarded || res.verified != verifiedNot
	}
	return res.effect == effectEmpty && (res.verified == verifiedStill || r.guarded && res.verified == verifiedNot)
}

// raise lifts the level of a run to that of a reading and returns it.
func (d *Dispatcher) raise(r *run, now Reading) series.Level {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Known {
		r.progress.level = max(r.progress.level, now.Level)
	}
	return r.progress.level
}

func (d *Dispatcher) skipRest(r *run, from int, reason string) {
	for _, s := range r.steps[from:] {
		if !s.isRelief() {
			continue
		}
		d.metrics.skips.WithLabelValues(r.target, s.Do, reason).Inc()
	}
}

func (d *Dispatcher) isStopping() bool {
	select {
	case <-d.stop:
		return true
	default:
		return false
	}
}
