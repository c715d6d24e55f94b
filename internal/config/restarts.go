package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// RestartsUnit returns what follows for a restart from how the processes of a target are matched: the unit that they
// are in, or that they are in a container or a pod.
func (t *Target) RestartsUnit() (unit string, contained bool) {
	if t.Processes == nil {
		return "", false
	}
	m := &t.Processes.Match
	if unit = m.SystemdUnit; unit != "" && !strings.Contains(unit, ".") {
		unit += ".service"
	}
	return unit, unit == "" && (m.Container != "" || m.Pod != "" || m.Namespace != "" || m.Image != "")
}

// checkRestarts reports steps of which it is not known what they restart.
func (t *Target) checkRestarts(report report.Func) {
	for _, name := range slices.Sorted(maps.Keys(t.Playbooks)) {
		for i, step := range t.Playbooks[name] {
			if with, ok := step.With.(*action.RestartSettings); ok {
				if key, missing := with.Complete(t.RestartsUnit()); missing != "" {
					report(fmt.Sprintf("%s[%d].%s", name, i, key), "%s", missing)
				}
			}
		}
	}
}
