package web

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

const (
	pageAlerts = 8 // firing alerts that the overview lists at once
	docsURL    = "https://github.com/spillway-exporter/spillway_exporter/tree/main/docs"
)

// alertRow is one alert with what Spillway does about it.
type alertRow struct {
	Alert

	Target, Class, Severity, Summary, Runbook string

	Evidence bool   // what grew can be seen on the page of the target
	Does     string // Running, Proposed, Waiting, Paused, Dry run, Nothing
	How      string
	Link     string
}

// ID identifies the element: the same as long as the alert fires.
func (r *alertRow) ID() string {
	all := []string{r.Name}
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		all = append(all, r.Labels[name])
	}
	return "a-" + idOf(strings.Join(all, "\n"))
}

// severities by their order; what is not among them comes after warnings.
var severities = map[string]int{"critical": 3, "warning": 2, "info": 0}

// alertRows returns the firing alerts, the most severe and the oldest first, and how many are pending.
func (s *server) alertRows(st *State, last map[string]*journal.Record, now time.Time) (firing []alertRow, pending int) {
	for i := range st.Alerts {
		a := &st.Alerts[i]
		if a.State != "firing" {
			pending++
			continue
		}
		r := alertRow{
			Alert: *a, Target: a.Labels[alert.LabelTarget], Severity: cmp.Or(a.Labels["severity"], "warning"),
			Summary: cmp.Or(a.Annotations["summary"], a.Name), Runbook: a.Annotations["runbook_url"], Evidence: a.Annotations["evidence_url"] != "",
		}
		r.Class = map[string]string{"critical": "c", "warning": "w"}[r.Severity]
		if a.Labels["level"] == "emergency" {
			r.Class, r.Severity = "e", "emergency"
		}
		r.answer(st, last[r.Target], now)
		firing = append(firing, r)
	}
	slices.SortStableFunc(firing, func(a, b alertRow) int {
		return cmp.Or(cmp.Compare(weight(&b), weight(&a)), a.ActiveAt.Compare(b.ActiveAt))
	})
	return firing, pending
}

func weight(r *alertRow) int {
	if r.Class == "e" {
		return 4
	}
	if w, ok := severities[r.Severity]; ok {
		return w
	}
	return 1
}

// answer says what is done about an alert, and also when nothing is.
func (r *alertRow) answer(st *State, last *journal.Record, now time.Time) {
	playbook := r.Labels[alert.LabelPlaybook]
	of := func(target, name string) bool { return target == r.Target && (name == playbook || playbook == "") }
	a := &st.Activity
	set := func(does, format string, args ...any) { r.Does, r.How = does, fmt.Sprintf(format, args...) }
	if i := slices.IndexFunc(a.Proposals, func(p Proposal) bool { return of(p.Target, p.Playbook) }); i >= 0 {
		set("Proposed", "%s, waiting for approval until %s.", a.Proposals[i].Playbook, clock(now, a.Proposals[i].Until))
		r.Link = "#p-" + a.Proposals[i].ID
		return
	}
	if playbook == "" {
		set("Nothing", "no playbook for this alert.")
		return
	}
	if i := slices.IndexFunc(a.Runs, func(run Run) bool { return of(run.Target, run.Playbook) }); i >= 0 {
		run := &a.Runs[i]
		does := "Running"
		if run.DryRun() {
			does = "Dry run"
		}
		set(does, "%s, %s.", run.Playbook, run.Stage())
		return
	}
	if i := slices.IndexFunc(a.Pauses, func(p Pause) bool { return p.concerns(r.Target) }); i >= 0 {
		set("Paused", "%s.", a.Pauses[i].when(now))
		return
	}
	if i := slices.IndexFunc(a.Waits, func(w Wait) bool { return of(w.Target, w.Playbook) }); i >= 0 {
		set("Waiting", "%s runs again at %s.", playbook, clock(now, a.Waits[i].Until))
		return
	}
	if i := slices.IndexFunc(a.Cooldowns, func(c Cooldown) bool { return of(c.Target, c.Playbook) }); i >= 0 {
		c := &a.Cooldowns[i]
		set("Waiting", "%s is cooling down until %s; the last run: %s.", playbook, clock(now, c.Until), cmp.Or(outcomeText(c.LastOutcome), "not known"))
		return
	}
	switch st.Modes[r.Target] {
	case "":
		set("Nothing", "%s is only observed.", cmp.Or(r.Target, "this"))
	case modeDryRun:
		set("Dry run", "%s is decided and recorded; nothing is changed.", playbook)
	default:
		set("Next", "%s.", playbook)
		if last != nil && last.Playbook == playbook {
			r.How = fmt.Sprintf("%s; the last run, %s: %s.", playbook, agoText(now, last.Time), cmp.Or(outcomeText(last.Outcome), "running"))
		}
	}
}

// when says until when a pause holds.
func (p *Pause) when(now time.Time) string {
	if p.Until.IsZero() {
		return "until someone resumes"
	}
	return "until " + clock(now, p.Until)
}

// modesView is how many targets are in which mode.
type modesView struct {
	DryRun, Propose, Enforce, Observed, Of int
}

func newModes(st *State, names []string) modesView {
	m := modesView{Of: len(names)}
	for _, name := range names {
		switch st.Modes[name] {
		case modeDryRun:
			m.DryRun++
		case "propose":
			m.Propose++
		case "enforce":
			m.Enforce++
		default:
			m.Observed++
		}
	}
	return m
}

// OnlyFound reports whether no target is configured: all were found on the host.
func (m modesView) OnlyFound() bool { return m.Of > 0 && m.Observed == m.Of }

// Rest says in which modes the targets are that are not in dry run: "1 enforces, 2 propose".
func (m modesView) Rest() string {
	out := ""
	add := func(n int, one, many string) {
		if n == 0 {
			return
		}
		if out != "" {
			out += ", "
		}
		word := many
		if n == 1 {
			word = one
		}
		out += fmt.Sprintf("%d %s", n, word)
	}
	add(m.Enforce, "enforces", "enforce")
	add(m.Propose, "proposes", "propose")
	add(m.Observed, "is only observed", "are only observed")
	return out
}

// clock writes a time of day, with the day where it is not today.
func clock(now, t time.Time) string {
	t = t.In(now.Location())
	y, m, d := now.Date()
	ty, tm, td := t.Date()
	switch {
	case y == ty && m == tm && d == td:
		return t.Format("15:04:05")
	case t.Sub(now).Abs() < 6*24*time.Hour:
		return t.Format("Mon 15:04")
	}
	return t.Format("2 Jan 15:04")
}
