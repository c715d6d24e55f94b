package action

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	restartPoll    = 500 * time.Millisecond
	restartReading = 15 * time.Second // for the first reading after the start
	restartUndo    = 5 * time.Second
	restartWrite   = 10 * time.Second // for a note in the journal although the step was cancelled
	restartLook    = 5 * time.Second  // for the state after a failed restart
)

// RestartOptions configure a Restart. All are required but Capture.
type RestartOptions struct {
	Target  string
	Service restart.Service
	Ledger  *restart.Ledger
	Open    func(*restart.Spec) (restart.Manager, error)
	Capture EvidenceFunc // nil: no evidence is captured
	Logger  *slog.Logger
	Now     func() time.Time
}

// Restart restarts a service through its manager, as the last step of a playbook: evidence, drain, restart, ready, and a
// reading after the start. It is refused when it will not help, when a budget has nothing left and when the manager
// has given the service up.
type Restart struct{ opts RestartOptions }

// NewRestart returns the action.
func NewRestart(o RestartOptions) *Restart { return &Restart{o} }

// restarting is one run of the action.
type restarting struct {
	*RestartOptions
	req     *Request
	s       *RestartSettings
	spec    restart.Spec
	manager restart.Manager
	before  restart.State
	said    []string // what was done so far, for the journal
	drained bool
	output  string          // of the program that restarts
	next    string          // the start after the restart
	first   restart.Reading // of that start
}

func (r *restarting) say(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

// Run implements Action. Done is a restart after which the service was seen to be ready, Partial one after which it was
// not, Failed one that did not happen, Unknown one whose end was not seen.
func (a *Restart) Run(ctx context.Context, req Request) (Result, error) {
	s, ok := req.Settings.(*RestartSettings)
	if !ok || a.opts.Ledger == nil {
		return Result{Outcome: Failed}, fmt.Errorf("restart: %w: write via in the step", ErrNotConfigured)
	}
	if err := ctx.Err(); err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("restart: nothing was asked for: %w", err)
	}
	r := &restarting{RestartOptions: &a.opts, req: &req, s: s}
	res := Result{Before: a.opts.Service.Reading().Text}
	err := r.mayRun(ctx)
	if err == nil && req.DryRun {
		res.Outcome, res.Detail = DryRun, "would "+r.plan()
		return res, nil
	}
	if err == nil {
		err = r.run(ctx, &res)
	}
	return r.end(&res, err)
}

// end turns an error into the result.
func (r *restarting) end(res *Result, err error) (Result, error) {
	res.Detail, res.Output = strings.Join(r.said, "; "), r.output
	refusal := restart.RefusalOf(err)
	switch {
	case err == nil:
		r.Ledger.Needs(r.Target, "")
	case refusal != nil:
		res.Outcome, res.Refused = Failed, refusal.Reason
		if refusal.NeedsHuman() && !r.req.DryRun {
			r.Ledger.Needs(r.Target, refusal.Reason)
			err = fmt.Errorf("restart refused, needs_human: %w", err)
		} else {
			err = fmt.Errorf("restart refused: %w", err)
		}
	case res.Outcome == "":
		res.Outcome = Failed
	}
	r.Logger.Info("restart", "target", r.Target, "run", r.req.RunID, "of", r.spec.String(), "via", r.spec.Via, "outcome", string(res.Outcome), "refused", res.Refused, "did", res.Detail)
	return *res, err
}

// mayRun finds the manager, asks for the state and says why nothing may be done.
func (r *restarting) mayRun(ctx context.Context) error {
	place := r.Service.Place()
	if err := r.find(&place); err != nil {
		return err
	}
	var err error
	if r.before, err = r.manager.State(ctx); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	return r.decide(&place)
}

// find finds the manager.
func (r *restarting) find(place *restart.Place) (err error) {
	if r.spec, err = r.s.Spec(place); err != nil {
		return err
	}
	if r.spec.Via == restart.ViaCommand {
		r.manager = &commandManager{r: r}
		return nil
	}
	if r.manager, err = r.Open(&r.spec); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	return nil
}

func (r *restarting) decide(place *restart.Place) error {
	last, _, err := r.Ledger.Last(r.Target)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	spent, err := r.Ledger.Spent(r.Target, r.s.Budget, r.Service.Host)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	since, _, err := r.Ledger.StartedAs(r.Target, r.before.Instance)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	refusal := restart.Decide(&restart.Question{
		What: r.spec.String(), Now: r.Now(), Below: max(r.req.Below, series.LevelWarning), State: r.before,
		First: r.Service.First(), Last: last, Since: since, Spent: spent, NotIts: restart.Elsewhere(&r.spec, place, &r.before),
	})
	if refusal != nil {
		return refusal
	}
	return nil
}

// plan says what would be done.
func (r *restarting) plan() string {
	var do []string
	if r.Capture != nil {
		do = append(do, "capture evidence")
	}
	if d := &r.s.Drain; d.Post != "" {
		do = append(do, d.plan())
	}
	do = append(do, fmt.Sprintf("restart %s via %s (%s)", r.spec.String(), r.spec.Via, r.before.Text))
	ready := "its manager"
	if r.Service.Ready != nil {
		ready = r.Service.ReadyBy
	}
	return strings.Join(append(do, fmt.Sprintf("wait up to %s until it is ready by %s", r.s.Ready, ready)), ", then ")
}

// run does it.
func (r *restarting) run(ctx context.Context, res *Result) error {
	key := r.req.RunID
	release, err := r.Ledger.Claim(ctx, r.Target)
	if err != nil {
		return fmt.Errorf("restart: nothing was restarted: %w", err)
	}
	defer release()
	if err := r.Ledger.Begin(ctx, r.Target, key, r.before.Instance, r.s.Budget, r.Service.Host); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	r.evidence(ctx)
	if r.s.Drain.Post != "" {
		err = r.drain(ctx)
	}
	if err == nil {
		err = r.unchanged(ctx)
	}
	if err == nil {
		err = r.Ledger.Reach(ctx, r.Target, key, restart.Asked)
	}
	if err != nil {
		return r.drop(ctx, err)
	}
	asked := r.Now()
	err = r.manager.Restart(ctx, r.before)
	switch {
	case errors.Is(err, restart.ErrUnseen):
		res.Outcome = Unknown // and the ledger goes on saying that it was asked
		r.leave()
		return fmt.Errorf("restart: %w", err)
	case errors.Is(err, restart.ErrEnded):
		r.Ledger.Needs(r.Target, restart.ReasonFailed)
	case err != nil:
		return r.drop(ctx, err)
	}
	if err != nil {
		return r.failed(ctx, err)
	}
	res.Outcome = Done
	err = r.after(ctx, res, asked)
	return errors.Join(err, r.finish(ctx)) // until here a crash has the next process leave the service alone
}

// finish writes the end of an attempt although the step may have been cancelled meanwhile.
func (r *restarting) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartWrite)
	defer cancel()
	return r.Ledger.End(ctx, r.Target, r.req.RunID, r.next, r.first)
}

// note writes a stage although the step may have been cancelled meanwhile.
func (r *restarting) note(ctx context.Context, s restart.Stage) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartWrite)
	defer cancel()
	return r.Ledger.Reach(ctx, r.Target, r.req.RunID, s)
}

// drop forgets an attempt of which nothing came, and takes its drain back.
func (r *restarting) drop(ctx context.Context, err error) error {
	return errors.Join(fmt.Errorf("restart: %w", err), r.takeBack(ctx), r.note(ctx, restart.Dropped))
}

// failed ends an attempt of which the manager says that it failed. Where the start before it runs on, its drain is taken
// back: the program that was to restart it may not even exist.
func (r *restarting) failed(ctx context.Context, err error) error {
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartLook)
	defer cancel()
	var back error
	switch now, unseen := r.manager.State(look); {
	case unseen != nil:
		r.leave()
	case now.Phase == restart.Running && now.Instance == r.before.Instance:
		back = r.takeBack(ctx)
	default:
		r.drained = false
	}
	stage := restart.Ended
	if r.drained {
		stage = restart.Failed
	}
	return errors.Join(fmt.Errorf("restart: %w", err), back, r.note(ctx, stage))
}

// unchanged looks again directly before the restart: what was drained may have been restarted by someone else.
func (r *restarting) unchanged(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("nothing was restarted: %w", err)
	}
	if r.req.Held != nil {
		if reason, text := r.req.Held(); reason != "" {
			return &restart.Refusal{Reason: reason, Text: "it was held back at the last moment: " + text}
		}
	}
	now, err := r.manager.State(ctx)
	switch {
	case err != nil:
		return err
	case now.Phase != restart.Running || now.Instance != r.before.Instance:
		return &restart.Refusal{Reason: restart.ReasonChanged, Text: fmt.Sprintf("%s changed meanwhile: it is %s", r.spec.String(), now.Text)}
	}
	return nil
}

func (r *restarting) evidence(ctx context.Context) {
	if r.Capture == nil {
		return
	}
	taken := r.Capture(ctx, r.req.Trigger, false)
	what := "evidence: " + string(taken.Outcome)
	if taken.Outcome != evidence.Captured || taken.Skip != "" {
		what += ": " + taken.Detail
	}
	r.say("%s", what)
}

// after waits until the service is ready, and for the first reading of it.
func (r *restarting) after(ctx context.Context, res *Result, asked time.Time) error {
	restarted := r.Now()
	r.say("restarted %s via %s in %s", r.spec.String(), r.spec.Via, restarted.Sub(asked).Round(time.Millisecond))
	now, by, ready := r.awaitReady(ctx, restarted)
	if now.Instance != r.before.Instance {
		r.next = now.Instance
	}
	at := r.Now()
	left := asked
	if now.Left.After(asked.Add(-time.Second)) && now.Left.Before(at) {
		left = now.Left
	}
	if ready && r.Service.Ready == nil && now.Began.After(left) && now.Began.Before(at) {
		at = now.Began
	}
	away := at.Sub(left).Round(time.Millisecond)
	if !ready && r.spec.Via == restart.ViaKubernetes && now.Instance != r.before.Instance {
		r.say("the pod is gone, and no replacement was seen on this node within %s", r.s.Ready)
		return nil
	}
	if !ready {
		res.Outcome = Partial
		r.say("not ready by %s after %s, %s", by, away, now.Text)
		return fmt.Errorf("restart: %s was restarted and was not ready within %s by %s", r.spec.String(), r.s.Ready, by)
	}
	r.say("ready by %s, away for %s", by, away)
	if reading := r.awaitReading(ctx, restarted); reading.Known {
		res.After, r.first = reading.Text, reading
		if reading.Level >= int(max(r.req.Below, series.LevelWarning)) {
			r.say("memory is as full as before directly after the start: another restart will not help")
		}
	}
	return nil
}

// awaitReady waits until the manager says that the service runs, and the service is seen to be well.
func (r *restarting) awaitReady(ctx context.Context, since time.Time) (now restart.State, by string, ready bool) {
	ctx, cancel := context.WithTimeout(ctx, r.s.Ready.Std())
	defer cancel()
	by = "its manager"
	if r.Service.Ready != nil {
		by = r.Service.ReadyBy
	}
	tick := time.NewTicker(restartPoll)
	defer tick.Stop()
	for {
		state, err := r.manager.State(ctx)
		if err == nil {
			now = state
		}
		up := err == nil && state.Phase == restart.Running
		if r.spec.Via == restart.ViaKubernetes && err == nil { // its replacement has another name, and may be elsewhere
			up = state.Instance != r.before.Instance
		}
		if up && (r.Service.Ready == nil || r.Service.Ready(since)) {
			return now, by, true
		}
		r.Service.Refresh()
		select {
		case <-ctx.Done():
			return now, by, false
		case <-tick.C:
		}
	}
}

// awaitReading waits for a reading of the new start.
func (r *restarting) awaitReading(ctx context.Context, since time.Time) restart.Reading {
	ctx, cancel := context.WithTimeout(ctx, restartReading)
	defer cancel()
	tick := time.NewTicker(restartPoll)
	defer tick.Stop()
	for {
		if now := r.Service.Reading(); now.Known && now.At.After(since) {
			return now
		}
		r.Service.Refresh()
		select {
		case <-ctx.Done():
			return restart.Reading{}
		case <-tick.C:
		}
	}
}
