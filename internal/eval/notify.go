package eval

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// receiver is the name in batches that come from here.
const receiver = "standalone"

// needsSending reports whether the alert's present state is to be submitted now.
func (a *active) needsSending(now time.Time) bool {
	switch {
	case a.state == statePending:
		return false
	case a.resolvedAt.After(a.lastSent):
		return true
	}
	return a.lastSent.Add(resendDelay).Before(now)
}

// pending returns what is to be submitted, and whose times are to be noted when it was taken. The
// highest level comes first, so that it is the one that a run is started for; apart from that the
// order is that of the rules. Where only some targets are judged, it is about those.
func (e *Evaluator) pending(ctx context.Context, ev *evaluation) (alert.Batch, []*active) {
	b := alert.Batch{Trigger: alert.TriggerStandalone, Receiver: receiver, GroupKey: receiver}
	var sent []*active
	for _, g := range e.groups {
		for _, r := range g.rules {
			if len(r.active) == 0 || r.lastErr != nil || ev.targets != nil && !r.local {
				continue // while a rule fails no one knows what is true: nothing is submitted, as in Prometheus
			}
			for _, a := range r.sortedWhere(func(a *active) bool { return ev.concerns(a) && a.needsSending(ev.at) }) {
				r.annotate(ctx, ev, a)
				n := a.notification()
				if e.o.Page != nil {
					n.GeneratorURL = e.o.Page(a.target)
				}
				b.Alerts = append(b.Alerts, n)
				sent = append(sent, a)
			}
		}
	}
	slices.SortStableFunc(b.Alerts, func(x, y alert.Alert) int { return cmp.Compare(rank(&y), rank(&x)) })
	return b, sent
}

// rank orders alerts by how much they press.
func rank(a *alert.Alert) series.Level {
	if a.Status != alert.StatusFiring {
		return -1
	}
	level, _ := series.ParseLevel(a.Labels[alert.LabelLevel])
	return level
}

// notification is the alert as Alertmanager's webhook would send it. The first one says when the
// reading was taken that the alert began with.
func (a *active) notification() alert.Alert {
	n := alert.Alert{
		Status: alert.StatusFiring, Labels: a.labels.Map(), Annotations: a.annotations,
		StartsAt: a.firedAt.UTC(), Fingerprint: a.fingerprint,
	}
	switch {
	case a.state == stateInactive:
		n.Status, n.EndsAt = alert.StatusResolved, a.resolvedAt.UTC()
	case a.lastSent.Before(a.firedAt):
		n.ReadAt = a.readAt
	}
	return n
}

// tell submits the batch. Only what was taken counts as submitted: after an error the same alerts are
// submitted again at the next evaluation.
func (e *Evaluator) tell(ctx context.Context, b alert.Batch, sent []*active, now time.Time) error {
	if len(b.Alerts) == 0 {
		return nil
	}
	_, err := e.o.Submit(ctx, b)
	e.metrics.told(len(b.Alerts), err)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		if !e.submitErr {
			e.o.Logger.Warn("alerts not accepted, sending them again at the next evaluation", "alerts", len(b.Alerts), "err", err)
		}
		e.submitErr = true
		return fmt.Errorf("submit %d alerts: %w", len(b.Alerts), err)
	}
	if e.submitErr {
		e.o.Logger.Info("alerts are accepted again", "alerts", len(b.Alerts))
	}
	e.submitErr = false
	for _, a := range sent {
		a.lastSent = now
	}
	return nil
}
