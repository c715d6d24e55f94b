package dispatch

import (
	"context"

	"github.com/spillway-exporter/spillway_exporter/internal/regret"
)

// foreseen returns what remembers the files that a step in dry run would remove; nil for one that acts.
func (d *Dispatcher) foreseen(r *run, a *attempt) *regret.Run {
	if a.mode != dryRun {
		return nil
	}
	return d.victims.Begin(r.target)
}

// remember writes what a dry run would have removed. A failure costs the answer to one question of a person,
// whether those files are used again, and nothing else.
func (d *Dispatcher) remember(foreseen *regret.Run, r *run, action string) {
	if foreseen == nil {
		return
	}
	if err := foreseen.End(context.WithoutCancel(d.runCtx)); err != nil {
		d.log.Warn("what a dry run would have removed is not remembered: the command report knows less", "target", r.target, "action", action, "run", r.id, "err", err)
	}
}
