package eval

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// Remedy is an alerting rule that asks for a playbook.
type Remedy struct {
	Group, Name string
	Playbook    string   // "" where the alert says which
	Reads       []string // names of metrics
	Hold        time.Duration
}

// asks reports whether a rule asks for a playbook.
func (d *ruleDef) asks() bool { return d.alerting && d.labels.Get(alert.LabelPlaybook) != "" }

// Remedies returns the rules that ask for a playbook, with those that record, without their annotations, which are for
// people; and what they read. Of those that ask, the set holds the ones that keep wants.
func (r *Ruleset) Remedies(keep func(reads []string) bool) (*Ruleset, []Remedy) {
	out := &Ruleset{needs: make(map[string]time.Duration), interval: r.interval}
	var list []Remedy
	for _, g := range r.groups {
		kept := *g
		kept.rules = nil
		for _, d := range g.rules {
			if d.alerting && !d.asks() {
				continue
			}
			if d.alerting {
				reads := selected(d)
				r := Remedy{Group: g.name, Name: d.name, Reads: reads, Hold: d.hold}
				if name := d.labels.Get(alert.LabelPlaybook); !isTemplate(name) {
					r.Playbook = name
				}
				list = append(list, r)
				if !keep(reads) {
					continue
				}
			}
			plain := *d
			plain.annotations = labels.EmptyLabels()
			kept.rules = append(kept.rules, &plain)
			for metric, back := range d.needs {
				out.needs[metric] = max(out.needs[metric], back)
			}
		}
		if len(kept.rules) > 0 {
			out.groups = append(out.groups, &kept)
		}
	}
	return out, list
}

// selected returns the names of the metrics that the expression of a rule reads.
func selected(d *ruleDef) []string {
	names, _, err := reads(d.ast)
	if err != nil {
		return d.reads
	}
	slices.Sort(names)
	return names
}

// Firing is an alert that fires or is about to.
type Firing struct {
	Group, Name, Fingerprint string
	Target, Playbook         string
	Since                    time.Time // its condition holds
	Fires                    bool
	Again                    time.Time // it is submitted then; zero while it does not fire
}

// Active returns the alerts that are pending or fire, and the first moment from which an evaluation may find another state
// of them although nothing that is read changes. The zero time when there is none.
func (e *Evaluator) Active() (list []Firing, next time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
		for _, r := range g.rules {
			for _, a := range r.sorted() {
				if a.state == stateInactive {
					continue
				}
				f := Firing{
					Group: g.name, Name: r.name, Fingerprint: a.fingerprint, Target: a.target, Playbook: a.labels.Get(alert.LabelPlaybook),
					Since: a.activeAt, Fires: a.state == stateFiring,
				}
				due := a.activeAt.Add(r.hold)
				if f.Fires {
					due, f.Again = time.Time{}, a.lastSent.Add(resendDelay+time.Millisecond)
					if !a.keepSince.IsZero() {
						due = a.keepSince.Add(r.keepFiring)
					}
				}
				if !due.IsZero() && (next.IsZero() || due.Before(next)) {
					next = due
				}
				list = append(list, f)
			}
		}
	}
	return list, next
}
