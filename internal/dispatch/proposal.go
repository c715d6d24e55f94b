package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// proposalValid is how long a proposal waits for a person.
const proposalValid = 24 * time.Hour

// Proposal is the rest of a run that waits for the approval of a person. It is bound to its situation: the
// configuration of the target, its process, the pressure, and the files. Its JSON form outlives the process.
type Proposal struct {
	ID       string    `json:"id"` // of the run that proposes
	Target   string    `json:"target"`
	Playbook string    `json:"playbook"` // or the action that would run alone
	Level    string    `json:"level"`
	Alert    string    `json:"alert,omitempty"`
	Trigger  string    `json:"trigger"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Reading  string    `json:"reading,omitempty"`  // why: what was read
	Evidence []string  `json:"evidence,omitempty"` // what the steps before have found out

	Steps []ProposedStep `json:"steps"` // what would run, each only if those before it did not help

	Single      bool         `json:"single,omitempty"` // Playbook is an action
	Only        string       `json:"only,omitempty"`   // only the policies with this name
	From        int          `json:"from"`             // the step that it begins with, from 0
	Guarded     bool         `json:"guarded,omitempty"`
	Why         string       `json:"why,omitempty"` // it acts before the limit is reached; "" for any other
	Force       bool         `json:"force,omitempty"`
	Fingerprint string       `json:"fingerprint,omitempty"`
	First       *alert.Alert `json:"first,omitempty"`
	Digest      string       `json:"digest"`            // of the configuration
	Process     string       `json:"process,omitempty"` // "" where none is watched
	Below       series.Level `json:"below,omitempty"`   // the pressure has gone below this level; 0 where there was none to be read
	Choice      []byte       `json:"choice,omitempty"`  // the files
	Denied      bool         `json:"denied,omitempty"`  // no other is made for this situation

	alerts  map[string]struct{} // fingerprints of those that fire for it, as far as this process knows
	over    string              // why the situation is over; "" while it is not known to be
	claimed bool                // it is being decided about
}

// expired reports whether no one has decided in time. A clock that was set back prolongs no proposal, and no denial.
func (p *Proposal) expired(now time.Time) bool {
	if now.Before(p.Since) {
		p.Since, p.Until = now, now.Add(p.Until.Sub(p.Since))
	}
	return !now.Before(p.Until)
}

// ProposedStep is one step of a proposal.
type ProposedStep struct {
	Step   int    `json:"step"` // from 0
	Do     string `json:"do"`   // as the playbook has it
	Files  int64  `json:"files,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"` // that would be free
	Detail string `json:"detail,omitempty"`
}

// String says what would be taken.
func (s ProposedStep) String() string {
	var facts []string
	if s.Files > 0 {
		facts = append(facts, fmt.Sprintf("%d files", s.Files), units.Bytes(s.Bytes).String())
	}
	if s.Detail != "" {
		facts = append(facts, s.Detail)
	}
	if len(facts) == 0 {
		return s.Do
	}
	return s.Do + " (" + strings.Join(facts, ", ") + ")"
}

// What says in one line what would be done.
func (p *Proposal) What() string {
	parts := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		parts[i] = s.String()
	}
	return strings.Join(parts, "; then, if that does not help, ")
}

// from is the number of the first step of a run.
func (r *run) from() int {
	if r.approved != nil {
		return r.approved.From
	}
	return 0
}

// approves reports whether a step may be part of a run: what a person has approved has the steps of the proposal, and
// those that only look.
func (r *run) approves(i int) bool {
	return r.approved == nil || observes(&r.steps[i]) || slices.ContainsFunc(r.approved.Steps, func(s ProposedStep) bool { return s.Step == i })
}

// asks reports whether a step is proposed to a person first.
func (d *Dispatcher) asks(r *run, step *Step) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stepMode(r, step) == propose
}

// propose makes a proposal of the rest of a run, from its step i. It reports whether the run goes on, which it does not.
func (d *Dispatcher) propose(r *run, i int, now Reading, res *result) (goOn bool) {
	level := d.raise(r, now)
	if d.isEarly(r) {
		level = series.LevelNormal // pressure is another situation
	}
	book := &Playbook{Steps: r.steps}
	d.mu.Lock()
	state, id := d.proposalOf(r.target, r.playbook, r.only, book, level)
	d.mu.Unlock()
	switch state {
	case proposalOpen:
		res.outcome = OutcomeProposed
		res.notes = append(res.notes, "the proposal "+id+" waits for a person")
		return false
	case proposalDenied:
		res.notes = append(res.notes, "a person has denied the proposal "+id)
		d.skipRest(r, i, SkipDenied)
		return false
	}
	p := d.newProposal(r, level, now, res)
	if !d.fill(p, r, i, res) {
		if res.effect < effectActed {
			res.outcome, res.effect = OutcomeNothing, max(res.effect, effectDry)
		}
		return false
	}
	if err := d.keepProposal(d.runCtx, p); err != nil {
		d.log.Error("a proposal cannot be recorded, so it is not made", "target", r.target, "playbook", r.playbook, "run", r.id, "err", err)
		res.cutShort(fmt.Errorf("propose: %w: %w", ErrJournal, err))
		return false
	}
	d.admitProposal(p)
	res.outcome = OutcomeProposed
	res.notes = append(res.notes, "proposed: "+p.What(), "it waits until "+clock(p.Until)+": spillway_exporter approve "+p.ID)
	d.log.Warn("a proposal waits for a person", "target", p.Target, "playbook", p.Playbook, "level", p.Level, "what", p.What(), "approve", p.ID, "until", p.Until)
	return false
}

// newProposal returns a proposal of the situation of a run, without its steps.
func (d *Dispatcher) newProposal(r *run, level series.Level, now Reading, res *result) *Proposal {
	at := d.opts.Now()
	p := &Proposal{
		ID: r.id, Target: r.target, Playbook: r.playbook, Level: level.String(), Alert: r.alert, Fingerprint: r.fingerprint, Trigger: string(r.trigger),
		Since: at, Until: at.Add(proposalValid), Reading: now.Text, Evidence: slices.Clone(res.notes),
		Single: r.scope == oneAction, Only: r.only, Guarded: r.guarded, Force: r.force, First: r.first,
	}
	if d.isEarly(r) {
		p.Why = r.why
	}
	d.mu.Lock()
	t := d.targets[r.target]
	d.mu.Unlock()
	p.Digest = t.Digest
	if t.Process != nil {
		p.Process = t.Process()
	}
	return p
}

// fill asks what the steps from i would do. It is false when none would do anything, each with a note why.
func (d *Dispatcher) fill(p *Proposal, r *run, i int, res *result) bool {
	choice := action.NewChoice()
	works := false
	for ; i < len(r.steps); i++ {
		step := &r.steps[i]
		level, _ := series.ParseLevel(p.Level)
		if observes(step) || step.Mode == ModeDryRun || p.Why != "" && !step.Early || p.Why == "" && r.guarded && !step.applies(level) {
			continue
		}
		s := ProposedStep{Step: i, Do: step.String()}
		if step.isRelief() {
			out, err := d.look(r, i, choice)
			switch {
			case err != nil:
				res.notes = append(res.notes, fmt.Sprintf("%s is not proposed: %v", step.Do, err))
				continue
			case out.Refused != "", len(out.Policies) > 0 && !removed(&out):
				res.notes = append(res.notes, step.Do+" is not proposed: it would do nothing")
				continue
			}
			s.Files, s.Bytes, s.Detail = out.Files, out.FreedBytes, out.Detail
		} else if !works {
			continue // it passes on what was done
		}
		if !works {
			works, p.From = true, i
			if below := step.Verify.Below; r.subject != "" && d.opts.Observer.Observe(r.target, r.subject).Level >= below {
				p.Below = below
			}
		}
		p.Steps = append(p.Steps, s)
	}
	p.Choice = choice.Bytes()
	return works
}
