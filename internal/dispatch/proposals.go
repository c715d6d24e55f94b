package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const proposalPrefix = "proposal/"

// How a proposal ends, as it stands in the journal and in spillway_proposal_outcomes_total.
const (
	ProposalApproved = "approved"
	ProposalDenied   = "denied"
	ProposalExpired  = "expired" // no one decided in time
	ProposalVoided   = "voided"  // the situation is not the one that it was made for
)

var proposalOutcomes = []string{ProposalApproved, ProposalDenied, ProposalExpired, ProposalVoided}

// Approve carries a proposal out and returns the id of its run. by is the person who decides. A proposal whose situation has
// changed is void: the error is ErrVoided. Others are ErrNoProposal, ErrUnknown, ErrUnsure, ErrPaused, ErrHeld, ErrQueueFull, ErrDraining or
// ErrJournal: then it waits on.
func (d *Dispatcher) Approve(ctx context.Context, id, by string) (runID string, err error) {
	p, err := d.claim(id)
	if err != nil {
		return "", err
	}
	defer d.unclaim(p)
	why, sure := d.changed(p)
	switch {
	case why != "":
		if err := d.endProposal(ctx, p, ProposalVoided, why, ""); err != nil {
			return "", err
		}
		return "", fmt.Errorf("%w: %s", ErrVoided, why)
	case !sure:
		return "", ErrUnsure
	}
	if err := d.mayCarryOut(p); err != nil {
		return "", err
	}
	// It is over before its run is recorded: a crash in between loses an approval, and never carries one out twice.
	if err := d.endProposal(ctx, p, ProposalApproved, "", by); err != nil {
		return "", err
	}
	r, err := d.carryOut(p, by)
	if err != nil {
		return "", err
	}
	d.begin(context.WithoutCancel(ctx), []*run{r})
	return r.id, r.err
}

// Deny ends a proposal. No other is made for the same situation as long as it would have waited, unless the level rises.
func (d *Dispatcher) Deny(ctx context.Context, id, by string) error {
	p, err := d.claim(id)
	if err != nil {
		return err
	}
	defer d.unclaim(p)
	return d.endProposal(ctx, p, ProposalDenied, "", by)
}

// claim returns a proposal that waits, for one decision at a time.
func (d *Dispatcher) claim(id string) (*Proposal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.proposals[id]
	switch {
	case p == nil && len(d.openProposals()) == 0:
		return nil, fmt.Errorf("%w under the id %.100q, nor under another", ErrNoProposal, id)
	case p == nil || !p.waits():
		return nil, fmt.Errorf("%w under the id %.100q: write one of %s", ErrNoProposal, id, list(d.proposalIDs()))
	case p.expired(d.opts.Now()):
		return nil, fmt.Errorf("%w under the id %.100q: it has expired", ErrNoProposal, id)
	}
	p.claimed = true
	return p, nil
}

func (d *Dispatcher) unclaim(p *Proposal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p.claimed = false
}

func (p *Proposal) waits() bool { return !p.Denied && !p.claimed }

// changed says what is no longer as it was when a proposal was made. sure is false when that cannot be seen at present.
func (d *Dispatcher) changed(p *Proposal) (why string, sure bool) {
	d.mu.Lock()
	t, known := d.targets[p.Target]
	over := p.over
	d.mu.Unlock()
	book, err := p.playbook(&t)
	switch {
	case !known || err != nil || t.Digest != p.Digest || d.modeOf(&t) == dryRun:
		return "the configuration has changed", true
	case over != "":
		return over, true
	}
	sure = true
	if t.Process != nil {
		switch now := t.Process(); {
		case now == "":
			sure = p.Process == ""
		case now != p.Process:
			return "the target has another process", true
		}
	}
	if p.Below > 0 {
		switch now := d.opts.Observer.Observe(p.Target, book.Subject); {
		case !now.Known:
			sure = false
		case now.Level < p.Below:
			return "the level has fallen: " + now.Text, true
		}
	}
	return "", sure
}

// playbook returns what the proposal is of in the present configuration of its target.
func (p *Proposal) playbook(t *Target) (Playbook, error) {
	req := ManualRequest{Target: p.Target, Playbook: p.Playbook}
	if p.Single {
		req.Playbook, req.Action = "", p.Playbook
	}
	book, err := manualPlaybook(t, req)
	if err == nil && !p.isOf(&book) {
		err = ErrUnknown
	}
	return book, err
}

// isOf reports whether the steps that were proposed are still at their places in a playbook. The digest is of what is written: a new
// version of the exporter may have other defaults.
func (p *Proposal) isOf(book *Playbook) bool {
	return p.From < len(book.Steps) && !slices.ContainsFunc(p.Steps, func(s ProposedStep) bool {
		return s.Step < 0 || s.Step >= len(book.Steps) || s.Do != book.Steps[s.Step].String()
	})
}

// stale says why a run that a person has approved may not begin any more.
func (d *Dispatcher) stale(r *run) string {
	if r.approved == nil {
		return ""
	}
	why, sure := d.changed(r.approved)
	if why == "" && !sure {
		why = "whether the situation is still the same cannot be seen"
	}
	return why
}

// mayCarryOut reports what stands in the way of a proposal that a person approves.
func (d *Dispatcher) mayCarryOut(p *Proposal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.targets[p.Target]
	book, err := p.playbook(&t)
	if err != nil {
		return err
	}
	level, _ := series.ParseLevel(p.Level)
	pause, closed := d.pausedBy(p.Target), book.closed(level, d.opts.Now())
	if p.Why != "" {
		closed = book.earlyClosed(d.opts.Now())
	}
	switch permit(situation{mode: propose, level: level, paused: pause != nil, closed: closed != "", proposal: proposalApproved}).skip {
	case SkipPaused:
		return fmt.Errorf("%w: %s: resume first", ErrPaused, pause)
	case SkipWindow:
		return fmt.Errorf("playbook %q of target %q: %w: its window %q is closed", p.Playbook, p.Target, ErrHeld, closed)
	}
	switch {
	case d.draining:
		return ErrDraining
	case d.queued >= d.opts.QueueLength:
		return ErrQueueFull
	}
	return nil
}

// carryOut makes the run of a proposal that a person has approved.
func (d *Dispatcher) carryOut(p *Proposal, by string) (*run, error) {
	choice, err := action.ParseChoice(p.Choice)
	if err != nil {
		return nil, fmt.Errorf("the proposal %s %w", p.ID, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.targets[p.Target]
	book, err := p.playbook(&t)
	if err != nil {
		return nil, err
	}
	r := d.newRun(&t, book, alert.Trigger(p.Trigger))
	r.mode, r.decided, r.approved, r.choice, r.by = enforce, true, p, choice, by
	r.alert, r.fingerprint, r.first, r.guarded, r.force, r.only = p.Alert, p.Fingerprint, p.First, p.Guarded, p.Force, p.Only
	r.progress.level, _ = series.ParseLevel(p.Level)
	r.why, r.progress.early = p.Why, p.Why != ""
	if p.Single {
		r.scope = oneAction
	}
	key := playbookKey{p.Target, p.Playbook}
	if s := d.playbooks[key]; !p.Single && p.Only == "" && (s == nil || s.open == nil) {
		d.own(r, key)
	}
	return r, nil
}

// endProposal records how a proposal ended, and forgets it in the same sync; one that was denied is remembered.
func (d *Dispatcher) endProposal(ctx context.Context, p *Proposal, outcome, why, by string) error {
	ctx = context.WithoutCancel(ctx)
	raw := []byte(nil)
	if outcome == ProposalDenied {
		d.mu.Lock()
		denied := *p
		d.mu.Unlock()
		denied.Denied, denied.Choice, denied.First = true, nil, nil
		var err error
		if raw, err = json.Marshal(denied); err != nil {
			return err
		}
	}
	verb := map[string]string{ProposalApproved: "approve", ProposalDenied: "deny", ProposalExpired: "expire", ProposalVoided: "void"}[outcome]
	rec := journal.Record{
		RunID: p.ID, Time: d.opts.Now(), Target: p.Target, Playbook: p.Playbook, Action: verb, Trigger: p.Trigger, Alert: p.Alert,
		Mode: ModePropose, Level: p.Level, Intent: verb + " the proposal " + p.ID + ": " + p.What(),
	}
	if by != "" {
		rec.Intent, rec.Trigger = rec.Intent+", by "+by, string(alert.TriggerManual)
	}
	id, err := d.opts.Journal.Begin(ctx, rec)
	if err == nil {
		err = d.opts.Journal.FinishKeeping(ctx, id, func(r *journal.Record) { r.Outcome, r.Detail = outcome, why }, proposalPrefix+p.ID, raw)
	}
	if err != nil {
		d.log.Error("the end of a proposal is not in the journal, so it waits on", "proposal", p.ID, "outcome", outcome, "err", err)
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	d.mu.Lock()
	if outcome == ProposalDenied {
		p.Denied, p.Choice, p.First = true, nil, nil
	} else {
		delete(d.proposals, p.ID)
	}
	d.mu.Unlock()
	d.metrics.proposals.WithLabelValues(p.Target, p.Playbook, outcome).Inc()
	log := d.log.With("proposal", p.ID, "target", p.Target, "playbook", p.Playbook, "outcome", outcome)
	if why != "" {
		log = log.With("reason", why)
	}
	if by != "" {
		log = log.With("by", by)
	}
	log.Info("a proposal has ended")
	return nil
}

// proposalOf returns where the proposal of a playbook stands at a level. One for a lower level says nothing where the level
// has more steps, and neither does a denial for a lower level. It is called with the lock held.
func (d *Dispatcher) proposalOf(target, playbook, only string, book *Playbook, level series.Level) (proposalState, string) {
	for _, p := range d.proposals {
		if p.Target != target || p.Playbook != playbook || p.Only != only || p.over != "" || p.expired(d.opts.Now()) {
			continue
		}
		was, _ := series.ParseLevel(p.Level)
		rose := level > was
		switch {
		case p.Denied && !rose:
			return proposalDenied, p.ID
		case !p.Denied && (!rose || book.stepsAt(was) == book.stepsAt(level)):
			return proposalOpen, p.ID
		}
	}
	return proposalNone, ""
}

// stepsAt is how many steps a playbook has for a level.
func (p *Playbook) stepsAt(level series.Level) (n int) {
	for i := range p.Steps {
		if p.Steps[i].applies(level) {
			n++
		}
	}
	return n
}

// keepProposal keeps a proposal over a restart.
func (d *Dispatcher) keepProposal(ctx context.Context, p *Proposal) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return d.opts.Journal.PutState(ctx, proposalPrefix+p.ID, raw)
}

// admitProposal has a proposal wait. One of a lower level is void.
func (d *Dispatcher) admitProposal(p *Proposal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, old := range d.proposals {
		if old.Target == p.Target && old.Playbook == p.Playbook && old.Only == p.Only {
			old.over = "another proposal has taken its place"
		}
	}
	d.proposals[p.ID] = p
	d.rouse()
}

// joins notes that an alert fires for a proposal.
func (p *Proposal) joins(fingerprint string) {
	if p.alerts == nil {
		p.alerts = map[string]struct{}{p.Fingerprint: {}}
	}
	if len(p.alerts) < maxServed && fingerprint != "" {
		p.alerts[fingerprint] = struct{}{}
	}
}

// relieved notes that an alert was resolved. Where a reading says whether there is still pressure, that decides: an alert
// about the future comes and goes. It is called with the lock held.
func (d *Dispatcher) relieved(key playbookKey, fingerprint string) {
	for _, p := range d.proposals {
		if p.Target != key.target || p.Playbook != key.playbook || p.Below > 0 || p.Fingerprint == "" {
			continue
		}
		p.joins("")
		if delete(p.alerts, fingerprint); len(p.alerts) == 0 {
			p.over = "its alert was resolved"
			d.rouse()
		}
	}
}

// reviewProposals ends the proposals that have expired or are void, and forgets the denials of a situation that is over.
func (d *Dispatcher) reviewProposals(ctx context.Context) {
	d.mu.Lock()
	all := slices.Collect(maps.Values(d.proposals))
	d.mu.Unlock()
	for _, p := range all {
		outcome, why := ProposalExpired, "no one decided in time"
		d.mu.Lock()
		expired := p.expired(d.opts.Now())
		d.mu.Unlock()
		if !expired {
			outcome = ProposalVoided
			if why, _ = d.changed(p); why == "" {
				continue
			}
		}
		d.mu.Lock()
		denied, free := p.Denied, !p.claimed && d.proposals[p.ID] == p
		p.claimed = p.claimed || free
		d.mu.Unlock()
		if !free {
			continue // a person is deciding, or it has ended
		}
		if denied {
			d.forgetDenial(ctx, p)
		} else if err := d.endProposal(ctx, p, outcome, why, ""); err != nil {
			d.log.Debug("a proposal could not be ended", "proposal", p.ID, "err", err)
		}
		d.unclaim(p)
	}
}

func (d *Dispatcher) forgetDenial(ctx context.Context, p *Proposal) {
	if err := d.opts.Journal.PutState(ctx, proposalPrefix+p.ID, nil); err != nil {
		d.log.Debug("a denial could not be deleted", "proposal", p.ID, "err", err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.proposals, p.ID)
}

// openProposals returns those that wait, the oldest first. It is called with the lock held.
func (d *Dispatcher) openProposals() []Proposal {
	out := []Proposal{}
	for _, p := range d.proposals {
		if !p.Denied && !p.expired(d.opts.Now()) {
			out = append(out, *p)
		}
	}
	slices.SortFunc(out, func(a, b Proposal) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return out
}

func (d *Dispatcher) proposalIDs() []string {
	var out []string
	for _, p := range d.openProposals() {
		out = append(out, p.ID)
	}
	return out
}

// loadProposals restores the proposals of the previous process.
func (d *Dispatcher) loadProposals() {
	saved, err := d.opts.Journal.States(proposalPrefix)
	if err != nil {
		d.log.Error("the proposals of the previous process cannot be read: none of them can be approved", "err", err)
		return
	}
	for key, raw := range saved {
		p := &Proposal{}
		if err := json.Unmarshal(raw, p); err != nil || proposalPrefix+p.ID != key {
			d.log.Error("a proposal cannot be read, and so not be approved", "key", key, "err", err)
			continue
		}
		d.proposals[p.ID] = p
	}
}
