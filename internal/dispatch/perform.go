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
	for i := range r.steps {
		if !d.advance(r, i, &res) {
			break
		}
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

// advance does one step, unless it is skipped, and reports whether the next one follows.
func (d *Dispatcher) advance(r *run, i int, res *result) bool {
	step := r.steps[i]
	if d.isStopping() {
		res.outcome, res.err = journal.OutcomeInterrupted, fmt.Errorf("stopped before step %d: %w", i+1, ErrDraining)
		return false
	}
	now := d.opts.Observer.Observe(r.target, r.subject)
	if r.guarded && falling(r.subject, now) {
		res.outcome = OutcomeFalling
		res.notes = append(res.notes, fmt.Sprintf("stopped before step %d: %s is below 85%% of its recent peak of %s and falling by itself", i+1, percent(now.Ratio), percent(now.Peak)))
		d.skipRest(r, i, SkipFalling)
		return false
	}
	if r.guarded && d.skips(r, step, now, res) {
		return true
	}
	did, err := d.performStep(r, i, step, now, res)
	if errors.Is(err, errStray) { // the steps after it need not wait
		res.err = err
		res.steps = append(res.steps, action.Failed)
		d.metrics.skips.WithLabelValues(r.target, step.Do, SkipStuck).Inc()
		return true
	}
	if err != nil {
		res.cutShort(err)
		return false
	}
	if did.observed && did.detail != "" {
		res.notes = append(res.notes, did.detail)
	}
	if did.observed && !r.onlyObserves() { // whatever it came to, the remedy follows
		return true
	}
	res.effect = max(res.effect, did.effect)
	res.steps = append(res.steps, did.outcome)
	switch {
	case did.effect == effectDry, did.observed:
		return true
	case d.runCtx.Err() != nil:
		res.outcome, res.err = string(action.Unknown), errors.New("cancelled while the exporter was shutting down")
		return false
	case !r.wantsVerification(step, res.before) || did.effect == effectEmpty && i < len(r.steps)-1:
		return true
	}
	if did.effect == effectEmpty {
		step.Verify.Settle = nil // nothing was done that takes its time
	}
	res.verified = d.verify(r, step, res.before)
	return res.verified != verifiedRelieved && res.verified != verifiedLost
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
	reason, text := skipStep(step, d.raise(r, now), d.stepUntil(r, step), d.opts.Now())
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
