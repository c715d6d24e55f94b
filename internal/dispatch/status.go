package dispatch

import (
	"cmp"
	"slices"
	"time"
)

// The states of an open run.
const (
	StateQueued    = "queued"
	StateRunning   = "running"
	StateVerifying = "verifying" // waiting for samples that show whether a step helped
)

// Status is what the dispatcher is doing, for the page.
type Status struct {
	Queued    int              `json:"queued"`
	Draining  bool             `json:"draining"`
	Open      []OpenRun        `json:"open"`      // oldest first
	Playbooks []PlaybookStatus `json:"playbooks"` // by target and playbook
}

// OpenRun is a run that has not ended.
type OpenRun struct {
	ID       string    `json:"id"`
	Target   string    `json:"target"`
	Playbook string    `json:"playbook"`
	Trigger  string    `json:"trigger"`
	Mode     string    `json:"mode"`
	Level    string    `json:"level"`
	State    string    `json:"state"` // one of the State constants
	Step     int       `json:"step"`  // from 1; 0 before the first
	Action   string    `json:"action,omitempty"`
	Files    int64     `json:"files"` // of the policy at work
	Bytes    int64     `json:"bytes"`
	Alerts   int       `json:"alerts"` // that it serves
	Since    time.Time `json:"since"`
}

// PlaybookStatus is what is remembered about a playbook of a target that has run.
type PlaybookStatus struct {
	Target        string    `json:"target"`
	Playbook      string    `json:"playbook"`
	CooldownUntil time.Time `json:"cooldown_until"` // zero when it may run
	LastRun       string    `json:"last_run"`
	LastOutcome   string    `json:"last_outcome"`
	LastEnd       time.Time `json:"last_end"`
}

// Status returns what is going on.
func (d *Dispatcher) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	s := Status{Queued: d.queued, Draining: d.draining, Open: []OpenRun{}, Playbooks: []PlaybookStatus{}}
	for r := range d.open {
		o := OpenRun{
			Target: r.target, Playbook: r.playbook, Trigger: string(r.trigger), Mode: r.mode(), Level: r.level.String(), State: r.state,
			Step: r.step, Action: r.action, Files: r.files, Bytes: r.bytes, Alerts: r.alerts, Since: r.since,
		}
		select {
		case <-r.begun:
			o.ID = r.id
		default: // its intent is being written
		}
		s.Open = append(s.Open, o)
	}
	for key, l := range d.lanes {
		if l.LastRun == "" {
			continue
		}
		p := PlaybookStatus{Target: key.target, Playbook: key.playbook, LastRun: l.LastRun, LastOutcome: l.LastOutcome, LastEnd: l.LastEnd}
		if now.Before(l.Until) {
			p.CooldownUntil = l.Until
		}
		s.Playbooks = append(s.Playbooks, p)
	}
	slices.SortFunc(s.Open, func(a, b OpenRun) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	slices.SortFunc(s.Playbooks, func(a, b PlaybookStatus) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Playbook, b.Playbook))
	})
	return s
}
