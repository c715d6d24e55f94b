package health

import (
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// normal is what is said where there is nothing to do.
const normal = "System operating normally"

// Alert is an alert that fires.
type Alert struct{ Name, Severity, Summary string }

// Warn adds alerts that fire to what is recommended. The rules are evaluated elsewhere, and a target for
// which one fires is not well, whatever its own numbers say.
func (t *Target) Warn(alerts []Alert) {
	if len(alerts) == 0 {
		return
	}
	t.alerts = append(t.alerts, alerts...)
	var out []Recommendation
	for _, a := range alerts {
		priority, summary := low, a.Summary
		switch a.Severity {
		case "critical":
			priority = high
		case "warning":
			priority = medium
		}
		if summary == "" {
			summary = "see the alerts on the status page"
		}
		out = append(out, Recommendation{priority, a.Name + " fires: " + summary})
	}
	t.add(out)
}

// Advise adds what the records of the past advise. There is no hurry.
func (t *Target) Advise(advice []string) {
	if len(advice) == 0 {
		return
	}
	out := make([]Recommendation, len(advice))
	for i, text := range advice {
		out[i] = Recommendation{low, text}
	}
	t.add(out)
}

// Outdated says that what is known of a target is old, or that nothing is.
func (t *Target) Outdated() {
	t.add([]Recommendation{{high, "Nothing new has been read of " + t.Name + ": the status page says why"}})
}

// add adds to what is recommended. Nothing is normal then.
func (t *Target) add(more []Recommendation) {
	var out []Recommendation
	for _, r := range t.Recommendations {
		if r.Action != normal {
			out = append(out, r)
		}
	}
	t.Recommendations = append(out, more...)
	sortByPriority(t.Recommendations)
}

// source is one that cannot be read.
type source struct{ kind, name string }

func (s source) String() string {
	if _, isFolder := policy.KindOf(s.kind); isFolder {
		return fmt.Sprintf("The folder of %s %s cannot be read or does not exist: create it, or correct its dir; the status page says why", s.kind, s.name)
	}
	return fmt.Sprintf("The source %s cannot be read: the status page says why", s.kind)
}
