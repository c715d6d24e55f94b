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
	for i := range s.Proposals {
		out.Proposals = append(out.Proposals, proposalOf(&s.Proposals[i]))
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

func proposalOf(p *dispatch.Proposal) web.Proposal {
	out := web.Proposal{
		ID: p.ID, Target: p.Target, Playbook: p.Playbook, Level: p.Level, Alert: p.Alert, Trigger: p.Trigger, Since: p.Since, Until: p.Until,
		Reading: p.Reading, Evidence: p.Evidence,
	}
	for _, s := range p.Steps {
		out.Steps = append(out.Steps, web.ProposedStep{Do: s.Do, Files: s.Files, Bytes: s.Bytes, Detail: s.Detail, Text: s.String()})
	}
	return out
}
