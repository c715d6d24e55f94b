package dispatch

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

const (
	maxExpanded = 50   // steps of a playbook after the playbooks that it names are expanded
	maxVisits   = 2000 // steps looked at for that
)

// names reports whether a step stands for the steps of another playbook. An action comes before a
// playbook of the same name.
func (s *Step) names() bool {
	_, isAction := action.SpecOf(s.Do)
	return s.Do != "" && !isAction
}

// known returns the names of all playbooks that a step can name, sorted: those that are written, and
// the defaults.
func (p Playbooks) known() []string {
	all := make(map[string]bool)
	for _, name := range DefaultNames() {
		all[name] = true
	}
	for name := range p {
		all[name] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// of returns the steps of a playbook as they are written: an override, or the default.
func (p Playbooks) of(name string) []Step {
	if steps, written := p[name]; written {
		return steps
	}
	var steps []Step
	d, _ := defaultOf(name)
	for _, do := range d.steps {
		steps = append(steps, Step{Do: do})
	}
	return steps
}

// expand returns the steps of a playbook with the playbooks that it names put in. A cycle, which
// Validate has refused, ends where it closes.
func (p Playbooks) expand(name string) []Step {
	visits := 0
	var out []Step
	var visit func(name string, above []string)
	visit = func(name string, above []string) {
		above = append(slices.Clone(above), name)
		for _, s := range p.of(name) {
			if visits++; visits > maxVisits || len(out) > maxExpanded {
				return
			}
			switch {
			case !s.names():
				out = append(out, s)
			case !slices.Contains(above, s.Do):
				visit(s.Do, above)
			}
		}
	}
	visit(name, nil)
	if visits > maxVisits { // too many that come to nothing are too many, too
		out = append(out, make([]Step, maxExpanded+1)...)
	}
	return out
}

// cycle returns the names on a way from a playbook back to itself, nil when there is none.
func (p Playbooks) cycle(from string) []string {
	seen := make(map[string]bool)
	var visit func(name string, above []string) []string
	visit = func(name string, above []string) []string {
		above = append(slices.Clone(above), name)
		for _, s := range p.of(name) {
			switch {
			case s.names() && s.Do == from:
				return append(above, from)
			case s.names() && !seen[s.Do]:
				seen[s.Do] = true
				if c := visit(s.Do, above); c != nil {
					return c
				}
			}
		}
		return nil
	}
	return visit(from, nil)
}

// checkIncludes reports the playbooks that name themselves or become too long.
func (p Playbooks) checkIncludes(report report.Func) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if c := p.cycle(name); c != nil {
			report(name, "names itself: %s: remove one of these steps", strings.Join(c, " -> "))
			continue
		}
		if n := len(p.expand(name)); n > maxExpanded {
			report(name, "has more than %d steps with the playbooks that it names: write fewer", maxExpanded)
		}
	}
}

// checkRuns reports the steps that run if something was removed where nothing before them removes anything. A
// playbook that others name may rely on their steps.
func (p Playbooks) checkRuns(report report.Func) {
	named := make(map[string]bool)
	for _, steps := range p {
		for i := range steps {
			named[steps[i].Do] = true
		}
	}
	removes := func(s Step) bool { spec, _ := action.SpecOf(s.Do); return spec.Removes }
	for _, name := range slices.Sorted(maps.Keys(p)) {
		removed := named[name]
		for i, s := range p[name] {
			if s.Run == RunIfRemoved && !removed {
				report(fmt.Sprintf("%s[%d].run", name, i), "no step before it removes files: write it after one such as %s or %s, or remove the key", action.NameCleanTemp, action.NameEvictCache)
			}
			removed = removed || removes(s) || s.names() && slices.ContainsFunc(p.expand(s.Do), removes)
		}
	}
}

// checkName reports a step that names neither an action nor a playbook, or says more than a name.
func (s *Step) checkName(known []string, report report.Func) {
	if !slices.Contains(known, s.Do) {
		report("do", "%q is neither an action nor a playbook: write one of %s, or a playbook, one of %s",
			s.Do, strings.Join(action.Names(), ", "), strings.Join(known, ", "))
		return
	}
	if s.To != nil || len(s.When) > 0 || s.Cooldown != 0 || s.Timeout != 0 || s.Run != "" || s.Mode != "" || s.WhenOpen != "" || s.ActBefore != "" || s.Verify.Written {
		report("", "is the playbook %q with keys of a step: write its name alone, and the keys in its own steps", s.Do)
	}
}

// Names returns every playbook that any target can have, sorted: what a rule may name.
func Names(all ...Playbooks) []string {
	out := DefaultNames()
	for _, p := range all {
		for name, steps := range p {
			if len(steps) > 0 && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}
