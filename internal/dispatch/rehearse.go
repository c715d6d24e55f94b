package dispatch

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// Rehearsal decides and runs as a Dispatcher does, by the same code, in a time that its owner moves: that of
// Options.Now. A run is over when the call that started it returns. What its actions do is for those whom it is given to
// say; where a Dispatcher waits for fresh samples, it asks what was seen later. It is for one goroutine.
type Rehearsal struct{ d *Dispatcher }

// NewRehearsal returns a Rehearsal without targets. later returns what is read of a subject once a step has had its time to
// work; a reading that is not known counts as not awaited.
func NewRehearsal(o Options, later func(target string, s Subject) Reading) *Rehearsal {
	d := New(o)
	d.lookahead = later
	return &Rehearsal{d}
}

// Apply sets the targets.
func (r *Rehearsal) Apply(targets map[string]Target) { r.d.Apply(targets) }

// Submit is Dispatcher.Submit; the runs that it starts are over when it returns.
func (r *Rehearsal) Submit(ctx context.Context, b alert.Batch) ([]alert.Disposition, error) {
	out, err := r.d.Submit(ctx, b)
	r.work()
	return out, err
}

// RunNow is Dispatcher.RunNow; the run is over when it returns.
func (r *Rehearsal) RunNow(ctx context.Context, req ManualRequest) (string, error) {
	id, err := r.d.RunNow(ctx, req)
	r.work()
	return id, err
}

// Again starts what begins by itself and is due: a run that has waited, and the next one for an alert that still fires. It
// returns how long it is until the next is.
func (r *Rehearsal) Again() time.Duration {
	r.d.again()
	r.work()
	return r.d.postpone(nil)
}

// Until returns when the cooldown of a playbook ends; the zero time where it never ran.
func (r *Rehearsal) Until(target, playbook string) time.Time {
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	s, t := d.playbooks[playbookKey{target, playbook}], d.targets[target]
	if s == nil {
		return time.Time{}
	}
	return s.holding(d.modeOf(&t)).Until
}

func (r *Rehearsal) work() {
	for {
		select {
		case s := <-r.d.ready:
			r.d.serve(s)
		default:
			return
		}
	}
}

// foresee judges a step by what was seen later.
func (d *Dispatcher) foresee(r *run, step *Step) verification {
	switch later := d.lookahead(r.target, r.subject); {
	case !later.Known:
		return verifiedNot
	case later.Level < step.Verify.Below:
		return verifiedRelieved
	}
	return verifiedStill
}

// Pause is Dispatcher.Pause.
func (r *Rehearsal) Pause(ctx context.Context, req PauseRequest) error {
	_, err := r.d.Pause(ctx, req)
	return err
}

// Resume is Dispatcher.Resume.
func (r *Rehearsal) Resume(ctx context.Context, req PauseRequest) error {
	_, err := r.d.Resume(ctx, req)
	return err
}
