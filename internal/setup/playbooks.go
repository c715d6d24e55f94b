package setup

import (
	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
)

// Playbooks returns the playbooks of a target, those that it has without being configured included.
// has reports which actions the target has.
func Playbooks(t *config.Target, has func(action string) bool) map[string]dispatch.Playbook {
	return t.Playbooks.Build(has, collectSteps(&t.Heap.Collect))
}

// collectSteps gives the steps that collect garbage the level and the rest of the heap's
// configuration, where a playbook does not say its own.
func collectSteps(c *heap.Collect) func(*dispatch.Step) {
	return func(s *dispatch.Step) {
		if s.Do != action.NameCollectGarbage {
			return
		}
		if len(s.When) == 0 {
			s.When = c.Levels()
		}
		if s.Cooldown == 0 {
			s.Cooldown = c.Cooldown
		}
	}
}
