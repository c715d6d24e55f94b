package setup

import (
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// Playbooks returns the playbooks of a target, those that it has without being configured included, with their guards.
// has reports which actions the target has.
func Playbooks(t *config.Target, has func(action string) bool) map[string]dispatch.Playbook {
	collect := collectSteps(&t.Heap.Collect)
	books := t.Playbooks.Build(has, func(s *dispatch.Step) {
		collect(s)
		if with, ok := s.With.(*action.RestartSettings); ok {
			with.Complete(t.RestartsUnit())
		}
	})
	t.Guards.Apply(books, t.Windows)
	return books
}

// Starts returns what may start the playbooks of a target, and its policies that have an interval.
func Starts(cfg *config.Config, t *config.Target, playbooks map[string]dispatch.Playbook) []dispatch.Start {
	var alerts []alert.Trigger
	if *cfg.Standalone || *cfg.Reflex {
		alerts = append(alerts, alert.TriggerStandalone)
	}
	if !*cfg.Standalone || cfg.Webhook.TokenFile != "" {
		alerts = append(alerts, alert.TriggerWebhook)
	}
	if cfg.Alertmanager.Pulls() {
		alerts = append(alerts, alert.TriggerPull)
	}
	var out []dispatch.Start
	for _, name := range slices.Sorted(maps.Keys(playbooks)) {
		triggers := alerts
		if name == dispatch.PlaybookOnExit {
			triggers = []alert.Trigger{alert.TriggerExit}
		}
		triggers = append(slices.Clone(triggers), alert.TriggerManual)
		if p := playbooks[name]; p.ActsEarly() {
			triggers = append(triggers, alert.TriggerForecast)
		}
		out = append(out, dispatch.Start{Playbook: name, Triggers: triggers})
	}
	if t.Captures() {
		out = append(out, dispatch.Start{Playbook: action.NameCaptureEvidence, Triggers: []alert.Trigger{alert.TriggerSchedule}})
	}
	for _, k := range policy.Kinds {
		if slices.ContainsFunc(t.Of(k.Name), func(p policy.Policy) bool { return p.Schedule() > 0 }) {
			out = append(out, dispatch.Start{Playbook: k.Action, Triggers: []alert.Trigger{alert.TriggerSchedule}})
		}
	}
	return out
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
