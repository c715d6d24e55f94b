package dispatch

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// isLast reports whether a step is the last resort. It keeps to its levels and its cooldown whoever asks.
func isLast(s *Step) bool {
	spec, _ := action.SpecOf(s.Do)
	return spec.Last
}

// checkLast reports steps of last resort that are not the last of their playbook, or for which no levels are written.
func (p Playbooks) checkLast(report report.Func) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		for i := range p[name] {
			s, key := &p[name][i], fmt.Sprintf("%s[%d]", name, i)
			if isLast(s) && len(s.When) == 0 {
				report(key+".when", "is missing: write the levels at which %s may run, such as [emergency]", s.Do)
			}
			if i == len(p[name])-1 {
				continue
			}
			if isLast(s) || s.names() && slices.ContainsFunc(p.expand(s.Do), func(s Step) bool { return isLast(&s) }) {
				report(key+".do", "%s is the last resort: write it as the last step", s.Do)
			}
		}
	}
}
