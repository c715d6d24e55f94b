package metric

// Alerts that arrive, and the playbooks and actions that they start.
var (
	WebhookRequests    = &Own{"spillway_webhook_requests_total", "Requests to the webhook, by status code of the answer.", Counter, []string{"code"}}
	WebhookAlerts      = &Own{"spillway_webhook_alerts_total", "Alerts received through the webhook, by disposition.", Counter, []string{"disposition"}}
	QueueLength        = &Own{"spillway_dispatch_queue_length", "Runs that are recorded and have not started.", Gauge, nil}
	WaitingRuns        = &Own{"spillway_dispatch_waiting_runs", "Runs that wait until what they have to remove is old enough or no longer in use.", Gauge, nil}
	Paused             = &Own{"spillway_paused", "Whether a person has paused what begins by itself for the target.", Gauge, []string{"target"}}
	BudgetRemaining    = &Own{"spillway_budget_remaining", "Runs of a playbook that its budget still allows.", Gauge, []string{"target", "playbook"}}
	PlaybookRunning    = &Own{"spillway_playbook_running", "1 while a run of a playbook is open that acts, from its intent to its end; absent otherwise. Dry runs and schedules do not count.", Gauge, []string{"target", "playbook"}}
	WindowOpen         = &Own{"spillway_window_open", "Whether the window of a playbook is open, and with it that of a step which applies in an emergency; absent where no window is configured.", Gauge, []string{"target", "playbook"}}
	Proposals          = &Own{"spillway_proposals", "Proposals of a playbook that wait for the approval of a person.", Gauge, []string{"target", "playbook"}}
	ProposalOutcomes   = &Own{"spillway_proposal_outcomes_total", "Proposals that have ended, by outcome.", Counter, []string{"target", "playbook", "outcome"}}
	PlaybookRuns       = &Own{"spillway_playbook_runs_total", "Completed playbook runs, by outcome.", Counter, []string{"target", "playbook", "trigger", "outcome"}}
	ActionRuns         = &Own{"spillway_action_runs_total", "Completed action runs, by outcome.", Counter, []string{"target", "action", "trigger", "outcome"}}
	ActionSkips        = &Own{"spillway_action_skips_total", "Alert-triggered actions that were skipped, by reason.", Counter, []string{"target", "action", "reason"}}
	ActionDuration     = &Own{"spillway_action_duration_seconds", "Duration of an action run.", Histogram, []string{"action"}}
	Reaction           = &Own{"spillway_reaction_seconds", "Time from the reading that crossed a threshold to the first effect of the run that it led to, by the level of the run.", Histogram, []string{"level"}}
	ActionLastRun      = &Own{"spillway_action_last_run_timestamp_seconds", "Unix time at which an action last ended.", Gauge, []string{"target", "action"}}
	ActionFreed        = &Own{"spillway_action_freed_bytes_total", "Disk space freed by an action, in allocated bytes.", Counter, []string{"target", "action"}}
	ActionLost         = &Own{"spillway_action_lost_bytes_total", "Bytes written to logs in the moment of their cut, and in no file.", Counter, []string{"target", "action"}}
	ActionRemovedFiles = &Own{"spillway_action_removed_files_total", "Files removed by an action.", Counter, []string{"target", "action"}}
	ActionSkippedFiles = &Own{"spillway_action_skipped_files_total", "Files due for removal that were left in place, by reason.", Counter, []string{"target", "action", "reason"}}
)

var dispatchOwns = []*Own{
	WebhookRequests, WebhookAlerts, QueueLength, WaitingRuns, Paused, BudgetRemaining, Proposals, ProposalOutcomes, PlaybookRunning, WindowOpen, PlaybookRuns, ActionRuns, ActionSkips,
	ActionDuration, Reaction, ActionLastRun, ActionFreed, ActionLost, ActionRemovedFiles, ActionSkippedFiles,
}
