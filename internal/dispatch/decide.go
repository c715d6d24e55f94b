package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The reasons for which an action does not run, as they stand in spillway_action_skips_total.
const (
	SkipNotOurs    = "not_ours"
	SkipInstance   = "instance" // it cannot be said at present whether the alert is this exporter's
	SkipNoPlaybook = "no_playbook"
	SkipDuplicate  = "duplicate"
	SkipCooldown   = "cooldown"
	SkipWaiting    = "waiting" // a run of the playbook waits and goes again by itself
	SkipQueueFull  = "queue_full"
	SkipDraining   = "draining"
	SkipJournal    = "journal"
	SkipLevel      = "level"    // the level of the run is not in the step's `when`
	SkipFalling    = "falling"  // the value falls by itself
	SkipStuck      = "stuck"    // an earlier run of the action has not returned
	SkipMode       = "mode"     // the target is no longer in mode enforce
	SkipPaused     = "paused"   // a person has paused what begins by itself
	SkipWindow     = "window"   // the window of the playbook, or of the step, is closed
	SkipForecast   = "forecast" // the memory does not reach its limit before the window opens again, or that is not sure
	SkipProposed   = "proposed" // a proposal waits for a person
	SkipDenied     = "denied"   // a person has denied it
	SkipBudget     = "budget"   // the playbook has acted as often as it may: a person is needed
)

// fallingShare: a value below this share of its own recent peak, and not critical, is falling.
const fallingShare = 0.85

// question is everything that the decision about one alert depends on.
type question struct {
	alert  *alert.Alert
	inside bool // the alert comes from the embedded evaluator: it is ours
	id     *identity

	hasTarget, hasPlaybook bool
	targets, playbooks     func() []string // for the reason, sorted

	open     bool         // a run of this playbook for this target is queued or running
	served   bool         // this very alert is served by the open or the last run
	twin     bool         // the last run has served it as it was judged on the other side; see servedTwin
	waits    time.Time    // until which a run of this playbook waits; zero when none does
	waiting  series.Level // of that run
	until    time.Time
	broken   bool // an emergency has broken this cooldown already
	level    series.Level
	applies  bool   // some step of the playbook applies at the level
	mode     mode   // in which the run would be
	pause    *Pause // that holds the target; nil when none does
	closed   string // the window that is closed; "" when none holds the playbook back
	budget   Budget
	spent    bool // the budget is used up
	proposal proposalState
	proposed string // its id
	now      time.Time
	full     bool
	draining bool
}

// verdict is the answer to a question.
type verdict struct {
	disposition string
	skip        string // why no action runs for this alert; "" when one does
	reason      string // a sentence for people
	join        bool   // the open run serves it
	breaks      bool   // the cooldown is broken by an emergency
	runID       string // the run that served it, when it has ended
}

// decide is the whole decision about one alert, in order.
func decide(q question) verdict {
	for _, rule := range []func(*question) (verdict, bool){
		decideOurs, decideTarget, decidePlaybook, decideResolved, decidePause, decideWaiting, decideOpen, decideLevel, decidePermit, decideRoom,
	} {
		if v, decided := rule(&q); decided {
			return v
		}
	}
	v := verdict{disposition: alert.Accepted, reason: "a run was recorded and will start"}
	if q.permit().breaks {
		v.breaks, v.reason = true, "an emergency breaks the cooldown once: a run was recorded and will start"
	}
	return v
}

func decideOurs(q *question) (verdict, bool) {
	instance := q.alert.Labels[alert.LabelInstance]
	name := alert.NormalizeInstance(instance)
	switch {
	case q.inside || instance == "" || slices.Contains(q.id.known, name):
		return verdict{}, false
	case slices.Contains(q.id.former, name):
		return verdict{disposition: alert.Refused, skip: SkipInstance, reason: fmt.Sprintf(
			"the instance %.200q was this exporter's, or was called so, and is not now: write instance: in the configuration, or reload if the address has changed", instance)}, true
	case q.id.none:
		return verdict{disposition: alert.Refused, skip: SkipInstance, reason: fmt.Sprintf(
			"the instance %.200q may be this exporter, which has not learned its name yet: write instance: in the configuration, or have Prometheus scrape it with the token", instance)}, true
	}
	names := "it is " + strings.Join(q.id.known, ", ")
	return verdict{disposition: alert.NotOurs, skip: SkipNotOurs, reason: fmt.Sprintf(
		"the instance %.200q is not this exporter (%s): route the alert to its own exporter, or write instance: in the configuration", instance, names)}, true
}

func decideTarget(q *question) (verdict, bool) {
	if q.hasTarget {
		return verdict{}, false
	}
	name := q.alert.Target()
	reason := "the alert has no target label"
	if name != "" {
		reason = fmt.Sprintf("the target %.100q is not configured here", name)
	}
	return verdict{disposition: alert.NotOurs, skip: SkipNotOurs, reason: reason + ": write one of " + list(q.targets())}, true
}

func decidePlaybook(q *question) (verdict, bool) {
	name := q.alert.Playbook()
	switch {
	case name == "":
		return verdict{disposition: alert.NoPlaybook, skip: SkipNoPlaybook, reason: "the alert requests no remedy: it has no playbook label"}, true
	case q.alert.Unjudged():
		return verdict{disposition: alert.NoPlaybook, skip: SkipNoPlaybook, reason: fmt.Sprintf(
			"Grafana had no data for the rule %.100q or could not judge it, which is not pressure: fix its data source", q.alert.Labels["rulename"])}, true
	case !q.hasPlaybook:
		return verdict{disposition: alert.NoPlaybook, skip: SkipNoPlaybook, reason: fmt.Sprintf(
			"the target %q has no playbook %.100q: write one of %s", q.alert.Target(), name, list(q.playbooks()))}, true
	}
	return verdict{}, false
}

func decideResolved(q *question) (verdict, bool) {
	if q.alert.Status != alert.StatusResolved {
		return verdict{}, false
	}
	return verdict{disposition: alert.Resolved, reason: "nothing left to do"}, true
}

// decideWaiting leaves an alert to the run that waits for its playbook, unless it is more urgent.
func decideWaiting(q *question) (verdict, bool) {
	if q.waits.IsZero() || q.level > q.waiting || q.draining {
		return verdict{}, false
	}
	return verdict{disposition: alert.Waiting, skip: SkipWaiting, reason: fmt.Sprintf(
		"what is left is too young or in use: the run waits until %s and goes again then", clock(q.waits))}, true
}

func decideOpen(q *question) (verdict, bool) {
	switch {
	case q.open && q.draining:
		// The open run gets no further step, so it cannot serve this alert.
		return verdict{disposition: alert.Refused, skip: SkipDraining, reason: ErrDraining.Error()}, true
	case q.served && q.open:
		return verdict{disposition: alert.Duplicate, skip: SkipDuplicate, reason: "the run for this very alert is open", join: true}, true
	case q.open:
		return verdict{disposition: alert.Accepted, reason: "the open run of the same playbook serves it", join: true}, true
	case q.served && q.now.Before(q.until):
		return verdict{disposition: alert.Duplicate, skip: SkipDuplicate, reason: "this very alert was served, and its cooldown holds until " + clock(q.until)}, true
	case q.twin && q.inside:
		return verdict{disposition: alert.Duplicate, skip: SkipDuplicate, reason: "the last run has served the alert of this name that a Prometheus sent"}, true
	case q.twin:
		return verdict{disposition: alert.Duplicate, skip: SkipDuplicate, reason: "the exporter judges the alert of this name itself, and the last run has served it"}, true
	}
	return verdict{}, false
}

// decideLevel answers at once where a run would skip every step: an alert that is repeated each
// minute must not fill the journal with such runs.
func decideLevel(q *question) (verdict, bool) {
	if q.applies {
		return verdict{}, false
	}
	return verdict{disposition: alert.NoPlaybook, skip: SkipLevel, reason: fmt.Sprintf(
		"no step of %s applies at level %s", q.alert.Playbook(), q.level)}, true
}

// permit asks whether the playbook may run by itself now.
func (q *question) permit() permission {
	return permit(situation{
		mode: q.mode, level: q.level, paused: q.pause != nil, rests: q.now.Before(q.until), broken: q.broken, closed: q.closed != "", spent: q.spent, proposal: q.proposal,
	})
}

// decidePause comes before a run that is open: it gets no further step.
func decidePause(q *question) (verdict, bool) {
	if q.permit().skip != SkipPaused {
		return verdict{}, false
	}
	return verdict{disposition: alert.Paused, skip: SkipPaused, reason: "a person has paused " + q.pause.String()}, true
}

func decidePermit(q *question) (verdict, bool) {
	switch v := (verdict{skip: q.permit().skip}); v.skip {
	case SkipProposed:
		v.disposition, v.runID, v.reason = alert.Proposed, q.proposed, "the proposal "+q.proposed+" waits for a person: spillway_exporter approve "+q.proposed
		return v, true
	case SkipDenied:
		v.disposition, v.runID, v.reason = alert.Denied, q.proposed, "a person has denied the proposal "+q.proposed
		return v, true
	case SkipCooldown:
		v.disposition, v.reason = alert.Cooldown, "the playbook ran for this target, and its cooldown holds until "+clock(q.until)
		if q.level == series.LevelEmergency {
			v.reason += "; an emergency has broken it once already"
		}
		return v, true
	case SkipWindow:
		v.disposition, v.reason = alert.Closed, fmt.Sprintf("%s runs only while the window %q is open", q.alert.Playbook(), q.closed)
		return v, true
	case SkipBudget:
		v.disposition, v.reason = alert.NeedsHuman, budgetText(q.alert.Playbook(), q.budget)
		return v, true
	}
	return verdict{}, false
}

func decideRoom(q *question) (verdict, bool) {
	switch {
	case q.draining:
		return verdict{disposition: alert.Refused, skip: SkipDraining, reason: ErrDraining.Error()}, true
	case q.full:
		return verdict{disposition: alert.Refused, skip: SkipQueueFull, reason: ErrQueueFull.Error()}, true
	}
	return verdict{}, false
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// list names at most ten.
func list(names []string) string {
	switch {
	case len(names) == 0:
		return "those of the configuration: there are none yet"
	case len(names) > 10:
		return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", len(names)-10)
	}
	return strings.Join(names, ", ")
}

// levelOf is the level that an alert speaks of: its level label, else the one of its severity.
func levelOf(a *alert.Alert) series.Level {
	if level, ok := series.ParseLevel(a.Labels[alert.LabelLevel]); ok {
		return level
	}
	if a.Labels[alert.LabelSeverity] == "critical" {
		return series.LevelCritical
	}
	return series.LevelWarning
}

// falling reports whether a value falls by itself: it is of memory or heap, below critical, and
// below 85 % of its own recent peak. One that rises fast does not fall, however high the peak was.
func falling(s Subject, r Reading) bool {
	return !r.Rising && (s == subject.Memory || s == subject.Heap) && r.Known && r.Level < series.LevelCritical && r.Ratio < fallingShare*r.Peak
}

// applies reports whether the step runs at a level.
func (s *Step) applies(level series.Level) bool {
	return len(s.When) == 0 || slices.Contains(s.When, level)
}

// skipStep says why a step of a run that an alert triggered is skipped; "" when it is not.
func skipStep(s Step, level series.Level, until, now time.Time) (reason, text string) {
	switch {
	case !s.applies(level):
		return SkipLevel, fmt.Sprintf("%s was skipped at level %s", s, level)
	case now.Before(until):
		return SkipCooldown, fmt.Sprintf("%s was skipped, its cooldown holds until %s", s, clock(until))
	}
	return "", ""
}

// The outcomes of a run, as they stand in the journal and in spillway_playbook_runs_total, in
// addition to those of an action and journal.OutcomeInterrupted.
const (
	OutcomeRelieved    = "relieved"      // a step was followed by readings below its `below`
	OutcomeIneffective = "ineffective"   // all steps ran and the level stayed
	OutcomeWaiting     = "waiting"       // what is left is too young or in use: the run goes again by itself
	OutcomeNothing     = "nothing_to_do" // the actions ran and found nothing to do
	OutcomeFalling     = "falling"       // the value falls by itself and nothing more is done
	OutcomeSkipped     = "skipped"       // every step was skipped, each with its reason
	OutcomeNeedsHuman  = "needs_human"   // it was due, and its budget is used up: nothing ran
	OutcomeProposed    = "proposed"      // the rest waits for the approval of a person
	OutcomeVoided      = "voided"        // approved, and the situation was another one by then: nothing ran
	OutcomeDone        = string(action.Done)
)

func percent(ratio float64) string { return units.Ratio(ratio).String() }
