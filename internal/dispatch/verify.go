package dispatch

import (
	"slices"
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
	case alert.TriggerManual, alert.TriggerSchedule, alert.TriggerExit, alert.TriggerWatch, alert.TriggerForecast:
		return before.Level >= step.Verify.Below
	}
	return true
}

// verify waits for fresh samples after a step and judges the newest. A value that is still falling is
// followed until it has settled, or for as long as the step says. before is the reading before the run.
func (d *Dispatcher) verify(r *run, step Step, before Reading) verification {
	if d.lookahead != nil {
		return d.foresee(r, &step)
	}
	d.mu.Lock()
	r.progress.state = StateVerifying
	d.mu.Unlock()
	target := r.target
	begin := d.opts.Now()
	start := d.opts.Observer.Observe(target, r.subject).Samples
	seen := start
	follow := settling{within: step.Verify.settle()}
	d.opts.Observer.Refresh(target, r.subject)
	poll := time.NewTicker(pollSamples)
	defer poll.Stop()
	limit := time.NewTimer(d.opts.VerifyTimeout + step.Verify.settle())
	defer limit.Stop()
	for {
		now := d.opts.Observer.Observe(target, r.subject)
		if now.Samples < start {
			start = now.Samples // counting started over, as after a reload
		}
		after := d.opts.Now().Sub(begin)
		if now.Samples != seen {
			seen = now.Samples
			d.opts.Observer.Refresh(target, r.subject)
			if now.Known {
				follow.add(after, now.Ratio)
			}
		}
		if now.Known && now.Samples >= start+uint64(step.Verify.After) {
			switch {
			case now.Level < step.Verify.Below && !runsOut(now, before):
				return verifiedRelieved
			case follow.settled(after):
				return verifiedStill
			}
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

// runsOut reports whether a value is about to reach its limit and has not fallen since before the run: it
// is not relieved, however low its level still is.
func runsOut(now, before Reading) bool { return now.Rising && now.Ratio >= before.Ratio }

func (v *Verify) settle() time.Duration {
	if v.Settle == nil {
		return 0
	}
	return v.Settle.Std()
}

const (
	settledShare   = 0.98 // a value that has lost less than 2 % over the span has settled
	settledSamples = 3
	settledPart    = 3 // the span is this part of the whole time
)

// settling follows a value after a step whose effect takes its time.
type settling struct {
	within time.Duration
	recent []settlingSample // of the last span
}

type settlingSample struct {
	after time.Duration
	ratio float64
}

func (s *settling) span() time.Duration { return s.within / settledPart }

// add notes a fresh sample.
func (s *settling) add(after time.Duration, ratio float64) {
	s.recent = append(s.recent, settlingSample{after, ratio})
	s.recent = slices.DeleteFunc(s.recent, func(x settlingSample) bool { return x.after < after-s.span() })
}

// settled reports whether nothing more is to be expected: the time is over, or over a span of it the value
// has not fallen by 2 %. One that rises is not waited for.
func (s *settling) settled(after time.Duration) bool {
	if after >= s.within {
		return true
	}
	if after < s.span() || len(s.recent) < settledSamples {
		return false
	}
	newest, highest := s.recent[len(s.recent)-1].ratio, 0.0
	for _, x := range s.recent {
		highest = max(highest, x.ratio)
	}
	return newest >= settledShare*highest
}
