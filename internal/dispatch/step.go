package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// attempt is one step that is about to run.
type attempt struct {
	number int // from 1
	step   Step
	action action.Action
	mode   mode
	level  series.Level

	choice  *action.Choice  // that a dry run notes its files in; nil for any other
	removed *action.Removed // by the steps before it, which this one adds to; nil when none passes that on
}

// stepResult is what a step that ran came to.
type stepResult struct {
	outcome  action.Outcome
	effect   effect
	observed bool // it relieves nothing
	detail   string
}

// performStep records the intent of one step, runs its action and records the result. The error
// is an ErrJournal when nothing was done because it could not be recorded, an ErrUnknown when the
// configuration no longer has it, and an errStray when an earlier run of it has not returned.
func (d *Dispatcher) performStep(r *run, i int, step Step, now Reading, res *result) (stepResult, error) {
	a, err := d.prepare(r, i, step)
	if err != nil {
		return stepResult{}, err
	}
	a.removed = res.removed
	id, err := d.recordStep(r, &a, now)
	if err != nil {
		return stepResult{}, err
	}
	if !d.acquire() {
		err := fmt.Errorf("stopped before step %d: %w", a.number, ErrDraining)
		d.note(id, func(rec *journal.Record) { rec.Outcome, rec.Error = journal.OutcomeInterrupted, err.Error() })
		return stepResult{}, err
	}
	if err := d.confirm(r, &a); err != nil {
		<-d.acting
		d.note(id, func(rec *journal.Record) { rec.Outcome, rec.Error = string(action.Failed), err.Error() })
		return stepResult{}, err
	}
	start := d.opts.Now()
	d.recorded(r, id)
	out, runErr := d.call(r, &a)
	d.recorded(r, "")
	<-d.acting
	took := d.opts.Now().Sub(start)
	d.metrics.ended(r, step.Do, out, took, d.opts.Now())
	if out.Refused != "" {
		d.metrics.skips.WithLabelValues(r.target, step.Do, out.Refused).Inc()
	}
	if a.mode == enforce && !observes(&step) {
		d.reacted(r, &out, start)
	}
	res.add(&out)
	res.policies = append(res.policies, out.Policies...)
	if out.DueAt.IsZero() && !out.InUse { // else it goes again when something becomes due
		d.stepRan(r, &a)
	}
	d.recordResult(id, &out, took, runErr)
	if runErr != nil {
		d.log.Warn("action failed", "target", r.target, "action", step.Do, "run", r.id, "outcome", string(out.Outcome), "err", runErr)
	}
	return stepResult{outcome: out.Outcome, effect: effectOf(a.mode, &out), observed: observes(&step), detail: out.Detail}, nil
}

// effectOf is what an action did that ran in a mode.
func effectOf(m mode, out *action.Result) effect {
	switch {
	case m == dryRun:
		return effectDry
	case out.Refused != "", out.Skipped[action.SkipMaxHeap] > 0, len(out.Policies) > 0 && !removed(out):
		return effectEmpty
	}
	return effectActed
}

// reacted observes how long it took from the reading that led to a run to its first effect: the start
// of the first step that had one. What may have had one counts as none.
func (d *Dispatcher) reacted(r *run, out *action.Result, start time.Time) {
	if effectOf(enforce, out) != effectActed || out.Outcome != action.Done && out.Outcome != action.Partial {
		return
	}
	d.mu.Lock()
	p := &r.progress
	read, level := p.readAt, p.level
	p.readAt, p.acted = time.Time{}, true
	d.mu.Unlock()
	if !read.IsZero() {
		d.metrics.reaction.WithLabelValues(level.String()).Observe(max(start.Sub(read), 0).Seconds())
	}
}

// removed reports whether an action on folders has, or in a dry run would have, changed something.
func removed(out *action.Result) bool {
	return out.Files > 0 || out.FreedBytes > 0 || slices.ContainsFunc(out.Policies, func(p action.PolicyResult) bool { return p.Rotated > 0 })
}

// add sums up the numbers of a step.
func (res *result) add(out *action.Result) {
	res.files, res.bytes, res.freed = res.files+out.Files, res.bytes+out.Bytes, res.freed+out.FreedBytes
	res.lost += out.LostBytes
	for reason, n := range out.Skipped {
		res.skipped[reason] += n
	}
	res.leaves(out)
}

// leaves notes when what an action has left becomes due.
func (res *result) leaves(out *action.Result) {
	res.inUse = res.inUse || out.InUse
	if !out.DueAt.IsZero() && (res.dueAt.IsZero() || out.DueAt.Before(res.dueAt)) {
		res.dueAt = out.DueAt
	}
}

// prepare looks a step's action up in the present configuration and notes that the step begins.
func (d *Dispatcher) prepare(r *run, i int, step Step) (attempt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	act, err := d.actionOf(r, &step)
	if err != nil {
		return attempt{}, err
	}
	if d.hasStray(r.target, step.Do, r.only) {
		return attempt{}, fmt.Errorf("%s: %w", step.Do, errStray)
	}
	p := &r.progress
	p.state, p.step, p.action, p.mode, p.files, p.bytes = StateRunning, i+1, step.Do, d.stepMode(r, &step), 0, 0
	return attempt{number: i + 1, step: step, action: act, mode: p.mode, level: p.level}, nil
}

// confirm takes the action from the present configuration: a reload may have come since prepare, while the
// intent was written or others acted. The error says that it may no longer run as it was recorded.
func (d *Dispatcher) confirm(r *run, a *attempt) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	act, err := d.actionOf(r, &a.step)
	if err != nil {
		return err
	}
	if a.mode == enforce && d.stepMode(r, &a.step) != enforce {
		return fmt.Errorf("step %d, %s: %w since the last reload", a.number, a.step.Do, ErrNotEnforced)
	}
	a.action = act
	return nil
}

// actionOf looks the action of a step up in the present configuration. It is called with the lock held.
func (d *Dispatcher) actionOf(r *run, step *Step) (action.Action, error) {
	t, ok := d.targets[r.target]
	if !ok {
		return nil, fmt.Errorf("target %q is %w since the last reload", r.target, ErrUnknown)
	}
	act, ok := t.Actions[step.Do]
	if !ok {
		return nil, fmt.Errorf("action %q of target %q is %w since the last reload", step.Do, r.target, ErrUnknown)
	}
	return act, nil
}

// recordStep writes the intent of a step.
func (d *Dispatcher) recordStep(r *run, a *attempt, now Reading) (id string, err error) {
	rec := r.record(d.opts.Now(), a.level)
	rec.RunID, rec.Step, rec.Action, rec.Intent, rec.Before = r.id, a.number, a.step.Do, a.step.String(), now.Text
	rec.Mode = string(a.mode)
	if a.mode == dryRun {
		rec.Intent = "would " + rec.Intent
	}
	id, err = d.opts.Journal.Begin(d.runCtx, rec)
	if err != nil {
		d.metrics.skips.WithLabelValues(r.target, a.step.Do, SkipJournal).Inc()
		d.log.Error("an action does not run because its intent cannot be recorded", "target", r.target, "action", a.step.Do, "run", r.id, "err", err)
		return "", fmt.Errorf("step %d, %s: %w: %w", a.number, a.step.Do, ErrJournal, err)
	}
	return id, nil
}

// recorded notes which record the present step has, for when its action does not return.
func (d *Dispatcher) recorded(r *run, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.progress.record = id
}

func (d *Dispatcher) recordResult(id string, out *action.Result, took time.Duration, runErr error) {
	d.note(id, func(rec *journal.Record) {
		rec.Outcome, rec.Files, rec.Bytes, rec.FreedBytes, rec.Skipped = string(out.Outcome), out.Files, out.Bytes, out.FreedBytes, out.Skipped
		rec.LostBytes = out.LostBytes
		rec.DurationSecs, rec.Detail, rec.After, rec.Output = took.Seconds(), out.Detail, out.After, out.Output
		if out.Before != "" {
			rec.Before = out.Before
		}
		if runErr != nil {
			rec.Error = runErr.Error()
		}
	})
}

// acquire waits for the turn of an action. It is false when no further step may begin.
func (d *Dispatcher) acquire() bool {
	select {
	case d.acting <- struct{}{}:
	case <-d.stop:
		return false
	}
	if d.isStopping() { // select chooses by chance where there is a free turn, too
		<-d.acting
		return false
	}
	return true
}

// note hands the result of a step to the journal. The run does not wait for its sync: it is written
// before the result of the run, and without it the step counts as interrupted.
func (d *Dispatcher) note(id string, change func(*journal.Record)) {
	if err := d.opts.Journal.FinishLater(id, change); err != nil {
		d.log.Error("the result of an action is not in the journal", "id", id, "err", err)
	}
}

// call runs an action within its time and never lets it take the process down.
func (d *Dispatcher) call(r *run, a *attempt) (out action.Result, err error) {
	step := &a.step
	ctx, cancel := context.WithTimeout(d.runCtx, step.Timeout.Std())
	defer cancel()
	foreseen := d.foreseen(r, a)
	defer d.remember(foreseen, r, step.Do)
	req := action.Request{
		RunID: r.id, Target: r.target, Trigger: string(r.trigger), DryRun: a.mode == dryRun, Level: a.level, Below: step.Verify.Below,
		Relief: r.only == "" && r.subject != "", Only: r.only, Force: r.force,
		Progress: func(p action.PolicyResult) { d.reportProgress(r, p) },
		OnFile:   d.onFile(r, a.removed, foreseen),
		Playbook: r.playbook, Alert: r.first, Settings: step.With, Removed: a.removed, Choice: cmp.Or(a.choice, r.choice),
		Held: d.holding(r, a),
	}
	if step.To != nil {
		req.EvictTo = float64(*step.To)
	}
	defer func() {
		switch {
		case out.Outcome != "":
		case ctx.Err() != nil:
			out.Outcome = action.Unknown
		case err != nil:
			out.Outcome = action.Failed
		default:
			out.Outcome = action.Unknown
		}
		if err == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && out.Outcome != action.Done {
			err = fmt.Errorf("%s did not end within its timeout of %s", step.Do, step.Timeout)
		}
	}()
	return d.within(ctx, a, req)
}

func (d *Dispatcher) reportProgress(r *run, p action.PolicyResult) {
	d.mu.Lock()
	r.progress.files, r.progress.bytes = p.Files, p.FreedBytes
	followers := r.progress.followers
	d.mu.Unlock()
	for _, f := range followers {
		if f.Progress != nil {
			f.Progress(p)
		}
	}
}

func (d *Dispatcher) stepUntil(r *run, step Step) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.state == nil || r.breaks || r.approved != nil {
		return time.Time{}
	}
	return r.state.stepUntil(&step, d.modeNow(r), d.opts.Now())
}

func (d *Dispatcher) stepRan(r *run, a *attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.state != nil {
		r.state.stepRan(&a.step, a.mode, d.opts.Now())
	}
}
