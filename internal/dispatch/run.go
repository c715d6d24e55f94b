package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const pollSamples = 100 * time.Millisecond

// run is one run of a playbook, from its acceptance to its result. What is set by newRun and
// judge does not change, but for the fields below mu.
type run struct {
	target, playbook   string
	steps              []Step
	subject            Subject
	cooldown           time.Duration
	trigger            alert.Trigger
	alert, fingerprint string
	first              *alert.Alert // for the steps that pass it on; nil when none does, or nobody asked by one
	single             bool         // one action alone, not a playbook
	dryRun             bool
	force              bool
	only               string
	guarded            bool // an alert asked: cooldowns of steps and the falling guard hold
	breaks             bool // it breaks a cooldown
	lane               *lane
	laneKey            laneKey
	since              time.Time

	begun chan struct{} // closed when id or err is known
	id    string
	err   error

	// Guarded by Dispatcher.mu.
	level  series.Level
	alerts int
	state  string
	ended  bool
	step   int
	action string
	files  int64
	bytes  int64
}

// result is how a run ended.
type result struct {
	outcome string
	err     error
	ran     bool // any step did run
	notes   []string
	before  Reading
	after   Reading
	files   int64
	bytes   int64
	freed   int64
	skipped map[string]int64
}

func (r *run) mode() string {
	if r.dryRun {
		return ModeDryRun
	}
	return ModeEnforce
}

// record is the intent of the run.
func (r *run) record(now time.Time, level series.Level) journal.Record {
	return journal.Record{
		Time: now, Target: r.target, Playbook: r.playbook, Trigger: string(r.trigger), Alert: r.alert, Fingerprint: r.fingerprint,
		Mode: r.mode(), Level: level.String(), Intent: "run " + describe(r.steps),
	}
}

// Run runs what was accepted until ctx ends or Drain was called, then returns when all workers
// have, or when Drain has given one up. It is called once. When ctx ends, running steps are
// cancelled.
func (d *Dispatcher) Run(ctx context.Context) error {
	d.mu.Lock()
	if d.started {
		d.mu.Unlock()
		return errors.New("dispatch: Run was called twice")
	}
	d.started = true
	d.mu.Unlock()
	defer close(d.stopped)
	defer context.AfterFunc(ctx, func() {
		d.refuse()
		d.cancel()
	})()
	runners := max(openRuns, d.opts.Workers)
	done := make(chan struct{}, runners)
	for range runners {
		go func() {
			defer func() { done <- struct{}{} }()
			d.work()
		}()
	}
	for range runners {
		select {
		case <-done:
		case <-d.gaveUp:
			return nil
		}
	}
	d.dropWaiting()
	return nil
}

func (d *Dispatcher) work() {
	for {
		select {
		case <-d.stop:
			return
		case s := <-d.ready:
			d.giveWay()
			r := d.take(s)
			if r == nil {
				continue
			}
			d.finish(r, d.perform(r))
			d.release(s)
		}
	}
}

const (
	crowd       = 8 // submissions at once that runs give way to: more than a cluster of Alertmanagers sends
	giveWayStep = 50 * time.Millisecond
	giveWayMost = 200 * time.Millisecond // for which a run waits for them, at most
)

// giveWay lets a storm of alerts be answered before the runs that it asks for take the processor
// and the journal's disk: an answer that comes late is sent again.
func (d *Dispatcher) giveWay() {
	for waited := time.Duration(0); waited < giveWayMost && d.submitting.Load() > crowd; waited += giveWayStep {
		select {
		case <-d.stop:
			return
		case <-time.After(giveWayStep):
		}
	}
}

// take begins the run of the highest level that waits for a target, the first among equals.
func (d *Dispatcher) take(s *slot) *run {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.ready = false
	if d.draining || len(s.waiting) == 0 {
		return nil
	}
	best := 0
	for i, r := range s.waiting {
		if r.level > s.waiting[best].level {
			best = i
		}
	}
	r := s.waiting[best]
	s.waiting = append(s.waiting[:best:best], s.waiting[best+1:]...)
	s.running = r
	r.state = StateRunning
	d.queued--
	return r
}

func (d *Dispatcher) release(s *slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.running = nil
	if len(s.waiting) == 0 {
		delete(d.slots, s.target)
		return
	}
	if !d.draining {
		d.offer(s)
	}
}

// perform runs the steps of a run.
func (d *Dispatcher) perform(r *run) result {
	res := result{before: d.opts.Observer.Observe(r.target, r.subject), skipped: make(map[string]int64)}
	level := d.raise(r, res.before)
	d.logBegin(r, res.before, level)
	var outcomes []action.Outcome
	verified := verifiedNot
	for i, step := range r.steps {
		if d.isStopping() {
			res.outcome, res.err = journal.OutcomeInterrupted, fmt.Errorf("stopped before step %d: %w", i+1, ErrDraining)
			break
		}
		now := d.opts.Observer.Observe(r.target, r.subject)
		if r.guarded && falling(r.subject, now) {
			res.outcome = OutcomeFalling
			res.notes = append(res.notes, fmt.Sprintf("left alone before step %d: %s is below 85%% of its recent peak of %s and falls by itself", i+1, percent(now.Ratio), percent(now.Peak)))
			d.skipRest(r, i, SkipFalling)
			break
		}
		if r.guarded {
			if reason, text := skipStep(step, d.raise(r, now), d.stepUntil(r, step), d.opts.Now()); reason != "" {
				res.notes = append(res.notes, text)
				d.metrics.skips.WithLabelValues(r.target, step.Do, reason).Inc()
				continue
			}
		}
		did, err := d.performStep(r, i, step, now, &res)
		if errors.Is(err, errStray) { // the steps after it need not wait
			res.err = err
			outcomes = append(outcomes, action.Failed)
			d.metrics.skips.WithLabelValues(r.target, step.Do, SkipStuck).Inc()
			continue
		}
		if err != nil {
			res.outcome, res.err = string(action.Failed), err
			switch {
			case errors.Is(err, ErrDraining):
				res.outcome = journal.OutcomeInterrupted
			case res.ran:
				res.outcome = string(action.Partial)
			}
			break
		}
		res.ran = true
		outcomes = append(outcomes, did.outcome)
		if did.dryRun {
			continue
		}
		if d.runCtx.Err() != nil {
			res.outcome, res.err = string(action.Unknown), errors.New("cancelled while the exporter was ending")
			break
		}
		if !r.wantsVerification(step, res.before) || did.nothing && i < len(r.steps)-1 {
			continue
		}
		if verified = d.verify(r, step); verified == verifiedRelieved || verified == verifiedLost {
			break
		}
	}
	res.after = d.opts.Observer.Observe(r.target, r.subject)
	if res.outcome == "" {
		res.outcome = outcomeOf(outcomes, verified)
	}
	if verified == verifiedLost && res.err == nil {
		res.err = fmt.Errorf("no fresh reading of %s within %s", r.subject, d.opts.VerifyTimeout)
	}
	return res
}

// outcomeOf sums up the steps of a run that was not cut short.
func outcomeOf(steps []action.Outcome, v verification) string {
	count := make(map[action.Outcome]int)
	for _, o := range steps {
		count[o]++
	}
	switch {
	case len(steps) == 0:
		return OutcomeSkipped
	case v == verifiedRelieved:
		return OutcomeRelieved
	case v == verifiedLost:
		return string(action.Unknown)
	case count[action.Failed] == len(steps):
		return string(action.Failed)
	case v == verifiedStill:
		return OutcomeIneffective
	case count[action.Unknown] > 0:
		return string(action.Unknown)
	case count[action.Failed]+count[action.Partial] > 0:
		return string(action.Partial)
	case count[action.Done] == 0:
		return string(action.DryRun)
	}
	return string(action.Done)
}

// stepResult is what a step that ran came to.
type stepResult struct {
	outcome action.Outcome
	dryRun  bool
	nothing bool // the action found nothing to do: there is nothing to wait for
}

// performStep records the intent of one step, runs its action and records the result. The error
// is an ErrJournal when nothing was done because it could not be recorded, an ErrUnknown when the
// configuration no longer has it.
func (d *Dispatcher) performStep(r *run, i int, step Step, now Reading, res *result) (stepResult, error) {
	act, dryRun, err := d.resolve(r, step)
	if err != nil {
		return stepResult{}, err
	}
	level := d.begins(r, i, step)
	rec := r.record(d.opts.Now(), level)
	rec.RunID, rec.Step, rec.Action, rec.Intent, rec.Before = r.id, i+1, step.Do, step.String(), now.Text
	rec.Mode = ModeEnforce
	if dryRun {
		rec.Mode, rec.Intent = ModeDryRun, "would "+rec.Intent
	}
	id, err := d.opts.Journal.Begin(d.runCtx, rec)
	if err != nil {
		d.metrics.skips.WithLabelValues(r.target, step.Do, SkipJournal).Inc()
		d.log.Error("an action does not run because its intent cannot be recorded", "target", r.target, "action", step.Do, "run", r.id, "err", err)
		return stepResult{}, fmt.Errorf("step %d, %s: %w: %w", i+1, step.Do, ErrJournal, err)
	}
	if !d.acquire() {
		err := fmt.Errorf("stopped before step %d: %w", i+1, ErrDraining)
		d.note(id, func(rec *journal.Record) { rec.Outcome, rec.Error = journal.OutcomeInterrupted, err.Error() })
		return stepResult{}, err
	}
	start := d.opts.Now()
	out, runErr := d.call(r, step, act, dryRun, level)
	<-d.acting
	took := d.opts.Now().Sub(start)
	d.metrics.ended(r, step.Do, out, took, d.opts.Now())
	d.stepRan(r, step)
	res.files, res.bytes, res.freed = res.files+out.Files, res.bytes+out.Bytes, res.freed+out.FreedBytes
	for reason, n := range out.Skipped {
		res.skipped[reason] += n
	}
	d.note(id, func(rec *journal.Record) {
		rec.Outcome, rec.Files, rec.Bytes, rec.FreedBytes, rec.Skipped = string(out.Outcome), out.Files, out.Bytes, out.FreedBytes, out.Skipped
		rec.DurationSecs, rec.Detail, rec.After, rec.Output = took.Seconds(), out.Detail, out.After, out.Output
		if out.Before != "" {
			rec.Before = out.Before
		}
		if runErr != nil {
			rec.Error = runErr.Error()
		}
	})
	if runErr != nil {
		d.log.Warn("action failed", "target", r.target, "action", step.Do, "run", r.id, "outcome", string(out.Outcome), "err", runErr)
	}
	nothing := len(out.Policies) > 0 && out.Files == 0 && out.FreedBytes == 0
	return stepResult{outcome: out.Outcome, dryRun: dryRun, nothing: nothing}, nil
}

// acquire waits for the turn of an action. It is false when no further step may begin.
func (d *Dispatcher) acquire() bool {
	select {
	case d.acting <- struct{}{}:
		return true
	case <-d.stop:
		return false
	}
}

// note hands the result of a step to the journal. The run does not wait for its sync: it is written
// before the result of the run, and without it the step is told as interrupted.
func (d *Dispatcher) note(id string, change func(*journal.Record)) {
	if err := d.opts.Journal.FinishLater(id, change); err != nil {
		d.log.Error("the result of an action is not in the journal", "id", id, "err", err)
	}
}

// resolve looks a step's action up in the present configuration. A run that was accepted in mode
// dry_run stays a dry run; one that was accepted to enforce becomes one when the mode changed.
func (d *Dispatcher) resolve(r *run, step Step) (act action.Action, dryRun bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.targets[r.target]
	if !ok {
		return nil, true, fmt.Errorf("target %q: %w any more", r.target, ErrUnknown)
	}
	if act, ok = t.Actions[step.Do]; !ok {
		return nil, true, fmt.Errorf("action %q of target %q: %w any more", step.Do, r.target, ErrUnknown)
	}
	if d.hasStray(r.target, step.Do, r.only) {
		return nil, true, fmt.Errorf("%s: %w", step.Do, errStray)
	}
	return act, r.dryRun || !d.enforces(&t), nil
}

// call runs an action within its time and never lets it take the process down.
func (d *Dispatcher) call(r *run, step Step, act action.Action, dryRun bool, level series.Level) (out action.Result, err error) {
	ctx, cancel := context.WithTimeout(d.runCtx, step.Timeout.Std())
	defer cancel()
	req := action.Request{
		RunID: r.id, Target: r.target, Trigger: string(r.trigger), DryRun: dryRun, Level: level,
		Relief: r.only == "" && r.subject != "", Only: r.only, Force: r.force,
		Progress: func(p action.PolicyResult) { d.progress(r, p) },
		Playbook: r.playbook, Alert: r.first, Settings: step.Settings,
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
	return d.within(ctx, act, step, req)
}

// finish records how a run ended, starts its cooldown and tells it.
func (d *Dispatcher) finish(r *run, res result) {
	now := d.opts.Now()
	took := now.Sub(r.since)
	d.mu.Lock()
	if r.ended {
		d.mu.Unlock()
		return // Drain has given it up, and it came back after all
	}
	r.ended = true
	delete(d.open, r)
	alerts, level := r.alerts, r.level
	var state laneState
	save := false
	if l := r.lane; l != nil && !res.ran && res.outcome == journal.OutcomeInterrupted {
		l.open = nil // it never began: what is remembered about the playbook stays
	} else if l != nil {
		rest := nextCooldown(r.cooldown, l.Rest, res.outcome, res.ran && !errors.Is(res.err, ErrJournal))
		l.rested(r, res.outcome, rest, now)
		l.open = nil
		state, save = l.laneState, true
		state.Steps = maps.Clone(l.Steps)
	}
	d.mu.Unlock()

	ctx := context.WithoutCancel(d.runCtx)
	key, kept := "", []byte(nil)
	if save {
		key, kept = d.packed(r.laneKey, state)
	}
	err := d.opts.Journal.FinishKeeping(ctx, r.id, func(rec *journal.Record) {
		rec.Outcome, rec.Level, rec.Before, rec.After, rec.Alerts = res.outcome, level.String(), res.before.Text, res.after.Text, alerts
		rec.Files, rec.Bytes, rec.FreedBytes, rec.DurationSecs = res.files, res.bytes, res.freed, took.Seconds()
		rec.Detail = strings.Join(res.notes, "; ")
		if len(res.skipped) > 0 {
			rec.Skipped = res.skipped
		}
		if res.err != nil {
			rec.Error = res.err.Error()
		}
	}, key, kept)
	if err != nil {
		d.log.Error("the result of a run is not in the journal yet", "run", r.id, "target", r.target, "outcome", res.outcome, "err", err)
	}
	d.metrics.playbook.WithLabelValues(r.target, r.playbook, string(r.trigger), res.outcome).Inc()
	d.logEnd(r, &res)
}

// raise lifts the level of a run to that of a reading and returns it.
func (d *Dispatcher) raise(r *run, now Reading) series.Level {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Known {
		r.level = max(r.level, now.Level)
	}
	return r.level
}

func (d *Dispatcher) begins(r *run, i int, step Step) series.Level {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.state, r.step, r.action, r.files, r.bytes = StateRunning, i+1, step.Do, 0, 0
	return r.level
}

func (d *Dispatcher) progress(r *run, p action.PolicyResult) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.files, r.bytes = p.Files, p.FreedBytes
}

func (d *Dispatcher) stepUntil(r *run, step Step) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.lane == nil || r.breaks {
		return time.Time{}
	}
	return r.lane.stepUntil(&step)
}

func (d *Dispatcher) stepRan(r *run, step Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.lane != nil {
		r.lane.stepRan(step, d.opts.Now())
	}
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
