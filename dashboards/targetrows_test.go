package dashboards_test

// The rows of one target whose feature has to be configured.

func (b *board) targetRestarts() []*jsonPanel {
	return []*jsonPanel{
		bars("Restarts by Spillway", "Restarts that a playbook asked for and that ended, by outcome: partial means that the service was not ready in time.", "none", 6,
			q(sumBy("outcome", increase(b.of("spillway_action_runs_total", `action="restart"`)))+" > 0", "{{outcome}}")),
		bars("Why a restart did not happen", "Restarts that were wanted and refused, by reason: the budget is used up, the last one did not help, the manager has given the unit up, and so on.", "none", 6,
			q(sumBy("reason", increase(b.of("spillway_action_skips_total", `action="restart"`)))+" > 0", "{{reason}}")).runbook("SpillwayNeedsHuman"),
		graph("Restarts that need a person", "1 while the target is not restarted although its playbook wants it and waiting does not help, or was left drained, by reason.", "none", 6,
			q(b.of("spillway_restart_needs_human"), "{{reason}} {{instance}}")).runbook("SpillwayNeedsHuman").noValue("no restart needs a person"),
		bars("Restarts of any cause", "Restarts that the sampler has seen, whoever made them: all processes of the target were replaced.", "none", 6,
			q(increase(b.of("spillway_target_restarts_total")), "{{instance}}")).runbook("SpillwayTargetRestarting"),
	}
}

func (b *board) targetEvidence() []*jsonPanel {
	pause := b.own("spillway_evidence_pause_seconds_bucket")
	return needing("nothing was captured in this time range: see evidence in the configuration",
		bars("Captures", "Captures of what holds the memory of the target, by runtime and outcome: captured, failed, skipped, unknown. The page of the target at the exporter shows what grew.", "none", 12,
			q(sumBy("runtime, outcome", increase(b.of("spillway_evidence_captures_total"))), "{{runtime}}: {{outcome}}")),
		graph("Pause for evidence", "Median and 95th percentile of the time until a service had answered a capture, which is the longest that it can have paused for it, by runtime. The histogram has no target: these are all targets of the chosen instances.", "s", 12,
			q(quantile("0.5", "runtime", pause), "median {{runtime}}"), q(quantile("0.95", "runtime", pause), "p95 {{runtime}}")))
}

// targetAutonomy is what waits for a person, and what a person has limited.
func (b *board) targetAutonomy() []*jsonPanel {
	return []*jsonPanel{
		graph("Proposals that wait", "Playbooks in mode propose whose proposal waits for a person. The page of the exporter has what they would do.", "none", 12,
			q(b.of("spillway_proposals"), "{{playbook}} {{instance}}")).runbook("SpillwayApprovalWaiting").noValue("the target is not in mode propose"),
		bars("Proposals that ended", "Proposals that were approved, denied, expired or voided.", "none", 12,
			q(sumBy("playbook, outcome", increase(b.of("spillway_proposal_outcomes_total")))+" > 0", "{{playbook}}: {{outcome}}")),
		timeline("Paused", "Whether a person has paused what begins by itself for this target.", 8, pausedOrNot, q(b.of("spillway_paused"), "{{instance}}")),
		graph("Budget left", "How often each playbook that has a budget may still act by itself. At 0 a person is needed.", "none", 8,
			q(b.of("spillway_budget_remaining"), "{{playbook}} {{instance}}")).runbook("SpillwayNeedsHuman").noValue("no playbook of the target has a budget"),
		timeline("Window open", "Whether the window of a playbook is open.", 8, yesNo,
			q(b.of("spillway_window_open"), "{{playbook}} {{instance}}")).runbook("SpillwayNeedsHuman").noValue("no playbook of the target has a window"),
	}
}

func (b *board) heap() []*jsonPanel {
	return needing("no heap of this target is read: see heap in the configuration",
		thresholded(b, "Heap against its limit", "The runtime's own heap as a share of the size at which it gives up, with the thresholds of this target.", "spillway_heap_used_ratio", "{{runtime}} {{instance}}").
			runbook("SpillwayHeapCritical"),
		graph("Heap in bytes", "Heap in use, garbage not collected yet included, what lives after a collection where the runtime says so, what the runtime holds for it, and the size at which it gives up (dashed).", "bytes", 12,
			q(b.of("spillway_heap_used_bytes"), "used {{runtime}} {{instance}}"), q(b.of("spillway_heap_live_bytes"), "live {{runtime}} {{instance}}"), q(b.of("spillway_heap_committed_bytes"), "committed {{runtime}} {{instance}}"),
			q(b.of("spillway_heap_limit_bytes"), "limit {{runtime}} {{instance}}")).dashed("/^limit /"))
}
