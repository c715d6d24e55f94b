package action

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
)

// drainSettles is how long after its begin a restart whose end was not seen may still happen: until then its drain is
// not taken back.
const drainSettles = 10 * time.Minute

// takeBack takes the drain of a restart back that does not happen, although the step may have been cancelled meanwhile.
// Where that fails, or the step does not say how, the service is left to whoever waits for it.
func (r *restarting) takeBack(ctx context.Context) error {
	if !r.drained {
		return nil
	}
	if r.s.Drain.Undo == "" {
		r.leave()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartUndo)
	defer cancel()
	if err := r.post(ctx, r.s.Drain.Undo); err != nil {
		r.leave()
		r.say("%v", err)
		return nil
	}
	r.drained = false
	r.say("no longer drained")
	ctx, cancelWrite := context.WithTimeout(context.WithoutCancel(ctx), restartWrite)
	defer cancelWrite()
	return r.Ledger.Undrained(ctx, r.Target, r.req.RunID)
}

// leave notes that a service may still be drained.
func (r *restarting) leave() {
	if r.drained {
		r.say("it may still be drained")
		r.Ledger.Leave()
	}
}

// DrainStep is a step of a target that restarts, as it is configured now.
type DrainStep struct {
	Settings *RestartSettings
	Enforces bool
}

// RecordFunc writes an intent before its effect, and returns what writes the result.
type RecordFunc func(ctx context.Context, run, intent string) (end func(error) error, err error)

// Undrain looks at a target that may still be drained for a restart that did not happen. Where the service runs as another
// start, that is over. Else undo is posted, if post says so, where the step that drained it has one and enforces. over is
// true when there is nothing more to do; the error says why a person is needed.
func (a *Restart) Undrain(ctx context.Context, steps []DrainStep, post bool, record RecordFunc) (over bool, err error) {
	claiming, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	release, claimed := a.opts.Ledger.Claim(claiming, a.opts.Target)
	if claimed != nil {
		return false, nil // a restart is at work on it
	}
	defer release()
	at, left, err := a.opts.Ledger.Drained(a.opts.Target)
	if err != nil || !left {
		return !left, err
	}
	var step *DrainStep
	for i := range steps {
		if steps[i].Settings.Drain.Post != "" && steps[i].Settings.Drain.name() == at.Drain {
			step = &steps[i]
		}
	}
	if step == nil {
		return false, errors.New("no step that restarts it has this drain any more: have it take work again, or restart it")
	}
	r := &restarting{RestartOptions: &a.opts, s: step.Settings, req: &Request{RunID: at.Key, Target: a.opts.Target, Settings: step.Settings}}
	switch moved, text := r.moved(ctx, &at); {
	case moved:
		a.opts.Logger.Info("a service that was drained runs as another start", "target", a.opts.Target, "run", at.Key, "is", text)
		return true, a.opts.Ledger.Undrained(ctx, a.opts.Target, at.Key)
	case at.Stage == restart.Asked && a.opts.Now().Sub(at.Time) < drainSettles:
		return false, nil // it may still be restarted
	case step.Settings.Drain.Undo == "":
		return false, errors.New("the step has no undo: have it take work again, or restart it")
	case !step.Enforces:
		return false, errors.New("the step is not in mode enforce: have it take work again, or restart it")
	case !post:
		return false, errors.New("undo has failed: have it take work again, or restart it")
	}
	return r.undrain(ctx, &at, record)
}

// moved reports whether the service is known to be another start than the one that was drained.
func (r *restarting) moved(ctx context.Context, at *restart.Attempt) (moved bool, text string) {
	place := r.Service.Place()
	if r.find(&place) != nil {
		return false, ""
	}
	ctx, cancel := context.WithTimeout(ctx, restartLook)
	defer cancel()
	now, err := r.manager.State(ctx)
	return err == nil && at.Instance != "" && now.Instance != "" && now.Instance != at.Instance, now.Text
}

// undrain posts undo, in the journal before and after.
func (r *restarting) undrain(ctx context.Context, at *restart.Attempt, record RecordFunc) (over bool, err error) {
	where := fetch.PublicURL(r.s.Drain.Undo)
	end, err := record(ctx, at.Key, fmt.Sprintf("have the service take work again by a POST to %s: it was drained for a restart that did not happen", where))
	if err != nil {
		return false, err
	}
	posting, cancel := context.WithTimeout(ctx, restartUndo)
	defer cancel()
	err = r.post(posting, r.s.Drain.Undo)
	r.Logger.Warn("a service was drained for a restart that did not happen", "target", r.Target, "run", at.Key, "undo", where, "err", err)
	if err = errors.Join(err, end(err)); err != nil {
		return false, err
	}
	return true, r.Ledger.Undrained(ctx, r.Target, at.Key)
}
