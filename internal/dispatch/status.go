package dispatch

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The states of an open run.
const (
	StateQueued    = "queued"
	StateRunning   = "running"
	StateVerifying = "verifying" // waiting for samples that show whether a step helped
)

// Status is what the dispatcher is doing, for the page.
type Status struct {
	Queued    int
	Draining  bool
	Open      []OpenRun        // oldest first
	Playbooks []PlaybookStatus // by target and playbook
	Pauses    []Pause          // that hold; that of all targets first
	Budgets   []BudgetStatus   // by target and playbook
	Proposals []Proposal       // that wait for a person, the oldest first
}

// BudgetStatus is what a playbook may still do by itself.
type BudgetStatus struct {
	Target    string
	Playbook  string
	AtMost    int
	Per       units.Duration
	Remaining int
}

// budgets is called with the lock held.
func (d *Dispatcher) budgets() []BudgetStatus {
	out := []BudgetStatus{}
	now := d.opts.Now()
	for _, t := range d.targets {
		for name, p := range t.Playbooks {
			if p.Budget.set() {
				s := d.playbooks[playbookKey{t.Name, name}]
				out = append(out, BudgetStatus{t.Name, name, p.Budget.AtMost, p.Budget.Per, s.remaining(p.Budget, now)})
			}
		}
	}
	slices.SortFunc(out, func(a, b BudgetStatus) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Playbook, b.Playbook))
	})
	return out
}

// OpenRun is a run that has not ended.
type OpenRun struct {
	ID       string // "" while its intent is being written
	Target   string
	Playbook string
	Mode     string // of the step at work, else of the next one
	Trigger  string
	Alert    string // name of the alert that began it
	Alerts   int    // that it serves
	Level    string
	State    string // one of the State constants
	WaitsFor string // the playbook that runs for the same target while this run is queued
	Step     int    // from 1; 0 before the first
	Steps    int    // of the playbook
	Action   string // of the step
	Files    int64  // of the policy at work; what would be removed in a dry run
	Bytes    int64
	Since    time.Time
}

// PlaybookStatus is what is remembered about a playbook of a target that has run.
type PlaybookStatus struct {
	Target        string
	Playbook      string
	WaitsUntil    time.Time // when the run goes again that ended waiting; zero when none waits
	WaitsRun      string    // its id
	CooldownUntil time.Time // zero when it may run
	CooldownMode  string    // of the run that began the cooldown
	Broken        bool      // an emergency cannot break the cooldown again
	LastRun       string    // that began the cooldown; when none holds, the last that ran a step
	LastOutcome   string
	LastEnd       time.Time
}

// Status returns what is going on.
func (d *Dispatcher) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	s := Status{Queued: d.queued, Draining: d.draining, Open: []OpenRun{}, Playbooks: []PlaybookStatus{}, Pauses: d.pausesNow(), Budgets: d.budgets(), Proposals: d.openProposals()}
	for _, r := range slices.SortedFunc(maps.Keys(d.open), bySeq) {
		s.Open = append(s.Open, d.openRun(r))
	}
	for key, state := range d.playbooks {
		state.clamp(now)
		t := d.targets[key.target]
		if p, known := state.status(key, d.modeOf(&t), now); known {
			s.Playbooks = append(s.Playbooks, p)
		}
	}
	slices.SortFunc(s.Playbooks, func(a, b PlaybookStatus) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Playbook, b.Playbook))
	})
	return s
}

// openRun is called with the lock held.
func (d *Dispatcher) openRun(r *run) OpenRun {
	p := &r.progress
	out := OpenRun{
		ID: r.id, Target: r.target, Playbook: r.playbook, Trigger: string(r.trigger), Mode: string(cmp.Or(p.mode, d.modeNow(r))),
		Alert: r.alert, Level: p.level.String(), State: p.state, Step: p.step, Steps: len(r.steps), Action: p.action, Files: p.files, Bytes: p.bytes,
		Alerts: p.alerts, Since: r.since,
	}
	if s := d.slots[r.target]; p.state == StateQueued && s != nil && s.running != nil {
		out.WaitsFor = s.running.playbook
	}
	return out
}

// status is false when the playbook has not run.
func (s *playbookState) status(key playbookKey, m mode, now time.Time) (PlaybookStatus, bool) {
	last := &s.acted
	if s.dry.LastEnd.After(last.LastEnd) {
		last = &s.dry
	}
	held := s.holding(m).holds(now)
	if held {
		last = s.holding(m)
	}
	if last.LastRun == "" && s.wait == nil {
		return PlaybookStatus{}, false
	}
	out := PlaybookStatus{
		Target: key.target, Playbook: key.playbook, LastRun: last.LastRun, LastOutcome: last.LastOutcome, LastEnd: last.LastEnd,
	}
	if s.wait != nil {
		out.WaitsUntil, out.WaitsRun = s.wait.until, s.wait.run.id
	}
	if held {
		out.CooldownUntil, out.CooldownMode, out.Broken = last.Until, ModeEnforce, s.broken(m, now)
		if last == &s.dry {
			out.CooldownMode = ModeDryRun
		}
	}
	return out, true
}
