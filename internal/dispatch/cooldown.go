package dispatch

import (
	"errors"
	"maps"
	"time"
)

// cooldown is what the last run of a playbook left behind that did something. Its exported fields
// outlive the process.
type cooldown struct {
	Until       time.Time                `json:"until"`
	Rest        time.Duration            `json:"rest"`                 // its length, which an ineffective run doubles
	Broken      bool                     `json:"broken,omitempty"`     // an emergency has broken one to begin it
	Steps       map[string]time.Time     `json:"steps,omitempty"`      // ends of the steps' own cooldowns, by Step.rest
	StepRests   map[string]time.Duration `json:"step_rests,omitempty"` // their lengths
	LastRun     string                   `json:"last_run"`
	LastOutcome string                   `json:"last_outcome"`
	LastEnd     time.Time                `json:"last_end"`

	served map[string]struct{} // keys of the alerts that the last run served
	twins  map[twin]struct{}   // the same by name
}

func (c *cooldown) holds(now time.Time) bool { return now.Before(c.Until) }

// remains reports whether the cooldown, or that of a step, holds.
func (c *cooldown) remains(now time.Time) bool {
	for _, until := range c.Steps {
		if now.Before(until) {
			return true
		}
	}
	return c.holds(now)
}

// ended notes the end of a run that ran a step.
func (c *cooldown) ended(r *run, res *result, now time.Time) {
	rest := nextCooldown(r.cooldown, c.Rest, res.outcome)
	until, broken := now.Add(rest), r.breaks
	switch {
	case errors.Is(res.err, ErrJournal) && c.holds(now):
		return // cut short: the remedy is still owed
	case errors.Is(res.err, ErrJournal):
		rest, until, broken = c.Rest, c.Until, c.Broken
	case res.effect == effectEmpty && c.Until.After(until):
		c.Broken = c.Broken || r.breaks
		return // it changed nothing, so it shortens nothing
	}
	c.Rest, c.Until, c.Broken = rest, until, broken
	c.LastRun, c.LastOutcome, c.LastEnd, c.served, c.twins = r.id, res.outcome, now, r.progress.served, r.progress.twins
}

// waits notes the end of a run that waits. It starts no cooldown, since it goes again as soon as that
// is of use, and leaves one that holds as it is.
func (c *cooldown) waits(r *run, now time.Time) {
	if c.holds(now) {
		c.Broken = c.Broken || r.breaks
		return
	}
	c.LastRun, c.LastOutcome, c.LastEnd, c.served, c.twins = r.id, OutcomeWaiting, now, nil, nil
}

func (c *cooldown) stepRan(s *Step, now time.Time) {
	if s.Cooldown <= 0 {
		return
	}
	if c.Steps == nil {
		c.Steps = make(map[string]time.Time)
	}
	if c.StepRests == nil {
		c.StepRests = make(map[string]time.Duration)
	}
	c.Steps[s.rest()], c.StepRests[s.rest()] = now.Add(s.Cooldown.Std()), s.Cooldown.Std()
}

// clamp shortens what a wrong clock made longer than it can last.
func (c *cooldown) clamp(now time.Time) {
	c.Until = soonerOf(c.Until, now.Add(c.Rest))
	for step, length := range c.StepRests {
		c.Steps[step] = soonerOf(c.Steps[step], now.Add(length))
	}
}

// clone returns the part that outlives the process.
func (c *cooldown) clone() cooldown {
	out := *c
	out.Steps, out.StepRests, out.served, out.twins = maps.Clone(c.Steps), maps.Clone(c.StepRests), nil, nil
	return out
}

// nextCooldown returns how long a playbook rests after a run. last is the rest before it.
func nextCooldown(base, last time.Duration, outcome string) time.Duration {
	if outcome == OutcomeIneffective {
		return max(base, min(2*max(base, last), maxCooldown))
	}
	return base
}
