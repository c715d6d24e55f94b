package dispatch

import (
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/regret"
)

// Follower learns how a run goes on and how it ends. Progress and File are called on the goroutine of
// the action, which waits for them; each may be nil. Ended is called once for a run that RunNow has
// returned, and at most once when it returns an error.
type Follower struct {
	Progress func(action.PolicyResult)
	File     func(p action.PolicyResult, path []byte, why string)
	Ended    func(End)
}

// End is how a run ended that was followed.
type End struct {
	Outcome  string                // as the journal has it
	Policies []action.PolicyResult // of all its steps
	Err      error                 // nil when nothing failed as a whole
	Detail   string                // as the journal has it
}

// follow adds a follower. It is called with the lock held. The list is copied, since it is read without.
func (p *progress) follow(f *Follower) {
	if f != nil {
		p.followers = append(slices.Clip(p.followers), f)
	}
}

func (d *Dispatcher) followers(r *run) []*Follower {
	d.mu.Lock()
	defer d.mu.Unlock()
	return r.progress.followers
}

// onFile returns what names the files of a step to those that want to know them, nil when none does. into is nil
// when no later step does, foreseen where the step acts.
func (d *Dispatcher) onFile(r *run, into *action.Removed, foreseen *regret.Run) func(action.PolicyResult, []byte, string) {
	var want []func(action.PolicyResult, []byte, string)
	for _, f := range d.followers(r) {
		if f.File != nil {
			want = append(want, f.File)
		}
	}
	if len(want) == 0 && into == nil && foreseen == nil {
		return nil
	}
	return func(p action.PolicyResult, path []byte, why string) {
		into.Note(&p, path, why)
		if foreseen != nil && p.Kind != policy.KindLog && p.EntryFiles == nil {
			foreseen.Note(p.Kind, p.Policy, path)
		}
		for _, name := range want {
			name(p, path, why)
		}
	}
}

// ended reports to the followers of a run how it ended.
func (d *Dispatcher) ended(r *run, res *result) {
	for _, f := range d.followers(r) {
		f.Ended(End{Outcome: res.outcome, Policies: res.policies, Err: res.err, Detail: strings.Join(res.notes, "; ")})
	}
}
