package dispatch

import (
	"context"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// plea is a remedy that is due and may not run any more: a person has to look.
type plea struct{ record journal.Record }

// pleaOf returns the record of it for an alert; nil where it has been recorded since the budget last had room. It
// is called with the lock held.
func (d *Dispatcher) pleaOf(b *alert.Batch, a *alert.Alert) *plea {
	return d.needsHuman(playbookKey{a.Target(), a.Playbook()}, b.Trigger, a, levelOf(a))
}

// needsHuman is pleaOf for an alert that is known to fire.
func (d *Dispatcher) needsHuman(key playbookKey, t alert.Trigger, a *alert.Alert, level series.Level) *plea {
	s, target := d.playbooks[key], d.targets[key.target]
	if s == nil || s.pleaded {
		return nil
	}
	s.pleaded = true
	p := target.Playbooks[key.playbook]
	r := run{request: request{
		target: key.target, playbook: key.playbook, steps: p.Steps, trigger: t, mode: d.modeOf(&target), alert: a.Name(), fingerprint: a.Fingerprint,
	}}
	rec := r.record(d.opts.Now(), level)
	rec.Outcome, rec.Alerts, rec.Detail = OutcomeNeedsHuman, 1, budgetText(key.playbook, p.Budget)
	return &plea{rec}
}

func budgetText(playbook string, b Budget) string {
	return fmt.Sprintf("%s has acted %d times in the last %s, which is its budget: a person has to look", playbook, b.AtMost, b.Per)
}

// plead records and reports that a person is needed.
func (d *Dispatcher) plead(ctx context.Context, list []*plea) {
	for _, p := range list {
		if p == nil {
			continue
		}
		r := &p.record
		d.metrics.playbook.WithLabelValues(r.Target, r.Playbook, r.Trigger, OutcomeNeedsHuman).Inc()
		d.log.Warn("a person is needed: the budget of a playbook is used up", "target", r.Target, "playbook", r.Playbook, "alertname", r.Alert, "level", r.Level)
		if err := d.recordDone(ctx, *r); err != nil {
			d.log.Error("it is not in the journal that a person is needed", "target", r.Target, "playbook", r.Playbook, "err", err)
		}
	}
}

// recordDone writes a record that has ended with what it holds.
func (d *Dispatcher) recordDone(ctx context.Context, r journal.Record) error {
	open := r
	open.Outcome = ""
	id, err := d.opts.Journal.Begin(ctx, open)
	if err != nil {
		return err
	}
	return d.opts.Journal.Finish(ctx, id, func(rec *journal.Record) {
		rec.Outcome, rec.Detail, rec.Alerts = r.Outcome, r.Detail, r.Alerts
	})
}
