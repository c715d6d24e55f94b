package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// ManualRequest requests a run without an alert: from a person, a policy's `every`, the end of a
// target's last process, or a watcher. Cooldowns hold back only the end of a process, which may
// happen again and again; everything else is as for an alert.
type ManualRequest struct {
	Target   string
	Playbook string        // or
	Steps    []Step        // with Playbook as their name: steps that are not a playbook of the target
	Level    series.Level  // to begin with
	Action   string        // one action alone
	DryRun   *bool         // nil = as the target's mode says; false on a target in mode dry_run is ErrNotEnforced
	Force    bool          // overrides max_remove_fraction
	Only     string        // only the policies with this name
	Trigger  alert.Trigger // default TriggerManual

	Insist   bool      // with DryRun false: also on a target in mode dry_run, since a person on this host says so
	By       string    // who asked, for the journal; "" when that is not known
	Follower *Follower // nil = no one follows the run
}

// RunNow records a run and puts it in the queue, and returns its id. One action of a schedule has none:
// it is recorded only if, when its turn comes, there is something to do. A run of the same playbook
// that is open already, for the same purpose, is joined. Errors are ErrUnknown, ErrBadRequest,
// ErrNotEnforced, ErrResting, ErrPaused, ErrHeld, ErrQueueFull, ErrDraining, ErrJournal or ctx's.
func (d *Dispatcher) RunNow(ctx context.Context, req ManualRequest) (runID string, err error) {
	if req.Trigger == "" {
		req.Trigger = alert.TriggerManual
	}
	r, isNew, err := d.manual(req)
	if err != nil {
		return "", err
	}
	if r.quiet {
		return "", nil
	}
	if isNew {
		d.begin(ctx, []*run{r})
	}
	select {
	case <-r.begun:
		return r.id, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (d *Dispatcher) manual(req ManualRequest) (r *run, isNew bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.targets[req.Target]
	if !ok {
		return nil, false, fmt.Errorf("target %.100q is %w here: write one of %s", req.Target, ErrUnknown, list(slices.Sorted(maps.Keys(d.targets))))
	}
	p, err := manualPlaybook(&t, req)
	if err != nil {
		return nil, false, err
	}
	m, err := d.manualMode(&t, &req)
	if err != nil {
		return nil, false, err
	}
	if r := d.joinable(req, m); r != nil {
		r.progress.follow(req.Follower)
		return r, false, nil
	}
	key := playbookKey{req.Target, req.Playbook}
	state := d.playbooks[key]
	if err := d.manualRoom(req, state, &p, m); err != nil {
		return nil, false, err
	}
	r = d.newRun(&t, p, req.Trigger)
	r.mode, r.force, r.only, r.scope, r.progress.level = m, req.Force, req.Only, req.scope(), req.Level
	r.insists, r.by, r.decided = req.Insist && m == enforce, req.By, req.decides(m)
	r.progress.follow(req.Follower)
	// A whole playbook that is run as configured counts as its run: alerts join it, and it starts
	// the cooldown too.
	if r.scope == wholePlaybook && req.Only == "" && (m == dryRun) == (d.modeOf(&t) == dryRun) && req.counts() && (state == nil || state.open == nil) {
		d.own(r, key)
		if req.Trigger == alert.TriggerExit {
			d.spend(r, p.Budget)
		}
	}
	if req.Trigger == alert.TriggerSchedule && r.scope == oneAction {
		r.quiet = true
		close(r.begun)
		d.enqueue(r)
	}
	return r, true, nil
}

// manualMode is the mode of a manual run of a target.
func (d *Dispatcher) manualMode(t *Target, req *ManualRequest) (mode, error) {
	present := d.modeOf(t)
	if present == propose && req.Steps != nil && !onlyObserve(req.Steps) {
		present = dryRun // they are not of the target's playbooks, from which a proposal could be carried out later
	}
	switch dry := req.DryRun; {
	case dry == nil:
		return present, nil
	case *dry:
		return dryRun, nil
	case req.Insist && d.opts.Journal.Durable():
		return enforce, nil
	case present == propose: // a person has decided
		return enforce, nil
	case present == dryRun:
		return present, fmt.Errorf("target %q: %w: write mode: enforce in the configuration, or request a dry run", t.Name, ErrNotEnforced)
	}
	return enforce, nil
}

// manualRoom reports what stands in the way of a manual run.
func (d *Dispatcher) manualRoom(req ManualRequest, state *playbookState, p *Playbook, m mode) error {
	state.clamp(d.opts.Now())
	switch err := d.held(req, state, p, m); {
	case err != nil:
		return err
	case d.draining:
		return ErrDraining
	case d.queued >= d.opts.QueueLength:
		return ErrQueueFull
	}
	return nil
}

// held reports why a run that no person requested may not begin. Cooldowns, windows and budgets are those of a
// playbook, which runs without an alert only at the end of a process.
func (d *Dispatcher) held(req ManualRequest, state *playbookState, p *Playbook, m mode) error {
	if !automatic(req.Trigger) {
		return nil
	}
	now := d.opts.Now()
	pause := d.pausedBy(req.Target)
	s := situation{mode: m, level: req.Level, paused: pause != nil}
	if req.Trigger == alert.TriggerExit {
		s.rests, s.broken = state != nil && state.holding(m).holds(now), true
		s.closed, s.spent = !p.Hours.Open(now), state.spent(p, now)
	}
	name := cmp.Or(req.Playbook, req.Action)
	if m == propose {
		s.proposal, _ = d.proposalOf(req.Target, name, req.Only, p, req.Level)
	}
	switch permit(s).skip {
	case SkipPaused:
		return fmt.Errorf("%w: %s", ErrPaused, pause)
	case SkipProposed:
		return fmt.Errorf("%q of target %q: %w: it waits for the approval of a person", name, req.Target, ErrHeld)
	case SkipDenied:
		return fmt.Errorf("%q of target %q: %w: a person has denied it", name, req.Target, ErrHeld)
	case SkipCooldown:
		return fmt.Errorf("playbook %q of target %q: %w until %s", req.Playbook, req.Target, ErrResting, clock(state.holding(m).Until))
	case SkipWindow:
		return fmt.Errorf("playbook %q of target %q: %w: its window %q is closed", req.Playbook, req.Target, ErrHeld, p.Hours)
	case SkipBudget:
		return fmt.Errorf("playbook %q of target %q: %w: %s", req.Playbook, req.Target, ErrHeld, budgetText(req.Playbook, p.Budget))
	}
	return nil
}

// automatic reports whether no person requested what a trigger begins.
func automatic(t alert.Trigger) bool { return t != alert.TriggerManual }

func (r *ManualRequest) scope() scope {
	if r.Action != "" {
		return oneAction
	}
	return wholePlaybook
}

// decides reports whether a person has said that the run acts, so that nothing is proposed first.
func (r *ManualRequest) decides(m mode) bool {
	return r.Trigger == alert.TriggerManual && r.DryRun != nil && m == enforce
}

// counts reports whether the run is one of the playbook that it names.
func (r *ManualRequest) counts() bool {
	return r.Steps == nil && (r.Trigger == alert.TriggerManual || r.Trigger == alert.TriggerExit)
}

// joinable returns the oldest run that waits or runs for the very same purpose.
func (d *Dispatcher) joinable(req ManualRequest, m mode) *run {
	name := req.Playbook
	if req.Action != "" {
		name = req.Action
	}
	var oldest *run
	for r := range d.open {
		if r.target == req.Target && r.playbook == name && r.mode == m && r.only == req.Only && r.force == req.Force &&
			r.scope == req.scope() && r.insists == (req.Insist && m == enforce) && r.decided == req.decides(m) && r.approved == nil && (!r.quiet || req.Trigger == alert.TriggerSchedule) && (oldest == nil || r.seq < oldest.seq) {
			oldest = r
		}
	}
	return oldest
}

func manualPlaybook(t *Target, req ManualRequest) (Playbook, error) {
	switch {
	case req.Steps != nil:
		steps := slices.Clone(req.Steps)
		for i := range steps {
			steps[i].applyDefaults()
		}
		return Playbook{Name: req.Playbook, Steps: steps, Subject: subjectOf("", steps)}, nil
	case (req.Playbook == "") == (req.Action == ""):
		return Playbook{}, fmt.Errorf("%w: write either a playbook, one of %s, or an action, one of %s",
			ErrBadRequest, list(slices.Sorted(maps.Keys(t.Playbooks))), list(slices.Sorted(maps.Keys(t.Actions))))
	case req.Playbook != "":
		p, ok := t.Playbooks[req.Playbook]
		if !ok {
			return p, fmt.Errorf("playbook %.100q of target %q is %w here: write one of %s", req.Playbook, t.Name, ErrUnknown, list(slices.Sorted(maps.Keys(t.Playbooks))))
		}
		return p, nil
	}
	if _, ok := t.Actions[req.Action]; !ok {
		return Playbook{}, fmt.Errorf("action %.100q of target %q is %w here: write one of %s", req.Action, t.Name, ErrUnknown, list(slices.Sorted(maps.Keys(t.Actions))))
	}
	if action.NewSettings(req.Action) != nil {
		return Playbook{}, fmt.Errorf("%w: action %q does what a step says: name a playbook that has it, one of %s",
			ErrBadRequest, req.Action, list(slices.Sorted(maps.Keys(t.Playbooks))))
	}
	step := Step{Do: req.Action}
	step.applyDefaults()
	return Playbook{Name: req.Action, Steps: []Step{step}}, nil
}
