package app

import (
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

// activityOf gives the page what the dispatcher is doing, and the waits and cooldowns that hold.
func activityOf(s dispatch.Status) web.Activity {
	out := web.Activity{Draining: s.Draining, Queued: s.Queued}
	for _, p := range s.Pauses {
		out.Pauses = append(out.Pauses, web.Pause(p))
	}
	for _, b := range s.Budgets {
		out.Budgets = append(out.Budgets, web.Budget(b))
	}
	for _, r := range s.Open {
		out.Runs = append(out.Runs, web.Run(r))
	}
	for _, p := range s.Playbooks {
		if !p.WaitsUntil.IsZero() {
			out.Waits = append(out.Waits, web.Wait{Target: p.Target, Playbook: p.Playbook, Until: p.WaitsUntil, Run: p.WaitsRun})
		}
		if p.CooldownUntil.IsZero() {
			continue
		}
		out.Cooldowns = append(out.Cooldowns, web.Cooldown{
			Target: p.Target, Playbook: p.Playbook, Until: p.CooldownUntil, Mode: p.CooldownMode, Broken: p.Broken,
			LastRun: p.LastRun, LastOutcome: p.LastOutcome, LastEnd: p.LastEnd,
		})
	}
	return out
}
