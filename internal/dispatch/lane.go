package dispatch

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

const (
	cooldownPrefix = "cooldown/"
	maxServed      = 1024                // alerts that a lane remembers
	forgetAfter    = 30 * 24 * time.Hour // persisted lanes
)

type laneKey struct{ target, playbook string }

// lane is what is remembered about one playbook of one target. It is guarded by Dispatcher.mu.
type lane struct {
	laneState
	open   *run                // queued or running
	served map[string]struct{} // keys of the alerts that the open or the last run serves
}

// laneState is the part that outlives the process.
type laneState struct {
	Until       time.Time            `json:"until"`            // end of the cooldown
	Rest        time.Duration        `json:"rest"`             // its length
	Broken      bool                 `json:"broken,omitempty"` // an emergency has broken it
	Steps       map[string]time.Time `json:"steps,omitempty"`  // ends of the steps' own cooldowns, by Step.rest
	LastRun     string               `json:"last_run"`
	LastOutcome string               `json:"last_outcome"`
	LastEnd     time.Time            `json:"last_end"`
}

// remember notes that an alert is served, up to a bound: beyond it a repeat is told as served by
// the open run, or held by the cooldown, which comes to the same.
func (l *lane) remember(key string) {
	if len(l.served) < maxServed {
		l.served[key] = struct{}{}
	}
}

// view completes the question about an alert.
func (l *lane) view(q *question, key string) {
	if l == nil {
		return
	}
	_, q.served = l.served[key]
	q.open, q.until, q.broken = l.open != nil, l.Until, l.Broken
}

// rested notes the end of a run.
func (l *lane) rested(r *run, outcome string, rest time.Duration, now time.Time) {
	l.LastRun, l.LastOutcome, l.LastEnd = r.id, outcome, now
	l.Rest = rest
	l.Until = now.Add(rest)
	if rest == 0 {
		l.Until = time.Time{}
	}
}

// stepUntil returns the end of the cooldown of a step.
func (l *lane) stepUntil(s *Step) time.Time { return l.Steps[s.rest()] }

func (l *lane) stepRan(s Step, now time.Time) {
	if s.Cooldown <= 0 {
		return
	}
	if l.Steps == nil {
		l.Steps = make(map[string]time.Time)
	}
	l.Steps[s.rest()] = now.Add(s.Cooldown.Std())
}

// packed returns what keeps a lane over a restart.
func (d *Dispatcher) packed(key laneKey, s laneState) (name string, raw []byte) {
	raw, err := json.Marshal(s)
	if err != nil {
		d.log.Warn("a cooldown is not kept over a restart", "target", key.target, "playbook", key.playbook, "err", err)
		return "", nil
	}
	return cooldownPrefix + key.target + "/" + key.playbook, raw
}

// load brings the lanes of an earlier process back.
func (d *Dispatcher) load(ctx context.Context) {
	states, err := d.opts.Journal.States(cooldownPrefix)
	if err != nil {
		d.log.Error("the cooldowns of the last start cannot be read", "err", err)
		return
	}
	now := d.opts.Now()
	for name, raw := range states {
		target, playbook, ok := strings.Cut(strings.TrimPrefix(name, cooldownPrefix), "/")
		var s laneState
		if err := json.Unmarshal(raw, &s); err != nil || !ok || now.Sub(s.LastEnd) > forgetAfter {
			if err := d.opts.Journal.PutState(ctx, name, nil); err != nil {
				d.log.Warn("an old cooldown cannot be forgotten", "key", name, "err", err)
			}
			continue
		}
		// A clock that was wrong must not hold a remedy back for longer than it can rest.
		if s.Until.After(now.Add(s.Rest)) {
			s.Until = now.Add(s.Rest)
		}
		d.lanes[laneKey{target, playbook}] = &lane{laneState: s, served: make(map[string]struct{})}
	}
}
