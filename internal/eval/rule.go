package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// The series that the evaluator makes itself, as a Prometheus does.
const (
	seriesUp       = "up"
	seriesAlerts   = "ALERTS"
	seriesForState = "ALERTS_FOR_STATE"
)

const (
	// resolvedKeep is how long a resolved alert is remembered and submitted again.
	resolvedKeep = 15 * time.Minute
	// resendDelay is the time between two notifications of the same state.
	resendDelay = time.Minute
)

var errSameLabels = errors.New("two results of the expression have the same labels once the rule's labels are set; keep a label that distinguishes them")

// state of an alert.
type state string

const (
	stateInactive state = "inactive" // was firing and is resolved
	statePending  state = "pending"
	stateFiring   state = "firing"
)

// active is one alert of a rule: one result of its expression over time.
type active struct {
	labels      labels.Labels
	target      string // its label target
	fingerprint string
	state       state
	value       float64
	activeAt    time.Time
	firedAt     time.Time
	resolvedAt  time.Time
	lastSent    time.Time
	keepSince   time.Time // since when only keep_firing_for holds it
	readAt      time.Time // of the reading that it began with; zero where that is not known

	sample      promql.Sample // the newest result, for the annotations
	sampledAt   time.Time     // when; zero for an alert that was restored and not seen since
	expanded    bool          // annotations belong to sample
	annotations map[string]string
}

func newActive(ls labels.Labels) *active {
	return &active{labels: ls, target: ls.Get(labelTarget), fingerprint: fingerprint(ls)}
}

// rule is a rule with what it remembers.
type rule struct {
	*ruleDef
	active map[uint64]*active
	w      writer

	lastErr      error
	lastErrText  string
	lastEval     time.Time
	lastDuration time.Duration
	evaluated    bool
}

func newRule(d *ruleDef) *rule { return &rule{ruleDef: d, active: make(map[uint64]*active)} }

// evaluation is what rules need of one evaluation.
type evaluation struct {
	at      time.Time
	ask     template.QueryFunc // for expressions
	query   template.QueryFunc // for templates
	mem     *memory
	changed bool                 // some alert changed its state
	turned  []turn               // alerts that began or ended
	targets map[string]bool      // that are judged; nil: everything is
	read    map[string]time.Time // when what is new of a target was read
}

// concerns reports whether the evaluation is about an alert.
func (ev *evaluation) concerns(a *active) bool { return ev.targets == nil || ev.targets[a.target] }

// close ends a round of writes of a rule.
func (ev *evaluation) close(w *writer, at time.Time) {
	if ev.targets == nil {
		ev.mem.end(w, at.UnixMilli())
		return
	}
	ev.mem.endPart(w, at.UnixMilli(), ev.targets, func(string) bool { return true })
}

// run evaluates the rule at the moment of ev less the group's offset.
func (r *rule) run(ctx context.Context, ev *evaluation, offset time.Duration, limit int) error {
	at := ev.at.Add(-offset)
	result, err := ev.ask(ctx, r.expr, at)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	if r.alerting {
		return r.alert(ctx, ev, result, at, limit)
	}
	return r.record(ev, result, at, limit)
}

func (r *rule) record(ev *evaluation, result promql.Vector, at time.Time, limit int) error {
	if limit > 0 && len(result) > limit {
		return fmt.Errorf("%d series are more than the group's limit of %d", len(result), limit)
	}
	ev.mem.begin(&r.w)
	var errs []error
	lb := labels.NewBuilder(labels.EmptyLabels())
	for i := range result {
		s := &result[i]
		if s.H != nil {
			errs = append(errs, errors.New("a native histogram cannot be recorded; record its quantile or its rate"))
			continue
		}
		lb.Reset(s.Metric)
		lb.Set(model.MetricNameLabel, r.name)
		r.labels.Range(func(l labels.Label) { lb.Set(l.Name, l.Value) })
		if err := ev.mem.writeLabels(&r.w, lb.Labels(), at.UnixMilli(), s.F); err != nil {
			errs = append(errs, err)
		}
	}
	ev.mem.end(&r.w, at.UnixMilli())
	return errors.Join(errs...)
}

// alert is the state machine: what the expression returned becomes pending, then firing; what it
// does not return any more is dropped when pending, held by keep_firing_for, or resolved.
func (r *rule) alert(ctx context.Context, ev *evaluation, result promql.Vector, at time.Time, limit int) error {
	seen := make(map[uint64]bool, len(result))
	lb := labels.NewBuilder(labels.EmptyLabels())
	found := make([]active, 0, len(result))
	for i := range result {
		ls := r.alertLabels(ctx, ev, lb, &result[i])
		h := ls.Hash()
		if seen[h] {
			return errSameLabels
		}
		seen[h] = true
		found = append(found, active{labels: ls, sample: result[i]})
	}
	for i := range found {
		n := &found[i]
		h := n.labels.Hash()
		a := r.active[h]
		if a == nil || a.state == stateInactive {
			a = newActive(n.labels)
			a.state, a.activeAt, a.readAt = statePending, ev.at, ev.read[a.target]
			if !a.readAt.IsZero() && a.readAt.Before(ev.at) {
				a.activeAt = a.readAt // `for` counts from the reading
			}
			r.active[h] = a
			ev.changed = true
		}
		a.sample, a.value, a.sampledAt, a.expanded = n.sample, n.sample.F, ev.at, false
	}
	var living []*active
	for h, a := range r.active {
		if ev.concerns(a) && r.step(ev, h, a, seen[h]) {
			living = append(living, a)
		}
	}
	if limit > 0 && len(living) > limit {
		clear(r.active)
		ev.changed = true
		return fmt.Errorf("%d alerts are more than the group's limit of %d", len(living), limit)
	}
	ev.mem.begin(&r.w)
	for _, a := range living {
		r.writeBack(ev, a, at)
	}
	ev.close(&r.w, at)
	return nil
}

// step moves one alert and reports whether it is pending or firing afterwards.
func (r *rule) step(ev *evaluation, h uint64, a *active, present bool) bool {
	if !present {
		if a.state == stateFiring && r.keepFiring > 0 {
			if a.keepSince.IsZero() {
				a.keepSince, ev.changed = ev.at, true
			}
			if ev.at.Sub(a.keepSince) < r.keepFiring {
				return r.settle(ev, a)
			}
		}
		if a.state == statePending || (!a.resolvedAt.IsZero() && ev.at.Sub(a.resolvedAt) > resolvedKeep) {
			delete(r.active, h)
			ev.changed = true
		}
		if a.state == stateFiring {
			ev.turned = append(ev.turned, turn{r, a, alert.StatusResolved})
		}
		if a.state != stateInactive {
			a.state, a.resolvedAt, ev.changed = stateInactive, ev.at, true
		}
		return false
	}
	a.keepSince = time.Time{}
	return r.settle(ev, a)
}

// settle decides between pending and firing by how long the alert has been active.
func (r *rule) settle(ev *evaluation, a *active) bool {
	held := ev.at.Sub(a.activeAt) >= r.hold
	switch {
	case a.state == statePending && held:
		a.state, a.firedAt, ev.changed = stateFiring, ev.at, true
		ev.turned = append(ev.turned, turn{r, a, alert.StatusFiring})
	case a.state == stateFiring && !held: // a reload made `for` longer
		a.state, ev.changed = statePending, true
		a.firedAt, a.lastSent, a.keepSince = time.Time{}, time.Time{}, time.Time{}
	}
	return true
}

// writeBack gives ALERTS and ALERTS_FOR_STATE to rules that read them.
func (r *rule) writeBack(ev *evaluation, a *active, at time.Time) {
	if ev.mem.wants(seriesAlerts) {
		lb := labels.NewBuilder(a.labels).Set(model.MetricNameLabel, seriesAlerts).Set("alertstate", string(a.state))
		_ = ev.mem.writeLabels(&r.w, lb.Labels(), at.UnixMilli(), 1) // two alerts of a rule differ in their labels
	}
	if ev.mem.wants(seriesForState) {
		lb := labels.NewBuilder(a.labels).Set(model.MetricNameLabel, seriesForState)
		_ = ev.mem.writeLabels(&r.w, lb.Labels(), at.UnixMilli(), float64(a.activeAt.Unix()))
	}
}

func (r *rule) alertLabels(ctx context.Context, ev *evaluation, lb *labels.Builder, s *promql.Sample) labels.Labels {
	lb.Reset(s.Metric)
	lb.Del(model.MetricNameLabel)
	r.labels.Range(func(l labels.Label) { lb.Set(l.Name, r.expand(ctx, ev, ev.at, s, l.Value)) })
	lb.Set(labels.AlertName, r.name)
	return lb.Labels()
}

// annotate brings the annotations up to the newest result, as of its time. It is done when they
// are looked at, because most evaluations change nothing that anybody sees.
func (r *rule) annotate(ctx context.Context, ev *evaluation, a *active) {
	if a.expanded || a.sampledAt.IsZero() {
		return
	}
	a.annotations = make(map[string]string, r.annotations.Len())
	r.annotations.Range(func(l labels.Label) {
		a.annotations[l.Name] = r.expand(ctx, ev, a.sampledAt, &a.sample, l.Value)
	})
	a.expanded = true
}

func (r *rule) expand(ctx context.Context, ev *evaluation, at time.Time, s *promql.Sample, text string) string {
	if !isTemplate(text) {
		return text
	}
	data := template.AlertTemplateData(s.Metric.Map(), map[string]string{}, "", *s)
	out, err := template.NewTemplateExpander(ctx, templateVars+text, "__alert_"+r.name, data,
		model.TimeFromUnixNano(at.UnixNano()), ev.query, nil, nil).Expand()
	if err != nil {
		return fmt.Sprintf("<error expanding template: %s>", err)
	}
	return out
}

// adopt takes over what the same rule remembered before a reload.
func (r *rule) adopt(old *rule) {
	r.active, r.w = old.active, old.w
	for _, s := range r.w.series {
		if s.owner == &old.w {
			s.owner = &r.w
		}
	}
	for _, a := range r.active {
		if a.state != stateInactive {
			a.expanded = false // the annotations may be written otherwise now
		}
	}
	r.lastErr, r.lastErrText, r.lastEval, r.lastDuration, r.evaluated = old.lastErr, old.lastErrText, old.lastEval, old.lastDuration, old.evaluated
}

// sorted returns the alerts in the order of their labels.
func (r *rule) sorted() []*active { return r.sortedWhere(func(*active) bool { return true }) }

// sortedWhere returns those that keep approves, in the order of their labels.
func (r *rule) sortedWhere(keep func(*active) bool) []*active {
	var out []*active
	for _, a := range r.active {
		if keep(a) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *active) int { return labels.Compare(a.labels, b.labels) })
	return out
}

// fingerprint is the one that Alertmanager shows for these labels.
func fingerprint(ls labels.Labels) string {
	set := make(model.LabelSet, ls.Len())
	ls.Range(func(l labels.Label) { set[model.LabelName(strings.Clone(l.Name))] = model.LabelValue(l.Value) })
	return set.Fingerprint().String()
}
