package simulate

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	returnGrace  = 10 * time.Second                     // after which an action that is cancelled counts as left behind
	longestRest  = time.Hour                            // of an ineffective playbook
	drainGrace   = 2*time.Second + 800*time.Millisecond // of cancelled actions, and of the journal
	outcomeWaits = dispatch.OutcomeWaiting
)

type key struct{ target, playbook string }

// asking is a run of a playbook that someone asks for.
type asking struct {
	key
	trigger string
}

// rest is a cooldown as the documentation has it: the least that the exporter must keep.
type rest struct {
	until  time.Time
	length time.Duration
	broken bool      // by an emergency
	most   time.Time // until which it may hold, after several runs in a row that did not help
}

// runNote is what is known of a run.
type runNote struct {
	key      key
	owned    bool          // it is a run of its playbook: it has a cooldown
	guarded  bool          // an alert has begun it
	made     time.Duration // since the beginning of the story
	breaks   bool
	budget   bool     // it is one of a budget
	mayBreak bool     // it breaks a cooldown, if that still holds
	goesOn   *runNote // the run that waited
	steps    []dispatch.Step
	base     time.Duration
	active   int  // actions that have not returned, dry runs apart
	acts     bool // an action ran that was not a dry run
	acted    bool // and found something to do
}

// ledger is what the invariants are judged by. World.mu guards it. It knows nothing of the dispatcher but
// what the journal and the actions are asked.
type ledger struct {
	executed map[string]bool     // intents whose action has begun
	accepted map[string]bool     // runs that a sender was notified of
	pending  map[asking]*runNote // runs whose intent is being written
	runs     map[string]*runNote
	waits    map[key]*runNote // the run of the playbook that waits

	held, kept         map[key]rest // in memory, and what a restart has to find
	stepHeld, stepKept map[key]map[string]rest
	guards             guardBook
}

func newLedger() ledger {
	l := ledger{executed: make(map[string]bool), accepted: make(map[string]bool), kept: make(map[key]rest), stepKept: make(map[key]map[string]rest), guards: newGuardBook()}
	l.restart(time.Time{})
	return l
}

// restart is what a new process knows.
func (l *ledger) restart(now time.Time) {
	l.guards.began, l.guards.early = make(map[string]use), make(map[key]earlyNote)
	l.pending, l.runs, l.waits = make(map[asking]*runNote), make(map[string]*runNote), make(map[key]*runNote)
	l.held, l.stepHeld = maps.Clone(l.kept), make(map[key]map[string]rest)
	for k, steps := range l.stepKept {
		l.stepHeld[k] = maps.Clone(steps)
	}
	l.clamp(now)
	l.forget(now)
}

// clamp is what becomes of cooldowns when the clock is set back. Those that are kept may be written again
// with the next dry run.
func (l *ledger) clamp(now time.Time) {
	l.guards.clamp(now)
	for _, all := range []map[key]rest{l.held, l.kept} {
		for k, r := range all {
			all[k] = r.clamped(now)
		}
	}
	for _, all := range []map[key]map[string]rest{l.stepHeld, l.stepKept} {
		for _, steps := range all {
			for do, r := range steps {
				steps[do] = r.clamped(now)
			}
		}
	}
}

// forget forgets the cooldowns that have ended. At a start and at a reload the exporter may do so, and write
// that with the next dry run; should the clock be set back after it, they do not hold again.
func (l *ledger) forget(now time.Time) {
	for _, all := range []map[key]rest{l.held, l.kept} {
		for k, r := range all {
			if !now.Before(r.until) {
				r.until = time.Time{} // most stays: the exporter may not have forgotten it
				all[k] = r
			}
		}
	}
	for _, all := range []map[key]map[string]rest{l.stepHeld, l.stepKept} {
		for _, steps := range all {
			maps.DeleteFunc(steps, func(_ string, r rest) bool { return !now.Before(r.until) })
		}
	}
}

func (r rest) clamped(now time.Time) rest {
	if longest := now.Add(r.length); r.until.After(longest) {
		r.until = longest
	}
	return r
}

// asked is called when an intent is to be recorded.
func (w *world) asked(p *process, r *journal.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.isDead() {
		return
	}
	if r.Step > 0 {
		w.checkStep(r)
		w.checkGuards(r, alert.Trigger(w.disk.open[r.RunID].Trigger))
		return
	}
	w.checkGuards(r, alert.Trigger(r.Trigger))
	k := key{r.Target, r.Playbook}
	playbook, ok := w.config.targets[r.Target].Playbooks[r.Playbook]
	n := &runNote{key: k, base: playbook.Cooldown, steps: playbook.Steps, budget: playbook.Budget.AtMost > 0}
	switch alert.Trigger(r.Trigger) {
	case alert.TriggerWebhook, alert.TriggerStandalone, alert.TriggerForecast:
		n.owned, n.guarded = ok, true
	case alert.TriggerManual, alert.TriggerExit:
		n.owned = ok && r.Mode == w.config.targets[r.Target].Mode && !w.ledger.isOpen(k)
	}
	if n.owned && r.Mode == dispatch.ModeEnforce {
		w.checkCooldown(r, n)
	}
	if n.owned {
		n.goesOn = w.ledger.waits[k]
		delete(w.ledger.waits, k)
		w.ledger.pending[asking{k, r.Trigger}] = n
	}
}

// isOpen reports whether a run of a playbook is open that has its cooldown.
func (l *ledger) isOpen(k key) bool {
	for _, n := range l.runs {
		if n.key == k && n.owned {
			return true
		}
	}
	for ask := range l.pending {
		if ask.key == k {
			return true
		}
	}
	return false
}

// begun is called when an intent is synced.
func (w *world) begun(r *journal.Record) {
	ask := asking{key{r.Target, r.Playbook}, r.Trigger}
	if n := w.ledger.pending[ask]; n != nil && r.Step == 0 {
		delete(w.ledger.pending, ask)
		w.ledger.runs[r.ID], n.made = n, w.elapsed()
		if n.guarded && r.Mode == dispatch.ModeEnforce && n.budget {
			w.ledger.guards.began[r.ID] = use{r.ID, r.Time}
		}
	}
}

// refused is called when intents could not be written.
func (w *world) refused(records []journal.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range records {
		k := key{records[i].Target, records[i].Playbook}
		if n := w.ledger.pending[asking{k, records[i].Trigger}]; n != nil && n.goesOn != nil {
			w.ledger.waits[k] = n.goesOn // it goes on with it later
		}
		delete(w.ledger.pending, asking{k, records[i].Trigger})
		if records[i].Step == 0 && records[i].Trigger == string(alert.TriggerForecast) {
			delete(w.ledger.guards.early, k) // it may begin again in the same window
		}
	}
}

// call is an action that has not returned.
type call struct {
	h      *hand
	dry    bool
	only   string
	runID  string
	intent string
	limit  time.Duration // until which it may take, since the beginning of the story
}

// left reports whether the dispatcher does not wait for the action any longer.
func (c *call) left(now time.Duration) bool { return now >= c.limit+returnGrace }

// begins is called when an action begins.
func (w *world) begins(ctx context.Context, h *hand, req *action.Request) *call {
	c := &call{h: h, dry: req.DryRun, only: req.Only, runID: req.RunID, limit: w.elapsed() + 24*time.Hour}
	if d, ok := ctx.Deadline(); ok {
		c.limit = d.Sub(w.begin)
	}
	h.p.say("begins", h.target, h.name, req.RunID)
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.p.isDead() {
		return c
	}
	if !c.dry {
		if r, ok := w.disk.intent(req.RunID, h.name); ok {
			c.intent = r.ID
		}
	}
	for _, check := range atBegin {
		check(w, c)
	}
	w.calls = append(w.calls, c)
	if n := w.ledger.runs[c.runID]; n != nil && !c.dry {
		n.active++
	}
	if c.intent != "" {
		w.ledger.executed[c.intent] = true
	}
	return c
}

// returns is called when an action returns.
func (w *world) returns(c *call, out *action.Result) {
	c.h.p.say("returns", c.h.target, c.h.name, c.runID, string(out.Outcome))
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.calls, c)
	if i < 0 {
		return
	}
	w.calls = slices.Delete(w.calls, i, i+1)
	n := w.ledger.runs[c.runID]
	if n == nil || c.dry {
		return
	}
	n.active--
	if c.left(w.elapsed()) {
		return
	}
	n.acts = true
	n.acted = n.acted || len(out.Policies) == 0 || out.Files > 0
	r, ok := w.disk.open[c.intent]
	if !ok || !n.owned || !out.DueAt.IsZero() || out.InUse || r.Step > len(n.steps) {
		return
	}
	if length := n.steps[r.Step-1].Cooldown.Std(); length > 0 {
		if w.ledger.stepHeld[n.key] == nil {
			w.ledger.stepHeld[n.key] = make(map[string]rest)
		}
		w.ledger.stepHeld[n.key][c.h.name] = rest{until: w.now().Add(length), length: length}
	}
}

// keeping is what a restart has to find of a playbook once the end of a run is synced.
type keeping struct {
	key   key
	rest  rest
	steps map[string]rest
}

// ended is called when the end of a run is to be recorded.
func (w *world) ended(p *process, r *journal.Record) *keeping {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, l, now := w.ledger.runs[r.ID], &w.ledger, w.now()
	if r.Outcome == dispatch.OutcomeNeedsHuman { // it has not acted, and may in the same window
		delete(l.guards.early, key{r.Target, r.Playbook})
	}
	if p.isDead() || n == nil || !n.owned {
		return nil
	}
	delete(l.runs, r.ID)
	k := n.key
	used, counts := l.guards.began[r.ID]
	delete(l.guards.began, r.ID)
	if counts && n.acts && n.acted {
		l.guards.used[k] = append(l.guards.used[k], used)
	}
	old := l.held[k]
	length := n.base
	if r.Outcome == dispatch.OutcomeIneffective {
		length = max(length, min(2*length, longestRest))
	}
	until, most := now.Add(length), now.Add(length)
	if r.Outcome == dispatch.OutcomeIneffective {
		most = now.Add(max(length, longestRest))
	}
	switch {
	case r.Outcome == outcomeWaits:
		l.waits[k] = n
		old.broken = old.broken || n.breaks
	case !n.acts && n.active == 0:
		return nil // nothing was done
	case strings.Contains(r.Error, dispatch.ErrJournal.Error()):
		// The remedy is still owed.
	case !n.acted && n.active == 0 && old.until.After(until):
		old.broken = old.broken || n.breaks
	default:
		old = rest{until: until, length: length, broken: n.breaks, most: most}
	}
	l.held[k] = old
	return &keeping{key: k, rest: old, steps: maps.Clone(l.stepHeld[k])}
}

// kept is called when the end of a run is synced.
func (w *world) kept(k *keeping) {
	if k != nil {
		w.ledger.kept[k.key], w.ledger.stepKept[k.key] = k.rest.clamped(w.now()), k.steps
	}
}

// answered is called when a sender has its answer.
func (w *world) answered(p *process, out []alert.Disposition) {
	for _, d := range out {
		p.say("answer", d.Fingerprint, d.Disposition, d.RunID)
		if d.Disposition == alert.Accepted {
			w.promised(p, d.RunID)
		}
	}
}

// promised is called when a sender was notified of a run.
func (w *world) promised(p *process, runID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.isDead() || runID == "" {
		return
	}
	w.ledger.accepted[runID] = true
	if !w.disk.has(runID) {
		w.breaks("the run %s was accepted and is not in the journal", runID)
	}
}

func levelOfRecord(r *journal.Record) series.Level {
	l, _ := series.ParseLevel(r.Level)
	return l
}
