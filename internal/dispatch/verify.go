package dispatch

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

const pollSamples = 100 * time.Millisecond

// verification is what was seen after a step.
type verification int

const (
	verifiedNot      verification = iota // it was not awaited
	verifiedStill                        // the level stayed
	verifiedRelieved                     // the level is below the step's `below`
	verifiedLost                         // no fresh reading arrived
)

// wantsVerification reports whether it is worth waiting for samples after a step: there was a
// reading before the run, and either an alert requested relief or there was pressure to relieve.
func (r *run) wantsVerification(step Step, before Reading) bool {
	if r.subject == "" || !before.Known {
		return false
	}
	switch r.trigger {
	case alert.TriggerManual, alert.TriggerSchedule, alert.TriggerExit, alert.TriggerWatch:
		return before.Level >= step.Verify.Below
	}
	return true
}

// verify waits for fresh samples after a step and judges the newest.
func (d *Dispatcher) verify(r *run, step Step) verification {
	d.mu.Lock()
	r.progress.state = StateVerifying
	d.mu.Unlock()
	target := r.target
	start := d.opts.Observer.Observe(target, r.subject).Samples
	seen := start
	d.opts.Observer.Refresh(target, r.subject)
	poll := time.NewTicker(pollSamples)
	defer poll.Stop()
	limit := time.NewTimer(d.opts.VerifyTimeout)
	defer limit.Stop()
	for {
		now := d.opts.Observer.Observe(target, r.subject)
		if now.Samples < start {
			start = now.Samples // counting started over, as after a reload
		}
		if now.Known && now.Samples >= start+uint64(step.Verify.After) {
			if now.Level < step.Verify.Below {
				return verifiedRelieved
			}
			return verifiedStill
		}
		if now.Samples != seen {
			seen = now.Samples
			d.opts.Observer.Refresh(target, r.subject)
		}
		select {
		case <-poll.C:
		case <-limit.C:
			return verifiedLost
		case <-d.stop:
			return verifiedNot // the next step, if any, sees that too
		}
	}
}
