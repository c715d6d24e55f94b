package dispatch

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	cooldownPrefix = "cooldown/"
	maxServed      = 1024                // alerts that a run remembers
	forgetAfter    = 30 * 24 * time.Hour // cooldowns in the journal
)

// playbookKey names a playbook of a target.
type playbookKey struct{ target, playbook string }

// playbookState is what is remembered about one playbook of one target. It is guarded by
// Dispatcher.mu. Dry runs leave no trace in the cooldown of runs that act: a change to mode enforce
// finds nothing held back by what was only tried, and nothing freed by it. A proposal counts as a dry run: it does
// nothing.
type playbookState struct {
	open  *run // queued or running
	acted cooldown
	dry   cooldown

	wait   *wait              // the run that waits; nil when none does
	waited int                // runs in a row that have ended waiting
	firing map[string]*firing // alerts that are known to fire, by fingerprint
	again  time.Time          // when the next run for them begins by itself; zero when none does

	used    []time.Time // when runs began that count against the budget, the oldest first
	pleaded bool        // it is recorded that a person is needed
	early   opening     // of the window in which it has acted before the limit
}

// savedState is the form in the journal.
type savedState struct {
	cooldown
	Dry  *cooldown   `json:"dry,omitempty"`
	Used []time.Time `json:"used,omitempty"` // of the budget
}

// holding returns the cooldown that decides about a run in a mode. A cooldown of runs that acted
// holds dry runs too, so that they show what would happen.
func (s *playbookState) holding(m mode) *cooldown {
	if m == enforce || s.acted.Until.After(s.dry.Until) {
		return &s.acted
	}
	return &s.dry
}

// broken reports whether an emergency has used up its one break.
func (s *playbookState) broken(m mode, now time.Time) bool {
	if m == enforce {
		return s.acted.Broken
	}
	return s.dry.Broken || s.acted.Broken && s.acted.holds(now)
}

// view completes the question about an alert.
func (s *playbookState) view(q *question, m mode, key string) {
	if s == nil {
		return
	}
	if s.wait != nil {
		q.waits, q.waiting = s.wait.until, s.wait.level
	}
	q.until, q.broken = s.holding(m).Until, s.broken(m, q.now)
	if q.open = s.open != nil; q.open {
		_, q.served = s.open.progress.served[key]
		return
	}
	_, q.served = s.acted.served[key]
	firing := s.firesInside(q.alert.Name(), q.now)
	q.twin = s.acted.servedTwin(q, firing)
	if m != enforce {
		_, dry := s.dry.served[key]
		q.served, q.twin = q.served || dry, q.twin || s.dry.servedTwin(q, firing)
	}
}

// ended notes the end of a run. It reports whether anything is to be saved.
func (s *playbookState) ended(r *run, res *result, now time.Time) bool {
	s.open = nil
	if res.effect < effectActed {
		s.refund(r)
	}
	switch {
	case res.outcome == OutcomeWaiting:
		s.waits(r, res, now)
		s.acted.waits(r, now)
		return true
	case res.effect == effectNone:
		return !r.spent.IsZero()
	case res.effect == effectDry:
		s.dry.ended(r, res, now)
	default:
		s.acted.ended(r, res, now)
		s.dry.Broken = false
		s.waited = 0
		s.plan(s.acted.Until, now)
	}
	return true
}

// stepUntil returns the end of the own cooldown of a step.
func (s *playbookState) stepUntil(step *Step, m mode, now time.Time) time.Time {
	s.clamp(now)
	until := s.acted.Steps[step.rest()]
	if dry := s.dry.Steps[step.rest()]; m != enforce && dry.After(until) {
		return dry
	}
	return until
}

// clamp shortens what a clock that was set back made longer than it can last. Only times that come from
// the journal or from files are affected: those of this process are compared by a clock that no one sets.
func (s *playbookState) clamp(now time.Time) {
	if s == nil {
		return
	}
	s.acted.clamp(now)
	s.dry.clamp(now)
	s.clampUsed(now)
	s.again = soonerOf(s.again, now.Add(max(s.acted.Rest, againRetry)))
	if s.wait != nil {
		s.wait.until = soonerOf(s.wait.until, now.Add(longestWait))
	}
}

func soonerOf(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (s *playbookState) stepRan(step *Step, m mode, now time.Time) {
	if m == enforce {
		s.acted.stepRan(step, now)
		return
	}
	s.dry.stepRan(step, now)
}

// forgettable reports whether nothing would be lost with the state.
func (s *playbookState) forgettable(now time.Time) bool {
	return s.open == nil && !s.acted.remains(now) && !s.dry.remains(now) && !slices.ContainsFunc(s.used, func(at time.Time) bool { return now.Sub(at) < maxBudgetPer })
}

func (s *playbookState) saved() savedState {
	out := savedState{cooldown: s.acted.clone(), Used: slices.Clone(s.used)}
	if s.dry.LastRun != "" {
		dry := s.dry.clone()
		out.Dry = &dry
	}
	return out
}

// stateOf returns the state of a playbook. It is called with the lock held.
func (d *Dispatcher) stateOf(key playbookKey) *playbookState {
	s := d.playbooks[key]
	if s == nil {
		s = &playbookState{}
		d.playbooks[key] = s
	}
	return s
}

// encode returns what keeps a state over a restart.
func (d *Dispatcher) encode(key playbookKey, s savedState) (name string, raw []byte) {
	raw, err := json.Marshal(s)
	if err != nil {
		d.log.Warn("a cooldown will not survive a restart", "target", key.target, "playbook", key.playbook, "err", err)
		return "", nil
	}
	return cooldownPrefix + key.target + "/" + key.playbook, raw
}

// load restores the cooldowns of the previous process.
func (d *Dispatcher) load(ctx context.Context) {
	d.loadPauses()
	d.loadProposals()
	if saved, err := d.opts.Journal.States(namesKey); err == nil {
		d.names.load(saved[namesKey])
	}
	states, err := d.opts.Journal.States(cooldownPrefix)
	if err != nil {
		d.log.Error("the cooldowns of the previous process cannot be read", "err", err)
		return
	}
	now := d.opts.Now()
	for _, name := range slices.Sorted(maps.Keys(states)) {
		target, playbook, ok := strings.Cut(strings.TrimPrefix(name, cooldownPrefix), "/")
		var s savedState
		if err := json.Unmarshal(states[name], &s); err != nil || !ok || now.Sub(s.lastEnd()) > forgetAfter {
			if err := d.opts.Journal.PutState(ctx, name, nil); err != nil {
				d.log.Warn("an old cooldown cannot be deleted", "key", name, "err", err)
			}
			continue
		}
		state := d.stateOf(playbookKey{target, playbook})
		state.acted = s.cooldown
		state.acted.clamp(now)
		state.used = s.Used
		state.clampUsed(now)
		if s.Dry != nil {
			state.dry = *s.Dry
			state.dry.clamp(now)
		}
	}
}

func (s *savedState) lastEnd() time.Time {
	for _, at := range s.Used {
		if at.After(s.LastEnd) {
			s.LastEnd = at // of a run whose end was not seen
		}
	}
	if s.Dry != nil && s.Dry.LastEnd.After(s.LastEnd) {
		return s.Dry.LastEnd
	}
	return s.LastEnd
}
