package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
)

// returnGrace is what an action has beyond its timeout to stop and to say what it did.
const returnGrace = 10 * time.Second

// errStray says that an action is not started because an earlier run of it has not returned.
var errStray = errors.New("an earlier run of it has not returned: check the log for the folder or program that does not answer")

// stray is an action that has been left behind: it is stuck in the kernel, as in a folder whose
// file server is gone, and cannot be cancelled. It keeps neither the turn of its target nor a
// worker; until it returns the same action of its target is not started again.
type stray struct {
	target, action, only string
	returned             bool
}

// within runs an action. It returns a little after the step's timeout at the latest, with an
// unknown outcome, and leaves behind an action that has not returned by then. At the end of the
// exporter it is Drain that decides how long to wait.
func (d *Dispatcher) within(ctx context.Context, a *attempt, req action.Request) (action.Result, error) {
	type answer struct {
		out action.Result
		err error
	}
	answers := make(chan answer, 1)
	step := &a.step
	s := &stray{target: req.Target, action: step.Do, only: req.Only}
	go func() {
		var got answer
		defer func() {
			if p := recover(); p != nil {
				got.out.Outcome, got.err = action.Unknown, fmt.Errorf("%s panicked: %v", step.Do, p)
			}
			d.back(s)
			answers <- got
		}()
		got.out, got.err = a.action.Run(ctx, req)
	}()
	late := time.NewTimer(step.Timeout.Std() + returnGrace)
	defer late.Stop()
	select {
	case got := <-answers:
		return got.out, got.err
	case <-late.C:
	}
	if !d.leave(s) {
		got := <-answers
		return got.out, got.err
	}
	d.log.Error("an action does not return after its timeout and is left behind", "target", s.target, "action", s.action, "run", req.RunID, "timeout", step.Timeout)
	return action.Result{Outcome: action.Unknown}, fmt.Errorf("%s did not return within %s of its timeout of %s", step.Do, returnGrace, step.Timeout)
}

// leave leaves an action behind; it is false when the action has just returned.
func (d *Dispatcher) leave(s *stray) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.returned {
		d.strays = append(d.strays, s)
	}
	return !s.returned
}

// back notes that an action has returned.
func (d *Dispatcher) back(s *stray) {
	d.mu.Lock()
	s.returned = true
	i := slices.Index(d.strays, s)
	if i >= 0 {
		d.strays = slices.Delete(d.strays, i, i+1)
	}
	d.mu.Unlock()
	if i >= 0 {
		d.log.Info("an action that was left behind has returned", "target", s.target, "action", s.action)
	}
}

// hasStray reports whether an earlier run of an action has not returned. Runs that are each for one
// policy, and for different ones, do not share a folder. mu is held.
func (d *Dispatcher) hasStray(target, action, only string) bool {
	return slices.ContainsFunc(d.strays, func(s *stray) bool {
		return s.target == target && s.action == action && (s.only == only || s.only == "" || only == "")
	})
}

// strayError names the actions that have not returned; nil when there are none.
func (d *Dispatcher) strayError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, s := range d.strays {
		errs = append(errs, fmt.Errorf("%s: %s has not returned since its timeout", s.target, s.action))
	}
	return errors.Join(errs...)
}
