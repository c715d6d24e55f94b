package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// Submit decides about each alert of a batch and returns when the intents of the accepted runs
// are in the journal. With an error, one of ErrQueueFull, ErrDraining, ErrInstance, ErrJournal or ctx's,
// at least one alert was refused and the sender should send all of them again: those that were
// accepted are then reported as duplicates. Alerts of one batch that request the same playbook of
// the same target share a run, as do all that arrive while it is open.
func (d *Dispatcher) Submit(ctx context.Context, b alert.Batch) ([]alert.Disposition, error) {
	d.submitting.Add(1)
	defer d.submitting.Add(-1)
	out := make([]alert.Disposition, len(b.Alerts))
	verdicts := make([]verdict, len(b.Alerts))
	runs := make([]*run, len(b.Alerts)) // that serve the alerts
	var fresh []*run
	var pleas []*plea
	id := d.identify(&b)

	d.mu.Lock()
	now := d.opts.Now()
	for i := range b.Alerts {
		var isNew bool
		verdicts[i], runs[i], isNew = d.judge(&b, &b.Alerts[i], &id, now)
		if isNew {
			fresh = append(fresh, runs[i])
		}
		if verdicts[i].disposition == alert.NeedsHuman {
			pleas = append(pleas, d.pleaOf(&b, &b.Alerts[i]))
		}
	}
	d.mu.Unlock()

	d.plead(ctx, pleas)
	d.begin(ctx, fresh)
	var failed error
	for i := range b.Alerts {
		a, v := &b.Alerts[i], &verdicts[i]
		if err := d.settle(ctx, v, runs[i]); failed == nil {
			failed = err
		}
		out[i] = alert.Disposition{Fingerprint: a.Fingerprint, Disposition: v.disposition, Reason: v.reason, RunID: v.runID}
		if runs[i] != nil && v.disposition != alert.Refused {
			out[i].RunID = runs[i].id
		}
		d.report(&b, a, v)
	}
	return out, failed
}

// identify returns the names that count for a batch. The Host of a request that brings an alert of just
// that instance is learned: whoever may send alerts has addressed this exporter by it.
func (d *Dispatcher) identify(b *alert.Batch) identity {
	host := alert.NormalizeInstance(b.Host)
	if host != "" && slices.ContainsFunc(b.Alerts, func(a alert.Alert) bool { return alert.NormalizeInstance(a.Labels[alert.LabelInstance]) == host }) {
		d.LearnHost(host)
	}
	return d.names.identity(host)
}

// judge decides about one alert and makes or joins its run. It is called with the lock held.
func (d *Dispatcher) judge(b *alert.Batch, a *alert.Alert, id *identity, now time.Time) (v verdict, r *run, isNew bool) {
	target := d.targets[a.Target()]
	key := playbookKey{a.Target(), a.Playbook()}
	state, playbook := d.playbooks[key], target.Playbooks[key.playbook]
	state.clamp(now)
	q := d.question(b, a, id, now)
	m := d.modeAt(&target, &playbook, q.level)
	q.mode, q.spent = m, state.spent(&playbook, now)
	q.proposal, q.proposed = d.proposalOf(key.target, key.playbook, "", &playbook, q.level)
	state.view(&q, m, a.Key())
	v = decide(q)
	if a.Status == alert.StatusResolved {
		state.resolved(a.Fingerprint)
		d.relieved(key, a.Fingerprint)
	}
	defer func() { d.heard(b.Trigger, a, &q, &v, m) }()
	switch {
	case v.join:
		state.open.progress.early = false
		state.open.progress.level = max(state.open.progress.level, q.level)
		if v.disposition == alert.Accepted {
			state.open.progress.serve(a, b.Trigger)
		}
		return v, state.open, false
	case v.disposition != alert.Accepted:
		if v.disposition == alert.Duplicate || v.disposition == alert.Cooldown {
			v.runID = state.holding(m).LastRun
		}
		if v.disposition == alert.Proposed {
			d.proposals[q.proposed].joins(a.Fingerprint)
		}
		if v.disposition == alert.Waiting {
			v.runID = state.wait.joined(a.Key())
		}
		return v, nil, false
	}
	r = d.newRun(&target, playbook, b.Trigger)
	r.guarded, r.breaks, r.alert, r.fingerprint = true, v.breaks, a.Name(), a.Fingerprint
	if passesAlertOn(r.steps) {
		r.first = a
	}
	r.progress.level = q.level
	r.progress.serve(a, b.Trigger)
	d.own(r, key)
	d.spend(r, q.budget)
	return v, r, true
}

// question gathers what is known about an alert without its playbook's past. It is called with the
// lock held.
func (d *Dispatcher) question(b *alert.Batch, a *alert.Alert, id *identity, now time.Time) question {
	target, hasTarget := d.targets[a.Target()]
	playbook, hasPlaybook := target.Playbooks[a.Playbook()]
	level := levelOf(a)
	return question{
		pause: d.pausedBy(target.Name), closed: playbook.closed(level, now), budget: playbook.Budget,
		alert: a, inside: isInside(b.Trigger), id: id,
		hasTarget: hasTarget, hasPlaybook: hasPlaybook,
		targets:   func() []string { return slices.Sorted(maps.Keys(d.targets)) },
		playbooks: func() []string { return slices.Sorted(maps.Keys(target.Playbooks)) },
		level:     level, now: now, full: d.queued >= d.opts.QueueLength, draining: d.draining,
		applies: slices.ContainsFunc(playbook.Steps, func(s Step) bool { return s.applies(level) }),
	}
}

// own makes a run the open run of its playbook. It is called with the lock held.
func (d *Dispatcher) own(r *run, key playbookKey) {
	r.key, r.state = key, d.stateOf(key)
	r.state.open, r.state.wait, r.state.again = r, nil, time.Time{}
}

// begin writes the intents of new runs, all in one sync, and puts them in the queue. It always
// closes their begun.
func (d *Dispatcher) begin(ctx context.Context, fresh []*run) {
	if len(fresh) == 0 {
		return
	}
	records := make([]journal.Record, len(fresh))
	d.mu.Lock()
	for i, r := range fresh {
		records[i] = r.record(d.opts.Now(), r.progress.level)
	}
	d.mu.Unlock()
	err := d.keepSpent(ctx, fresh)
	var ids []string
	if err == nil {
		ids, err = d.opts.Journal.BeginAll(ctx, records)
	}
	if err != nil {
		d.withdraw(fresh, fmt.Errorf("%w: %w", ErrJournal, err))
	} else {
		d.admit(fresh, ids)
	}
	for _, r := range fresh {
		close(r.begun)
	}
}

// withdraw undoes runs whose intent could not be recorded.
func (d *Dispatcher) withdraw(fresh []*run, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range fresh {
		r.err = err
		d.queued--
		delete(d.open, r)
		if r.state != nil {
			r.state.refund(r)
			r.state.open = nil
		}
	}
}

// admit puts recorded runs in the queue. When the exporter is shutting down, they end instead.
func (d *Dispatcher) admit(fresh []*run, ids []string) {
	d.mu.Lock()
	draining := d.draining
	for i, r := range fresh {
		r.id = ids[i]
		if draining {
			r.err = ErrDraining
			d.queued--
			continue
		}
		d.enqueue(r)
	}
	d.mu.Unlock()
	if !draining {
		return
	}
	for _, r := range fresh {
		d.finish(r, result{outcome: journal.OutcomeInterrupted, err: ErrDraining})
	}
}

// settle waits until the run that serves an alert is recorded.
func (d *Dispatcher) settle(ctx context.Context, v *verdict, r *run) error {
	switch v.skip {
	case SkipDraining:
		return ErrDraining
	case SkipQueueFull:
		return ErrQueueFull
	case SkipInstance:
		return fmt.Errorf("%w: %s", ErrInstance, v.reason)
	}
	if r == nil {
		return nil
	}
	err := error(nil)
	select {
	case <-r.begun:
		err = r.err
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrJournal, ctx.Err())
	}
	if err == nil {
		return nil
	}
	v.disposition, v.skip, v.reason = alert.Refused, SkipJournal, ErrJournal.Error()
	if errors.Is(err, ErrDraining) {
		v.skip, v.reason = SkipDraining, ErrDraining.Error()
	}
	return err
}

// report counts and logs what was decided about an alert.
func (d *Dispatcher) report(b *alert.Batch, a *alert.Alert, v *verdict) {
	if b.Trigger == alert.TriggerWebhook {
		d.metrics.alerts.WithLabelValues(v.disposition).Inc()
	}
	if v.skip != "" {
		d.countSkips(a.Target(), a.Playbook(), v.skip)
	}
	key := playbookKey{a.Target(), a.Playbook()}
	switch {
	case v.disposition == alert.Accepted:
		d.heldBack.forget(key)
	case d.heldBack.first(key, v):
		d.log.Info("nothing begins for an alert", "target", a.Target(), "playbook", a.Playbook(), "alertname", a.Name(), "disposition", v.disposition, "reason", v.reason)
	default:
		d.log.Debug("alert", "alertname", a.Name(), "target", a.Target(), "playbook", a.Playbook(), "fingerprint", a.Fingerprint,
			"trigger", string(b.Trigger), "disposition", v.disposition, "reason", v.reason)
	}
}

// maxHeldBack bounds the reasons of one playbook that are remembered.
const maxHeldBack = 16

// heldBack remembers why playbooks did not begin, so that repeated alerts say it once until one begins. The zero
// value is ready.
type heldBack struct {
	mu   sync.Mutex
	said map[playbookKey][]string
}

// first reports whether something holds a playbook back that was not said before.
func (h *heldBack) first(key playbookKey, v *verdict) bool {
	switch v.disposition {
	case alert.Cooldown, alert.Paused, alert.Closed:
	default:
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	said := h.said[key]
	if slices.Contains(said, v.reason) {
		return false
	}
	if h.said == nil {
		h.said = make(map[playbookKey][]string)
	}
	h.said[key] = append(said[max(0, len(said)+1-maxHeldBack):], v.reason)
	return true
}

// forget has what holds a playbook back said anew, since it has begun.
func (h *heldBack) forget(key playbookKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.said, key)
}

// countSkips counts every action of the playbook as not run.
func (d *Dispatcher) countSkips(target, playbook, reason string) {
	d.mu.Lock()
	t, known := d.targets[target]
	steps := t.Playbooks[playbook].Steps
	d.mu.Unlock()
	if !known {
		target = otherTarget
	}
	if len(steps) == 0 {
		d.metrics.skips.WithLabelValues(target, noAction, reason).Inc()
	}
	for _, s := range steps {
		d.metrics.skips.WithLabelValues(target, s.Do, reason).Inc()
	}
}
