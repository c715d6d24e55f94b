package dispatch

import (
	"maps"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	waitFloor   = time.Second      // the shortest wait; from the third in a row on it doubles up to the cooldown
	inUseRetry  = 30 * time.Second // for what is in use; it doubles up to the cooldown, too
	longestWait = maxCooldown      // the longest wait, whatever min_age is
	maxDoubles  = 20
)

const (
	maxFiring  = 64              // alerts of a playbook that are known to fire
	firingLast = 5 * time.Minute // without a word of it, an alert is no longer known to fire
)

// wait is a run that has ended because what is left may not go yet. It goes again at until. There is
// one per playbook of a target. It survives a reload; after a restart the alert, which no cooldown
// holds back, starts the run anew.
type wait struct {
	run    *run
	until  time.Time
	level  series.Level
	alerts int
	served map[string]struct{} // keys of the alerts that it serves
}

// firing is an alert that is repeated for as long as it fires, so that its state is known: one of the
// embedded evaluator, or one that is polled. Of one that an Alertmanager sends only the Alertmanager
// knows whether it still fires, or has been silenced since.
type firing struct {
	alert   alert.Alert
	key     string
	trigger alert.Trigger
	level   series.Level
	seen    time.Time
}

// joined notes an alert that came while the run waits, and returns the id of the run.
func (w *wait) joined(key string) string {
	if _, known := w.served[key]; !known && len(w.served) < maxServed {
		w.served[key] = struct{}{}
		w.alerts++
	}
	return w.run.id
}

// waits makes a run wait that has just ended.
func (s *playbookState) waits(r *run, res *result, now time.Time) {
	res.until = waitUntil(res.dueAt, res.inUse, s.waited, r.cooldown, now)
	s.waited++
	s.wait = &wait{run: r, until: res.until, level: r.progress.level, alerts: r.progress.alerts, served: maps.Clone(r.progress.served)}
	if s.wait.served == nil {
		s.wait.served = make(map[string]struct{})
	}
}

// waitUntil returns when a run goes again after so many in a row that have ended waiting. due is when
// enough is old enough, zero when age holds nothing back.
func waitUntil(due time.Time, inUse bool, before int, cooldown time.Duration, now time.Time) time.Time {
	grown := func(first time.Duration, times int) time.Duration {
		return min(first<<min(max(times, 0), maxDoubles), max(cooldown, waitFloor))
	}
	until := due
	if retry := now.Add(grown(inUseRetry, before)); inUse && (due.IsZero() || retry.Before(due)) {
		until = retry
	}
	if soonest := now.Add(grown(waitFloor, before-1)); until.Before(soonest) {
		until = soonest
	}
	if latest := now.Add(longestWait); until.After(latest) {
		until = latest
	}
	return until
}

// resolved notes that an alert fires no longer. A run that waits for it alone waits no longer.
func (s *playbookState) resolved(fingerprint string) {
	if s == nil {
		return
	}
	delete(s.firing, fingerprint)
	if s.wait == nil || len(s.wait.served) == 0 {
		return // a person's run waits for no alert
	}
	maps.DeleteFunc(s.wait.served, func(key string, _ struct{}) bool { return strings.HasPrefix(key, fingerprint+"/") })
	if len(s.wait.served) == 0 {
		s.wait, s.waited = nil, 0
	}
}

// plan sets when the next run for the alerts that still fire begins by itself.
func (s *playbookState) plan(until, now time.Time) {
	if len(s.firing) == 0 {
		s.again = time.Time{}
		return
	}
	s.again = until
	if soonest := now.Add(waitFloor); until.Before(soonest) {
		s.again = soonest
	}
}

// heard remembers an alert that is repeated for as long as it fires. It is called with the lock held.
func (d *Dispatcher) heard(t alert.Trigger, a *alert.Alert, q *question, v *verdict, m mode) {
	if t != alert.TriggerStandalone && t != alert.TriggerPull {
		return
	}
	switch v.disposition {
	case alert.Accepted, alert.Duplicate, alert.Cooldown, alert.Waiting:
	default:
		return
	}
	s := d.playbooks[playbookKey{a.Target(), a.Playbook()}]
	f := s.firing[a.Fingerprint]
	if f == nil {
		if len(s.firing) >= maxFiring {
			return
		}
		if s.firing == nil {
			s.firing = make(map[string]*firing)
		}
		f = &firing{}
		s.firing[a.Fingerprint] = f
	}
	if key := a.Key(); f.key != key {
		f.alert, f.key = *a, key
		f.alert.ReadAt = time.Time{} // a repeat of it is not a reaction
	}
	f.trigger, f.level, f.seen = t, q.level, q.now
	if s.open == nil && s.wait == nil && s.again.IsZero() && m == enforce {
		s.plan(s.acted.Until, q.now)
		d.rouse()
	}
}

// pressing returns the alert of the highest level that is known to fire and whose pressure a reading
// confirms, nil when there is none.
func (s *playbookState) pressing(p *Playbook, now Reading, at time.Time) *firing {
	maps.DeleteFunc(s.firing, func(_ string, f *firing) bool { return at.Sub(f.seen) > firingLast })
	var best *firing
	for _, f := range s.firing {
		if p.applies(f.level) && presses(p.Subject, now, f.level) && (best == nil || f.level > best.level || f.level == best.level && f.key < best.key) {
			best = f
		}
	}
	return best
}

// presses reports whether a reading confirms an alert of a level. A folder over its limit is at
// warning, whatever the level of the alert; of a playbook of one's own nothing is read.
func presses(s Subject, now Reading, level series.Level) bool {
	switch {
	case s == "":
		return true
	case !now.Known:
		return false
	case isFolder(s):
		return now.Level >= series.LevelWarning
	}
	return now.Level >= level
}
