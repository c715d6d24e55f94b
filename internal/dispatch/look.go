package dispatch

import (
	"errors"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// look asks a step's action what it would do, and has the files of it noted in choice, if that is not nil. It has no
// effect, so it leaves no record.
func (d *Dispatcher) look(r *run, i int, choice *action.Choice) (action.Result, error) {
	a, err := d.prepare(r, i, r.steps[i])
	if err != nil {
		return action.Result{Outcome: action.Failed}, err
	}
	a.mode, a.choice = dryRun, choice
	if !d.acquire() {
		return action.Result{Outcome: action.Failed}, ErrDraining
	}
	out, err := d.call(r, &a)
	<-d.acting
	return out, err
}

// worthwhile records a run of a schedule if there is something to do, or if that is unknown; a run
// that would remove nothing is counted and leaves no record. All others are recorded already.
func (d *Dispatcher) worthwhile(r *run) bool {
	if !r.quiet {
		return true
	}
	out, err := d.look(r, 0, nil)
	switch {
	case errors.Is(err, ErrDraining):
		d.finish(r, result{outcome: journal.OutcomeInterrupted, err: fmt.Errorf("stopped before it looked: %w", err)})
		return false
	case err == nil && out.Outcome == action.DryRun && !removed(&out):
		d.finish(r, result{outcome: emptyOutcome(&out)})
		return false
	}
	d.mu.Lock()
	rec := r.record(d.opts.Now(), r.progress.level)
	d.mu.Unlock()
	id, err := d.opts.Journal.Begin(d.runCtx, rec)
	if err != nil {
		d.metrics.skips.WithLabelValues(r.target, r.playbook, SkipJournal).Inc()
		d.finish(r, result{outcome: string(action.Failed), err: fmt.Errorf("%w: %w", ErrJournal, err)})
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r.id = id
	return !r.progress.ended
}

// emptyOutcome is how a run of a schedule ends that would remove nothing: a folder that is over its limit all
// the same waits for what is too young or in use, or for a person.
func emptyOutcome(out *action.Result) string {
	switch {
	case !out.Over:
		return OutcomeNothing
	case out.InUse || !out.DueAt.IsZero():
		return OutcomeWaiting
	}
	return string(action.Partial)
}

// lookAgain looks at the folders of a run that removed all that it had to and did not get below the
// limit: what is there now came meanwhile, and mostly it is young.
func (d *Dispatcher) lookAgain(r *run, res *result) {
	if res.verified != verifiedStill || res.effect != effectActed || !isFolder(r.subject) || !res.dueAt.IsZero() || res.inUse {
		return
	}
	for i := range r.steps {
		if spec, _ := action.SpecOf(r.steps[i].Do); spec.Subject != r.subject {
			continue
		}
		out, err := d.look(r, i, nil)
		if err != nil {
			continue // the next run says it
		}
		if removed(&out) {
			out.DueAt = d.opts.Now()
		}
		res.leaves(&out)
	}
}
