package eval

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

const (
	stateVersion = 1
	maxStateSize = 16 << 20
	saveEvery    = time.Minute // at least, while there are alerts
	// outageTolerance is the longest stop after which alerts are still those of before.
	outageTolerance = time.Hour
)

// StateStore keeps one blob over a restart.
type StateStore interface {
	// Get returns what Put stored last, nil when there is nothing.
	Get() ([]byte, error)
	// Put stores the blob durably.
	Put(blob []byte) error
}

// Value is a sample's value. In JSON it is text, because NaN and the infinities are none.
type Value float64

// MarshalText implements encoding.TextMarshaler.
func (v Value) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(v), 'g', -1, 64), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Value) UnmarshalText(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", text)
	}
	*v = Value(f)
	return nil
}

type savedState struct {
	Version int          `json:"version"`
	SavedAt time.Time    `json:"saved_at"`
	Alerts  []savedAlert `json:"alerts"`
}

type savedAlert struct {
	Rule        string            `json:"rule"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	State       state             `json:"state"`
	Value       Value             `json:"value"`
	ActiveAt    time.Time         `json:"active_at"`
	FiredAt     time.Time         `json:"fired_at,omitzero"`
	ResolvedAt  time.Time         `json:"resolved_at,omitzero"`
	LastSent    time.Time         `json:"last_sent,omitzero"`
	KeepSince   time.Time         `json:"keep_since,omitzero"`
}

// load reads the state of before the restart.
func (e *Evaluator) load() {
	if e.o.State == nil {
		return
	}
	blob, err := e.o.State.Get()
	if err == nil && len(blob) == 0 {
		return
	}
	var s savedState
	if err == nil {
		s, err = decodeState(blob)
	}
	if err != nil {
		e.o.Logger.Warn("alerts of before the restart are not known, starting afresh", "err", err)
		return
	}
	e.restored, e.savedAt = s.Alerts, s.SavedAt
}

func decodeState(blob []byte) (savedState, error) {
	var s savedState
	if len(blob) > maxStateSize {
		return s, fmt.Errorf("evaluator state of %d bytes is larger than %d", len(blob), maxStateSize)
	}
	if err := json.Unmarshal(blob, &s); err != nil {
		return s, fmt.Errorf("decode evaluator state: %w", err)
	}
	if s.Version != stateVersion {
		return s, fmt.Errorf("evaluator state has version %d, this program reads %d", s.Version, stateVersion)
	}
	for i := range s.Alerts {
		a := &s.Alerts[i]
		switch {
		case a.State != statePending && a.State != stateFiring && a.State != stateInactive:
			return s, fmt.Errorf("evaluator state: alert %d has the unknown state %q", i, a.State)
		case a.Labels[labels.AlertName] == "":
			return s, fmt.Errorf("evaluator state: alert %d has no name", i)
		case a.ActiveAt.IsZero() || a.State != statePending && a.FiredAt.IsZero() || a.State == stateInactive && a.ResolvedAt.IsZero():
			return s, fmt.Errorf("evaluator state: alert %d lacks a time", i)
		}
	}
	return s, nil
}

// restore gives the alerts of before the restart to their rules.
func (e *Evaluator) restore() {
	if len(e.restored) == 0 {
		return
	}
	rules := make(map[string]*rule)
	for _, g := range e.groups {
		for _, r := range g.rules {
			if r.alerting {
				rules[r.key] = r
			}
		}
	}
	rest := e.restored[:0]
	for _, s := range e.restored {
		r := rules[s.Rule]
		if r == nil {
			rest = append(rest, s)
			continue
		}
		a := newActive(labels.FromMap(s.Labels))
		a.annotations, a.state, a.value = s.Annotations, s.State, float64(s.Value)
		a.activeAt, a.firedAt, a.resolvedAt, a.lastSent, a.keepSince = s.ActiveAt, s.FiredAt, s.ResolvedAt, s.LastSent, s.KeepSince
		r.active[a.labels.Hash()] = a
	}
	e.restored = rest
}

// recover settles, at the first evaluation, what the stop means for restored alerts: after a short
// one a pending alert goes on waiting from where it was, because no one looked in between; a
// firing one is still the same alert, so that it is not acted on twice. After a long one nothing
// of before counts.
func (e *Evaluator) recover(now time.Time) {
	if e.savedAt.IsZero() {
		return
	}
	stopped := now.Sub(e.savedAt)
	e.savedAt, e.restored = time.Time{}, nil
	for _, g := range e.groups {
		for _, r := range g.rules {
			for h, a := range r.active {
				switch {
				case stopped > outageTolerance:
					delete(r.active, h)
				case stopped < 0: // the clock was set back in between
					a.shift(stopped)
				case a.state == statePending:
					a.activeAt = a.activeAt.Add(stopped)
				case !a.keepSince.IsZero():
					a.keepSince = a.keepSince.Add(stopped)
				}
			}
		}
	}
}

// save writes the state when it changed, and once a minute while there are alerts, so that the
// length of a stop is known.
func (e *Evaluator) save(now time.Time, force bool) error {
	if e.o.State == nil {
		return nil
	}
	e.mu.Lock()
	s := savedState{Version: stateVersion, SavedAt: now.UTC(), Alerts: []savedAlert{}}
	for _, g := range e.groups {
		for _, r := range g.rules {
			for _, a := range r.sorted() {
				s.Alerts = append(s.Alerts, a.saved(r.key))
			}
		}
	}
	aged := len(s.Alerts) > 0 && (now.Sub(e.saved) >= saveEvery || now.Before(e.saved))
	if !e.savedAt.IsZero() || !force && !e.changed && !aged {
		e.mu.Unlock() // nothing was evaluated yet, or there is nothing new
		return nil
	}
	e.changed, e.saved = false, now
	e.mu.Unlock()

	blob, err := json.Marshal(s)
	if err == nil {
		err = e.o.State.Put(blob)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		if !e.stateErr {
			e.o.Logger.Warn("the state of alerts cannot be written; a restart would forget them", "err", err)
		}
		e.changed, e.stateErr = true, true
		return fmt.Errorf("write evaluator state: %w", err)
	}
	e.stateErr = false
	return nil
}

func (a *active) saved(key string) savedAlert {
	return savedAlert{
		Rule: key, Labels: a.labels.Map(), Annotations: a.annotations, State: a.state, Value: Value(a.value),
		ActiveAt: a.activeAt.UTC(), FiredAt: a.firedAt.UTC(), ResolvedAt: a.resolvedAt.UTC(), LastSent: a.lastSent.UTC(), KeepSince: a.keepSince.UTC(),
	}
}
