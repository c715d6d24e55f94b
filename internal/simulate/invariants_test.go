package simulate

import (
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// The invariants. Each calls breaks when it is broken. World.mu is held.
var (
	// atBegin are judged whenever an action begins, dry runs included.
	atBegin = []func(*world, *call){oneAtATime, intentFirst, onceForOneIntent, onlyWhereEnforced, notAfterStop}
	// afterEach are judged after each event of the story.
	afterEach = []func(*world, *dispatch.Status){queueIsBounded, cooldownsEnd}
	// whenIdle are judged when nothing is open.
	whenIdle = []func(*world, *dispatch.Status){everyRunHasItsRecord}
)

// oneAtATime: a target has one action at a time, but for one that does not return; that one is not started
// again.
func oneAtATime(w *world, c *call) {
	now := w.elapsed()
	for _, o := range w.calls {
		switch {
		case o.h.target != c.h.target:
		case !o.left(now):
			w.breaks("%s of %s began in run %s while %s was at work", c.h.name, c.h.target, c.runID, o.h.name)
		case o.h.name == c.h.name && (o.only == c.only || o.only == "" || c.only == ""):
			w.breaks("%s of %s began in run %s although one before it has not returned", c.h.name, c.h.target, c.runID)
		}
	}
}

// intentFirst: nothing is done whose intent, and that of its run, is not synced.
func intentFirst(w *world, c *call) {
	if c.dry {
		return
	}
	if c.intent == "" {
		w.breaks("%s of %s acts in run %s without an intent in the journal", c.h.name, c.h.target, c.runID)
		return
	}
	if _, open := w.disk.open[c.runID]; !open {
		w.breaks("%s of %s acts in run %s, which is not open in the journal", c.h.name, c.h.target, c.runID)
	}
	if mode := w.disk.open[c.intent].Mode; mode != dispatch.ModeEnforce {
		w.breaks("%s of %s acts in run %s, whose intent is in mode %q", c.h.name, c.h.target, c.runID, mode)
	}
}

// onceForOneIntent: one intent is carried out once.
func onceForOneIntent(w *world, c *call) {
	if c.intent != "" && w.ledger.executed[c.intent] {
		w.breaks("%s of %s began twice for the intent %s", c.h.name, c.h.target, c.intent)
	}
}

// onlyWhereEnforced: a target that does not enforce at this moment is not touched.
func onlyWhereEnforced(w *world, c *call) {
	if mode := w.config.targets[c.h.target].Mode; !c.dry && mode != dispatch.ModeEnforce {
		w.breaks("%s of %s acts in run %s, and the configuration says %q", c.h.name, c.h.target, c.runID, mode)
	}
}

// notAfterStop: no action begins once a stop has begun.
func notAfterStop(w *world, c *call) {
	if at := c.h.p.stopping; at > 0 && w.elapsed() > at {
		w.breaks("%s of %s began in run %s after a stop at %s", c.h.name, c.h.target, c.runID, at)
	}
}

// effect reports whether something may be changed: the process lives. Its intent has to be open still.
func (w *world) effect(c *call) bool {
	if c.h.p.isDead() {
		return false
	}
	if _, open := w.disk.open[c.intent]; !open && !c.left(w.elapsed()) {
		w.breaks("%s of %s has an effect in run %s after its result", c.h.name, c.h.target, c.runID)
	}
	return true
}

// checkCooldown: an alert, or the end of a process, begins no run while the cooldown of the playbook holds,
// but for one emergency, and for the run that goes on with one that waited.
func (w *world) checkCooldown(r *journal.Record, n *runNote) {
	held, waited := w.ledger.held[n.key], w.ledger.waits[n.key]
	emergency := n.guarded && levelOfRecord(r) == series.LevelEmergency
	n.mayBreak = emergency && r.Time.Before(held.most) || waited != nil && waited.mayBreak
	switch {
	case !n.guarded && r.Trigger != "exit", !r.Time.Before(held.until):
	case waited != nil:
		n.breaks = waited.breaks
	case emergency && !held.broken:
		n.breaks = true
	default:
		w.breaks("a run of %s for %s began at %s by %s at level %s, and its cooldown holds until %s", r.Playbook, r.Target,
			r.Time.Format(time.TimeOnly), r.Trigger, r.Level, held.until.Format(time.DateTime))
	}
}

// checkStep: a step of a run that an alert began keeps its own cooldown.
func (w *world) checkStep(r *journal.Record) {
	n := w.ledger.runs[r.RunID]
	if n == nil || !n.guarded || n.breaks || n.mayBreak || r.Mode != dispatch.ModeEnforce {
		return
	}
	if until := w.ledger.stepHeld[n.key][r.Action].until; r.Time.Before(until) {
		w.breaks("the step %s of %s for %s began at %s, and its cooldown holds until %s", r.Action, r.Playbook, r.Target,
			r.Time.Format(time.TimeOnly), until.Format(time.DateTime))
	}
}

// queueIsBounded: no more runs wait than the queue holds.
func queueIsBounded(w *world, s *dispatch.Status) {
	if s.Queued < 0 || s.Queued > w.queue {
		w.breaks("%d runs wait in a queue for %d", s.Queued, w.queue)
	}
}

// cooldownsEnd: neither a cooldown nor a wait is longer than it can be, whatever the clock does.
func cooldownsEnd(w *world, s *dispatch.Status) {
	longest := w.now().Add(w.config.longest)
	for _, p := range s.Playbooks {
		if p.CooldownUntil.After(longest) {
			w.breaks("the cooldown of %s for %s holds until %s", p.Playbook, p.Target, p.CooldownUntil.Format(time.DateTime))
		}
		if p.WaitsUntil.After(longest) {
			w.breaks("a run of %s for %s waits until %s", p.Playbook, p.Target, p.WaitsUntil.Format(time.DateTime))
		}
	}
}

// everyRunHasItsRecord: what was accepted has ended in the journal, and nothing is open there.
func everyRunHasItsRecord(w *world, _ *dispatch.Status) {
	for _, id := range slices.Sorted(maps.Keys(w.ledger.accepted)) {
		if r := w.disk.done[id]; r.Outcome == "" && !w.foundOpen(id) {
			w.breaks("the run %s was accepted and has no result in the journal", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.disk.open)) {
		if r := w.disk.open[id]; !w.foundOpen(id) {
			w.breaks("%s of %s is open in the journal as %s, and nothing is at work", r.Intent, r.Target, id)
		}
	}
}

// foundOpen reports whether an intent was found by a start that could not write.
func (w *world) foundOpen(id string) bool {
	return slices.ContainsFunc(w.p.book.interrupted, func(r journal.Record) bool { return r.ID == id })
}

// stopIsBounded: a stop takes no longer than it may, the grace of cancelled actions, and the syncs of what
// it records.
func stopIsBounded(w *world, took, limit time.Duration, open int) {
	most := limit + drainGrace + time.Duration(open+3)*2*(w.disk.slow+time.Millisecond)
	if took > most {
		w.breaks("a stop within %s took %s with %d runs open, want at most %s", limit, took, open, most)
	}
}

// stopLeavesNothingOpen: after an orderly stop every intent has its result.
func stopLeavesNothingOpen(w *world) {
	for _, id := range slices.Sorted(maps.Keys(w.disk.open)) {
		if r := w.disk.open[id]; !w.disk.full && !w.foundOpen(id) {
			w.breaks("%s of %s is open in the journal as %s after an orderly stop", r.Intent, r.Target, id)
		}
	}
}

// relieved: when all is well for two hours, which is longer than any cooldown, no folder is over its limit
// where an alert is evaluated here and the target enforces.
func relieved(w *world) {
	for _, name := range serviceNames {
		t, s := w.config.targets[name], w.services[name]
		if w.standalone && !w.config.guarded[name] && t.Mode == dispatch.ModeEnforce && len(s.temp) > tempMax {
			w.breaks("the folder of %s holds %d files after two quiet hours", name, len(s.temp))
		}
	}
}
