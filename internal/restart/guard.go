package restart

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// The reasons for which a restart is refused, as they stand in spillway_action_skips_total and
// spillway_restart_needs_human.
const (
	ReasonBudget      = "restart_budget"        // of the target
	ReasonHostBudget  = "restart_host_budget"   // of all targets
	ReasonWillNotHelp = "restart_will_not_help" // memory was as full right after the last start
	ReasonFailed      = "restart_unit_failed"   // the manager has given it up
	ReasonStopped     = "restart_not_running"
	ReasonBusy        = "restart_busy"       // the manager is at it, or the host shuts down
	ReasonUnseen      = "restart_unseen"     // an earlier attempt may have had its effect a moment ago
	ReasonRepeated    = "restart_repeated"   // the same intent again
	ReasonNotIts      = "restart_not_its"    // the target's processes are elsewhere
	ReasonChanged     = "restart_changed"    // it was restarted, or recovered, meanwhile
	ReasonDisruption  = "restart_disruption" // a disruption budget of Kubernetes
	ReasonDrained     = "restart_drained"    // it may still be drained for a restart that did not happen; never a refusal
)

// unseenRest is how long nothing is restarted after an attempt whose end was not seen and which did, or may have had
// or still have, its effect.
const unseenRest = 10 * time.Minute

// Refusal says why a restart does not happen. Nothing was changed.
type Refusal struct{ Reason, Text string }

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

// NeedsHuman reports whether waiting does not help.
func (r *Refusal) NeedsHuman() bool {
	switch r.Reason {
	case ReasonBudget, ReasonHostBudget, ReasonWillNotHelp, ReasonFailed, ReasonNotIts:
		return true
	}
	return false
}

// RefusalOf returns the refusal that an error is, nil when it is none.
func RefusalOf(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	if errors.Is(err, ErrBudget) {
		return &Refusal{ReasonDisruption, err.Error()}
	}
	if errors.Is(err, ErrBusy) {
		return &Refusal{ReasonBusy, err.Error()}
	}
	return nil
}

// Question is what a decision is made of.
type Question struct {
	What   string // is to be restarted
	Now    time.Time
	Below  series.Level // the level that the restart is to bring memory below
	State  State
	First  Reading // right after the last start
	Last   Attempt // the newest; its zero value when there is none
	Since  Attempt // the one that the present start is of; its zero value when that is not known
	Spent  *Refusal
	NotIts string // how it is known that the target's processes are elsewhere; "" when they are not
}

// Decide says why a restart is refused, nil when it is not.
func Decide(q *Question) *Refusal {
	switch q.State.Phase {
	case Broken:
		return &Refusal{ReasonFailed, fmt.Sprintf("%s is %s: find out why, and start it by hand", q.What, q.State.Text)}
	case Stopped:
		return &Refusal{ReasonStopped, fmt.Sprintf("%s is %s: what someone has stopped is not started", q.What, q.State.Text)}
	case Busy, Closing:
		return &Refusal{ReasonBusy, fmt.Sprintf("%s is %s", q.What, q.State.Text)}
	}
	switch {
	case q.NotIts != "":
		return &Refusal{ReasonNotIts, q.NotIts}
	case q.Last.mayHaveActed(&q.State) && q.Now.Sub(q.Last.Time) < unseenRest:
		return &Refusal{ReasonUnseen, fmt.Sprintf("the end of a restart that began at %s was not seen: %s is left alone until %s",
			q.Last.Time.UTC().Format(time.TimeOnly), q.What, q.Last.Time.Add(unseenRest).UTC().Format(time.TimeOnly))}
	case q.Spent != nil:
		return q.Spent
	case q.First.Known && q.First.Level >= int(q.Below):
		return &Refusal{ReasonWillNotHelp, fmt.Sprintf("a restart will not help: right after its last start there was %s, which is not below %s", q.First.Text, q.Below)}
	case !q.First.Known && q.Since.Full != "" && q.Since.Level >= int(q.Below):
		return &Refusal{ReasonWillNotHelp, fmt.Sprintf("a restart will not help: right after the last one, at %s, there was %s, which is not below %s",
			q.Since.Time.UTC().Format(time.TimeOnly), q.Since.Full, q.Below)}
	}
	return nil
}

// mayHaveActed reports whether an attempt whose end was not written has restarted the service, or may have: it runs
// as another start than before, the manager does not distinguish starts, or it may be at work on it unseen.
func (a *Attempt) mayHaveActed(now *State) bool {
	return a.Stage == Asked && (a.Instance == "" || a.Instance != now.Instance || !now.Shows)
}

// Elsewhere says that the processes of a target are not what would be restarted; "" where they are, or that is not
// known.
func Elsewhere(spec *Spec, place *Place, now *State) string {
	switch {
	case spec.Via == ViaSystemd && place.Unit != spec.Unit && strings.HasPrefix(place.Unit, "user@"):
		return fmt.Sprintf("the target's processes are below %s, and units of a user's own systemd are not restarted: write via: command", place.Unit)
	case spec.Via == ViaSystemd && place.Unit != "" && place.Unit != spec.Unit:
		return fmt.Sprintf("the target's processes are in %s, not in %s: write unit: %s", place.Unit, spec.Unit, place.Unit)
	case now.ID != "" && place.Container != "" && place.Container != now.ID:
		return fmt.Sprintf("the target's processes are in container %.12s, not in %.12s: write its name", place.Container, now.ID)
	case spec.Via == ViaKubernetes && place.PodUID != "" && now.Instance != "" && place.PodUID != now.Instance:
		return fmt.Sprintf("the target's processes are in the pod of uid %s, not in %s", place.PodUID, spec.String())
	}
	return ""
}
