package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// pageRuns is how many open runs, and how many cooldowns, the page lists. The API lists all.
const pageRuns = 50

// The modes and states of a run as the API and the journal write them.
const (
	modeDryRun  = "dry_run"
	stateQueued = "queued"

	triggerSchedule = "schedule" // its run is recorded only when there is something to do
)

// Activity is what is being done and what waits.
type Activity struct {
	Draining  bool       `json:"draining"`  // shutting down: nothing more is accepted
	Queued    int        `json:"queued"`    // runs that wait, including those whose intent is being written
	Runs      []Run      `json:"runs"`      // open ones, the oldest first
	Waits     []Wait     `json:"waits"`     // runs that go again by themselves, by target and playbook
	Cooldowns []Cooldown `json:"cooldowns"` // that hold, by target and playbook
	Pauses    []Pause    `json:"pauses"`    // that hold, that of all targets first
	Budgets   []Budget   `json:"budgets"`   // by target and playbook
	Proposals []Proposal `json:"proposals"` // that wait for a person, the oldest first
	Planned   []Planned  `json:"-"`         // what runs on a schedule, the next one first
}

// Planned is the next run of a policy that has an interval of its own.
type Planned struct {
	Target, Action, Policy string
	At                     time.Time
}

// Run is a run that has not ended.
type Run struct {
	ID       string    `json:"run_id,omitempty"` // absent while its intent is being written
	Target   string    `json:"target"`
	Playbook string    `json:"playbook"`
	Mode     string    `json:"mode"` // dry_run, propose, enforce: of the step at work, else of the next one
	Trigger  string    `json:"trigger"`
	Alert    string    `json:"alert,omitempty"` // name of the alert that began it
	Alerts   int       `json:"alerts"`          // that it serves
	Level    string    `json:"level"`
	State    string    `json:"state"`               // queued, running, verifying
	WaitsFor string    `json:"waits_for,omitempty"` // the playbook that runs for the same target first
	Step     int       `json:"step"`                // from 1; 0 before the first
	Steps    int       `json:"steps"`               // of the playbook
	Action   string    `json:"action,omitempty"`
	Files    int64     `json:"files"`       // of the policy at work so far; in a dry run, that would be removed
	Bytes    int64     `json:"freed_bytes"` // likewise
	Since    time.Time `json:"since"`       // accepted at
}

// Wait is a run that has ended because what is left is too young or in use. It goes again at Until.
type Wait struct {
	Target   string    `json:"target"`
	Playbook string    `json:"playbook"`
	Until    time.Time `json:"until"`
	Run      string    `json:"run_id"` // that ended waiting
}

// Cooldown holds a playbook of a target back.
type Cooldown struct {
	Target      string    `json:"target"`
	Playbook    string    `json:"playbook"`
	Until       time.Time `json:"until"`
	Mode        string    `json:"mode"`   // of the run that began it
	Broken      bool      `json:"broken"` // an emergency cannot break it again
	LastRun     string    `json:"last_run_id"`
	LastOutcome string    `json:"last_outcome"`
	LastEnd     time.Time `json:"last_end"`
}

// DryRun reports whether the run changes nothing.
func (r *Run) DryRun() bool { return r.Mode == modeDryRun }

// Stage says where the run stands: "step 2 of 3: evict_cache".
func (r *Run) Stage() string {
	switch {
	case r.State == stateQueued && r.ID == "" && r.Trigger != triggerSchedule:
		return "its intent is being recorded"
	case r.State == stateQueued && r.WaitsFor != "":
		return "waits for " + r.WaitsFor
	case r.State == stateQueued:
		return "waits to start"
	case r.Step == 0:
		return "starting"
	}
	return fmt.Sprintf("step %d of %d: %s", r.Step, r.Steps, r.Action)
}

// Effect says what the policy at work has done so far. A dry run has done nothing: it says what would
// be done.
func (r *Run) Effect() string {
	if r.Files == 0 && r.Bytes == 0 {
		return "–"
	}
	text := fmt.Sprintf("%d files", r.Files)
	if r.Bytes > 0 {
		text += ", " + units.Bytes(r.Bytes).String()
	}
	if r.DryRun() {
		return "would affect " + text
	}
	return text
}

// DryRun reports whether the cooldown holds dry runs only.
func (c *Cooldown) DryRun() bool { return c.Mode == modeDryRun }

// activityView is what the page shows: one target if it is the page of one, and no more than fits.
type activityView struct {
	Activity
	MoreRuns, MoreWaits, MoreCooldowns, MoreBudgets, MoreProposals, MorePlanned int // that are not shown
}

func newActivityView(a Activity, only string, all bool) activityView {
	v := activityView{Activity: a}
	if only != "" {
		v.Pauses = slices.DeleteFunc(slices.Clone(a.Pauses), func(p Pause) bool { return !p.concerns(only) })
		v.Budgets = slices.DeleteFunc(slices.Clone(a.Budgets), func(b Budget) bool { return b.Target != only })
		v.Proposals = slices.DeleteFunc(slices.Clone(a.Proposals), func(p Proposal) bool { return p.Target != only })
		v.Runs = slices.DeleteFunc(slices.Clone(a.Runs), func(r Run) bool { return r.Target != only })
		v.Waits = slices.DeleteFunc(slices.Clone(a.Waits), func(w Wait) bool { return w.Target != only })
		v.Planned = slices.DeleteFunc(slices.Clone(a.Planned), func(p Planned) bool { return p.Target != only })
		v.Cooldowns = slices.DeleteFunc(slices.Clone(a.Cooldowns), func(c Cooldown) bool { return c.Target != only })
	}
	// Those at work come first: a long queue must not hide them.
	v.Runs = slices.Clone(v.Runs)
	slices.SortStableFunc(v.Runs, func(a, b Run) int { return cmp.Compare(waits(&a), waits(&b)) })
	v.Proposals = publicProposals(v.Proposals)
	if all {
		return v
	}
	v.Runs, v.MoreRuns = fit(v.Runs)
	v.Waits, v.MoreWaits = fit(v.Waits)
	v.Cooldowns, v.MoreCooldowns = fit(v.Cooldowns)
	v.Budgets, v.MoreBudgets = fit(v.Budgets)
	v.Planned, v.MorePlanned = fit(v.Planned)
	v.Proposals, v.MoreProposals = fit(v.Proposals)
	return v
}

// fit returns what the page has room for, and how many more there are.
func fit[T any](list []T) (shown []T, more int) {
	n := min(len(list), pageRuns)
	return list[:n], len(list) - n
}

func waits(r *Run) int {
	if r.State == stateQueued {
		return 1
	}
	return 0
}

// runs is GET /api/v1/runs?target=: the open runs, those that wait, and the cooldowns that hold.
func (s *server) runs(w http.ResponseWriter, r *http.Request) {
	a := s.State().Activity
	only := r.URL.Query().Get("target")
	out := struct {
		Status string `json:"status"`
		Activity
	}{"success", a}
	out.Runs, out.Waits, out.Cooldowns, out.Pauses, out.Budgets = []Run{}, []Wait{}, []Cooldown{}, []Pause{}, []Budget{}
	out.Proposals = slices.DeleteFunc(publicProposals(a.Proposals), func(p Proposal) bool { return only != "" && p.Target != only })
	for _, p := range a.Pauses {
		if p.concerns(only) {
			out.Pauses = append(out.Pauses, p)
		}
	}
	for _, b := range a.Budgets {
		if only == "" || b.Target == only {
			out.Budgets = append(out.Budgets, b)
		}
	}
	for _, run := range a.Runs {
		if only == "" || run.Target == only {
			out.Runs = append(out.Runs, run)
		}
	}
	for _, wait := range a.Waits {
		if only == "" || wait.Target == only {
			out.Waits = append(out.Waits, wait)
		}
	}
	for _, c := range a.Cooldowns {
		if only == "" || c.Target == only {
			out.Cooldowns = append(out.Cooldowns, c)
		}
	}
	writeJSON(w, http.StatusOK, out)
}
