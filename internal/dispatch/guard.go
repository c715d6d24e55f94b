package dispatch

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/window"
)

const (
	maxBudget    = 1000
	maxBudgetPer = forgetAfter
)

// Guard bounds how often, and when, a playbook runs by itself.
type Guard struct {
	Budget   Budget     `yaml:"budget"`    // how often it may act; then a person is needed
	WhenOpen window.Ref `yaml:"when_open"` // only while this window is open; `not night` is while the window night is closed

	// What it acts before by itself, in the last window before that: limit is the limit of the memory. It needs when_open.
	ActBefore string `yaml:"act_before"`
}

// Budget is how often a playbook may act.
type Budget struct {
	AtMost int            `yaml:"at_most"` // runs that acted, or may have
	Per    units.Duration `yaml:"per"`     // in this last span of time
}

func (b Budget) set() bool { return b.AtMost > 0 }

// Guards is the yaml key `guards` of a target: by the name of a playbook, written or a default.
type Guards map[string]Guard

// Validate reports every mistake. p are the playbooks of the target, w the windows of the file.
func (g Guards) Validate(p Playbooks, w window.Windows, report report.Func) {
	for _, name := range slices.Sorted(maps.Keys(g)) {
		at, guard := report.Under(name), g[name]
		if !slices.Contains(p.known(), name) {
			report(name, "is not a playbook of this target: write one of %s", list(p.known()))
		}
		guard.Budget.validate(at)
		guard.WhenOpen.Check(w, "when_open", at)
		checkEarly(guard.ActBefore, guard.WhenOpen != "", at)
		if guard == (Guard{}) {
			report(name, "says nothing: write budget: {at_most: 3, per: 24h} or when_open, or remove it")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		for _, s := range p[name] {
			if inner, guarded := g[s.Do]; guarded && s.names() && !inner.within(g[name]) {
				report(s.Do, "does not hold for the playbook %q, which has its steps too: write the same for %q", name, name)
			}
		}
	}
}

// within reports whether what another guard allows is allowed by this one: a playbook that names another must
// be guarded no less.
func (g Guard) within(other Guard) bool {
	return (!g.Budget.set() || g.Budget == other.Budget) && (g.WhenOpen == "" || g.WhenOpen == other.WhenOpen)
}

func (b Budget) validate(report report.Func) {
	if b == (Budget{}) {
		return
	}
	if b.AtMost < 1 || b.AtMost > maxBudget {
		report("budget.at_most", "%d is out of range: write 1 to %d runs", b.AtMost, maxBudget)
	}
	if b.Per.Std() < time.Minute || b.Per.Std() > maxBudgetPer {
		report("budget.per", "%s is out of range: write 1m to %s", b.Per, units.Duration(maxBudgetPer))
	}
}

// CheckWindows reports the steps whose window is not configured, and those that are to act early without one.
func (p Playbooks) CheckWindows(w window.Windows, g Guards, report report.Func) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		for i := range p[name] {
			s, at := &p[name][i], report.Under(fmt.Sprintf("%s[%d]", name, i))
			s.WhenOpen.Check(w, "when_open", at)
			checkEarly(s.ActBefore, s.WhenOpen != "" || g[name].WhenOpen != "", at)
		}
	}
}

// Apply gives the playbooks of a target their guards, and their steps the windows.
func (g Guards) Apply(books map[string]Playbook, w window.Windows) {
	for name, p := range books {
		p.Budget, p.Hours = g[name].Budget, w.Hours(g[name].WhenOpen)
		for i := range p.Steps {
			p.Steps[i].Hours = w.Hours(p.Steps[i].WhenOpen)
			p.Steps[i].Early = p.Steps[i].ActBefore != "" || g[name].ActBefore != ""
		}
		books[name] = p
	}
}

// timed reports whether a window holds the playbook, or a step of it.
func (p *Playbook) timed() bool {
	return p.Hours.String() != "" || slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Hours.String() != "" })
}

// closed names the window for which a playbook cannot run at a level: its own, or that of the first step for
// the level when none of these is open. "" when it can.
func (p *Playbook) closed(level series.Level, now time.Time) string {
	if !p.Hours.Open(now) {
		return p.Hours.String()
	}
	first := ""
	for i := range p.Steps {
		s := &p.Steps[i]
		switch {
		case !s.applies(level):
		case s.Hours.Open(now):
			return ""
		case first == "":
			first = s.Hours.String()
		}
	}
	return first
}
