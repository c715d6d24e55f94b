package eval

import (
	"context"
	"time"
)

// AlertState is one alert, for people: the page and /api/v1/alerts.
type AlertState struct {
	Name        string            `json:"name"`
	Group       string            `json:"group"`
	State       string            `json:"state"` // pending or firing
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Value       Value             `json:"value"`
	ActiveAt    time.Time         `json:"active_at"`         // since when the condition holds
	FiredAt     time.Time         `json:"fired_at,omitzero"` // since when it fires
	Fingerprint string            `json:"fingerprint"`
}

// RuleState is one rule with how its last evaluation went.
type RuleState struct {
	File           string    `json:"file"`
	Group          string    `json:"group"`
	Name           string    `json:"name"`
	Kind           string    `json:"kind"` // alerting or recording
	Expr           string    `json:"expr"`
	For            string    `json:"for,omitempty"`
	KeepFiringFor  string    `json:"keep_firing_for,omitempty"`
	State          string    `json:"state"` // unknown, inactive, pending, firing; ok of a recording rule
	Alerts         int       `json:"alerts"`
	LastError      string    `json:"last_error,omitempty"`
	LastEvaluation time.Time `json:"last_evaluation,omitzero"`
	DurationSecs   float64   `json:"last_duration_seconds"`
}

// Alerts returns the pending and firing alerts in the order of the rules.
func (e *Evaluator) Alerts() []AlertState {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := []AlertState{}
	ev := &evaluation{at: e.last, mem: e.mem, ask: e.query, query: e.query}
	for _, g := range e.groups {
		for _, r := range g.rules {
			for _, a := range r.sorted() {
				if a.state == stateInactive {
					continue
				}
				r.annotate(context.Background(), ev, a)
				out = append(out, AlertState{
					Name: r.name, Group: g.name, State: string(a.state), Labels: a.labels.Map(), Annotations: a.annotations,
					Value: Value(a.value), ActiveAt: a.activeAt, FiredAt: a.firedAt, Fingerprint: a.fingerprint,
				})
			}
		}
	}
	return out
}

// Rules returns every rule in its order.
func (e *Evaluator) Rules() []RuleState {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := []RuleState{}
	for _, g := range e.groups {
		for _, r := range g.rules {
			out = append(out, r.status())
		}
	}
	return out
}

func (r *rule) status() RuleState {
	s := RuleState{
		File: r.pos.file, Group: r.pos.group, Name: r.name, Kind: "recording", Expr: r.expr, State: "unknown",
		LastEvaluation: r.lastEval, DurationSecs: r.lastDuration.Seconds(), LastError: r.lastErrText,
	}
	if r.evaluated {
		s.State = "ok"
	}
	if !r.alerting {
		return s
	}
	s.Kind = "alerting"
	if r.hold > 0 {
		s.For = r.hold.String()
	}
	if r.keepFiring > 0 {
		s.KeepFiringFor = r.keepFiring.String()
	}
	if r.evaluated {
		s.State = string(stateInactive)
	}
	for _, a := range r.active {
		if a.state == stateInactive {
			continue
		}
		s.Alerts++
		if s.State != string(stateFiring) {
			s.State = string(a.state)
		}
	}
	return s
}
