package dashboards_test

// Rows of what not everyone has configured: they are closed at first, on the dashboard of all targets and on
// that of one.

// reaction is how long it takes from a crossing to an effect. Its histogram has no target.
func (b *board) reaction() []*jsonPanel {
	bucket := b.own("spillway_reaction_seconds_bucket")
	ranking := "histogram_quantile(0.95, " + sumBy("cluster, instance, le", grownIn(bucket)) + ") >= 0"
	return needing("no run has had an effect in this time range: dry runs and proposals have none",
		graph("Crossing to first effect", "Median and 95th percentile of the time from the reading that crossed a threshold to the first effect of the run that it led to, by level. A critical alert waits 10 s, a warning a minute.", "s", 8,
			q(quantile("0.5", "level", bucket), "median {{level}}"),
			q(quantile("0.95", "level", bucket), "p95 {{level}}")).runbook("SpillwayMemoryRunningOut"),
		graph("Slowest hosts", "95th percentile of the same time, of the ten exporters that were slowest in the time range.", "s", 8,
			q(only(lineCount, quantile("0.95", "cluster, instance", bucket), ranking), "{{instance}}")),
		bars("Reactions", "Runs that followed a crossing and had an effect, by level.", "none", 8,
			q(sumBy("level", increase(b.own("spillway_reaction_seconds_bucket", `le="+Inf"`))), "{{level}}")),
		graph("Time of an action", "Median and 95th percentile of the time that a run took, by action, of all targets.", "s", 12,
			q(quantile("0.5", "action", b.own("spillway_action_duration_seconds_bucket")), "median {{action}}"),
			q(quantile("0.95", "action", b.own("spillway_action_duration_seconds_bucket")), "p95 {{action}}")),
		graph("Runs at work", "Runs that are open and act, from the intent in the journal to the end of the verification. Dry runs and schedules do not count.", "none", 12,
			q(highest(lineCount, b.of("spillway_playbook_running")), "{{target}} {{playbook}} {{instance}}")).runbook("SpillwayReliefRunning").noValue("no run was at work in this time range"))
}

// restarts are those that Spillway makes, and those that happen.
func (b *board) restarts() []*jsonPanel {
	return []*jsonPanel{
		bars("Restarts by Spillway", "Restarts that a playbook asked for and that ended, by outcome: partial means that the service was not ready in time. The ten most frequent.", "none", 6,
			q(most(lineCount, "target, outcome", b.of("spillway_action_runs_total", `action="restart"`)), "{{target}}: {{outcome}}")),
		bars("Why a restart did not happen", "Restarts that were wanted and refused, by reason: the budget is used up, the last one did not help, the manager has given the unit up, and so on. The ten most frequent.", "none", 6,
			q(most(lineCount, "target, reason", b.of("spillway_action_skips_total", `action="restart"`)), "{{target}}: {{reason}}")).runbook("SpillwayNeedsHuman"),
		graph("Restarts that need a person", "Targets that are not restarted although a playbook wants it and waiting does not help, by reason.", "none", 6,
			q(highest(lineCount, b.of("spillway_restart_needs_human")), "{{target}}: {{reason}} {{instance}}")).runbook("SpillwayNeedsHuman").noValue("no restart needs a person"),
		bars("Restarts of any cause", "Restarts that the sampler has seen, whoever made them: all processes of the target were replaced. The ten most frequent.", "none", 6,
			q(most(lineCount, "target", b.of("spillway_target_restarts_total")), "{{target}}")).runbook("SpillwayTargetRestarting"),
	}
}

// evidence is what was captured of the memory of targets. The histogram of the pauses has no target.
func (b *board) evidence() []*jsonPanel {
	pause := b.own("spillway_evidence_pause_seconds_bucket")
	return needing("nothing was captured in this time range: see evidence in the configuration",
		bars("Captures by outcome", "Captures of what holds the memory of targets, by runtime and outcome: captured, failed, skipped, unknown. One is skipped where it would cost more than evidence allows.", "none", 8,
			q(most(lineCount, "runtime, outcome", b.of("spillway_evidence_captures_total")), "{{runtime}}: {{outcome}}")),
		bars("Captures by target", "The same by target, of the ten most frequent. The page of the target at the exporter shows what grew.", "none", 8,
			q(most(lineCount, "cluster, instance, target, outcome", b.of("spillway_evidence_captures_total")), "{{target}}: {{outcome}} {{instance}}")),
		graph("Pause for evidence", "Median and 95th percentile of the time until a service had answered a capture, which is the longest that it can have paused for it, by runtime. Of all targets.", "s", 8,
			q(quantile("0.5", "runtime", pause), "median {{runtime}}"), q(quantile("0.95", "runtime", pause), "p95 {{runtime}}")))
}

// autonomy is what waits for a person, and what a person has limited.
func (b *board) autonomy() []*jsonPanel {
	return []*jsonPanel{
		graph("Proposals that wait", "Playbooks in mode propose whose proposal waits for a person, the ten with most. The page of the exporter has what they would do.", "none", 8,
			q(highest(lineCount, b.of("spillway_proposals")), "{{target}} {{playbook}} {{instance}}")).runbook("SpillwayApprovalWaiting").noValue("no target is in mode propose"),
		bars("Proposals that ended", "Proposals that were approved, denied, expired or voided, the ten most frequent.", "none", 8,
			q(most(lineCount, "target, playbook, outcome", b.of("spillway_proposal_outcomes_total")), "{{target}} {{playbook}}: {{outcome}}")),
		timeline("Paused", "Whether a person has paused what begins by itself for a target: the ten that were paused in the time range, else any ten.", 8, pausedOrNot,
			q(highest(lineCount, b.of("spillway_paused")), "{{target}} {{instance}}")).noValue("there are no targets to pause"),
		graph("Budget left", "How often a playbook that has a budget may still act by itself, of the ten with the least. At 0 a person is needed.", "none", 12,
			q(lowest(lineCount, b.of("spillway_budget_remaining")), "{{target}} {{playbook}} {{instance}}")).runbook("SpillwayNeedsHuman").noValue("no playbook has a budget"),
		timeline("Window open", "Whether the window of a playbook is open: the ten that were closed in the time range, else any ten.", 12, yesNo,
			q(lowest(lineCount, b.of("spillway_window_open")), "{{target}} {{playbook}} {{instance}}")).runbook("SpillwayNeedsHuman").noValue("no playbook has a window"),
	}
}
