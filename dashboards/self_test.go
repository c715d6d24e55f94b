package dashboards_test

// self is the dashboard of the exporters: whether what the other dashboards show can be trusted.
func self() *board {
	target := variable("target", "Target of the sources", `label_values(spillway_source_success{job=~"$job", instance=~"$instance"}, target)`)
	target["allValue"] = ".*" // a source of the whole host has no target
	b := &board{
		uid: "spillway-self", title: "Spillway / Exporters", target: `target=~"$target"`, targetVariable: target,
		description: "Whether the exporters themselves are well: sampler, sources, rules, webhook, journal, and what they cost.",
	}
	b.row("Now",
		worst("Exporters down", "Exporters that Prometheus does not reach: of those hosts nothing is known.", "count("+b.own("up")+" == 0) or vector(0)"),
		stat("Journal writable", "No on any exporter means that no action runs there.", "none", "min("+b.own("spillway_journal_writable")+")").mapped(yesNo).runbook("SpillwayJournalUnwritable"),
		stat("Journal durable", "No on any exporter means that its journal is in memory and only dry runs are allowed.", "none", "min("+b.own("spillway_journal_durable")+")").mapped(yesNo),
		stat("Configuration loaded", "No on any exporter means that its last reload failed and the configuration before it still runs.", "none",
			"min("+b.own("spillway_config_last_reload_successful")+")").mapped(yesNo).runbook("SpillwayConfigReloadFailed"),
		worst("Failing sources", "Sources whose last sample failed: what they read is absent.", "count("+b.of("spillway_source_success")+" == 0) or vector(0)").runbook("SpillwaySourceFailing"),
		worst("Stuck sources", "Sources whose last sample does not return, as from a mount whose server is gone.", "sum("+b.of("spillway_lane_stuck")+") or vector(0)").runbook("SpillwaySourceStuck"),
		stat("Versions", "Different versions of the exporter that are scraped.", "none", "count(count by (version) ("+b.own("spillway_exporter_build_info")+"))"),
	)
	b.row("Sampler", b.sampler()...)
	b.row("Sources", b.sources()...)
	b.row("Rules and alerts", b.evaluator()...)
	b.row("Dispatch and journal", b.dispatch()...)
	b.row("What an exporter costs", b.cost()...)
	b.folded("Reload and discovery", b.discovery()...)
	return b
}

// worst is a number that is best at 0.
func worst(title, description, expr string) *jsonPanel {
	return stat(title, description, "none", expr, "green", 1, "red")
}

func (b *board) sampler() []*jsonPanel {
	bucket := b.own("spillway_sampler_tick_duration_seconds_bucket")
	return []*jsonPanel{
		graph("Sweeps", "Sweeps of the sampler per second, over all its lanes (processes, folders, heap ...), and the readings between two sweeps, by reason.", "ops", 6,
			q(rate(b.own("spillway_sampler_ticks_total")), "{{instance}}"), q(rate(b.own("spillway_sampler_wakes_total"))+" > 0", "{{reason}} {{instance}}")),
		bars("Sweeps left out", "Sweeps that were left out because the one before took longer than the interval.", "none", 6,
			q(sumBy("instance", increase(b.own("spillway_sampler_ticks_missed_total"))), "{{instance}}")).runbook("SpillwaySamplerLate"),
		graph("Duration of a sweep", "Median and 95th percentile of the duration of a sweep.", "s", 6,
			q(quantile("0.5", "instance", bucket), "median {{instance}}"), q(quantile("0.95", "instance", bucket), "p95 {{instance}}")).runbook("SpillwaySamplerLate"),
		graph("Interval", "Present interval of each lane: shorter while a target is under pressure, longer to keep a scan within its budget.", "s", 6,
			q(b.own("spillway_sampler_interval_seconds"), "{{lane}} {{instance}}")),
	}
}

func (b *board) sources() []*jsonPanel {
	return []*jsonPanel{
		failing(b, b.target, 8).high(8),
		graph("Slowest sources", "The ten sources whose last sample took longest.", "s", 8, q("topk(10, "+b.of("spillway_source_duration_seconds")+")", "{{source}} {{target}} {{name}} {{instance}}")),
		graph("Age of the last success", "The ten sources whose last successful sample is longest ago.", "s", 8,
			q("topk(10, time() - "+b.of("spillway_source_last_success_timestamp_seconds")+")", "{{source}} {{target}} {{name}} {{instance}}")).runbook("SpillwaySourceFailing"),
		graph("Providers open", "Heap clients, watches and the evaluator open when they are needed and close when idle; and the kernel notifications that are registered, by reason.", "none", 8,
			q(b.own("spillway_provider_open"), "{{provider}} {{instance}}"), q(b.own("spillway_wake_watches"), "kernel: {{reason}} {{instance}}")),
		bars("Providers opened", "Openings that succeeded. Many of one kind mean that it is lost again and again.", "none", 8,
			q(sumBy("provider, instance", increase(b.own("spillway_provider_opens_total"))), "{{provider}} {{instance}}")),
		bars("Providers that failed", "Openings that failed, and open ones that broke.", "none", 8,
			q(sumBy("provider, instance", increase(b.own("spillway_provider_failures_total"))), "{{provider}} {{instance}}")).runbook("SpillwaySourceFailing"),
	}
}

func (b *board) evaluator() []*jsonPanel {
	return []*jsonPanel{
		graph("Evaluations", "Evaluations of the rules by the exporter itself per second, those of single targets in between (a level changed or is above normal), and those left out because the one before took too long (bars).", "ops", 8,
			q(rate(b.own("spillway_evaluator_evaluations_total")), "{{instance}}"), q(rate(b.own("spillway_evaluator_target_evaluations_total")), "targets {{instance}}"), q(increase(b.own("spillway_evaluator_evaluations_missed_total")), "left out {{instance}}")).right("/^left out /", "none"),
		graph("Duration of an evaluation", "Duration of the last evaluation, gathering included.", "s", 8, q(b.own("spillway_evaluator_evaluation_duration_seconds"), "{{instance}}")),
		bars("Rules that failed", "Evaluations of single rules that failed, and the rules whose last evaluation did.", "none", 8,
			q(sumBy("instance", increase(b.own("spillway_evaluator_rule_failures_total"))), "evaluations {{instance}}"),
			q(b.own("spillway_evaluator_rule_failing"), "{{rule}} {{instance}}")).runbook("SpillwayRulesFailing"),
		bars("Alerts told", "Alerts handed to the dispatcher, repeats included, and those that it did not take and that are told again.", "none", 8,
			q(sumBy("instance", increase(b.own("spillway_evaluator_notifications_total"))), "told {{instance}}"),
			q(sumBy("instance", increase(b.own("spillway_evaluator_notifications_refused_total"))), "not taken {{instance}}")),
		graph("Series of the rules", "Series held for the rules, and samples dropped because their limit was reached (bars).", "none", 8,
			q(b.own("spillway_evaluator_series"), "{{instance}}"), q(increase(b.own("spillway_evaluator_series_dropped_total")), "dropped {{instance}}")).right("/^dropped /", "none"),
		bars("Watchers", "Changes of a level that watchers were told, by how that ended, and those that a newer change replaced.", "none", 8,
			q(sumBy("kind, outcome", increase(b.own("spillway_watcher_notifications_total"))), "{{kind}}: {{outcome}}"),
			q(sumBy("instance", increase(b.own("spillway_watcher_superseded_total"))), "replaced {{instance}}")),
	}
}

func (b *board) dispatch() []*jsonPanel {
	return []*jsonPanel{
		graph("Webhook requests", "Answers of the webhook by code. 503 means that the Alertmanager will come again; 400, 401 and 413 need a person.", "reqps", 8,
			q(sumBy("code", rate(b.own("spillway_webhook_requests_total"))), "{{code}}")),
		bars("Alerts by disposition", "Alerts that came through the webhook, by what was decided: accepted, duplicate, cooldown, no_playbook, not_ours, resolved, refused.", "none", 8,
			q(sumBy("disposition", increase(b.own("spillway_webhook_alerts_total"))), "{{disposition}}")),
		graph("Runs waiting", "Runs that are recorded and have not begun, and runs that wait until what they have to remove is old enough or no longer in use.", "none", 8, q(b.own("spillway_dispatch_queue_length"), "{{instance}}: queued"), q(b.own("spillway_dispatch_waiting_runs"), "{{instance}}: not due yet")),
		graph("Time of a journal write", "Median and 95th percentile of one synced write, which may hold many records.", "s", 6,
			q(quantile("0.5", "instance", b.own("spillway_journal_commit_duration_seconds_bucket")), "median {{instance}}"),
			q(quantile("0.95", "instance", b.own("spillway_journal_commit_duration_seconds_bucket")), "p95 {{instance}}")),
		graph("Journal", "Bytes of the journal that hold records, as last counted.", "bytes", 6, q(b.own("spillway_journal_size_bytes"), "{{instance}}")).runbook("SpillwayJournalUnwritable"),
		graph("Time of an action", "95th percentile of the time that a run took, by action.", "s", 6,
			q(quantile("0.95", "action", b.own("spillway_action_duration_seconds_bucket")), "{{action}}")),
		graph("Reaction", "Median and 95th percentile of the time from the reading that crossed a threshold to the first effect, by level. A critical alert waits 10 s, a warning a minute.", "s", 6,
			q(quantile("0.5", "level", b.own("spillway_reaction_seconds_bucket")), "median {{level}}"),
			q(quantile("0.95", "level", b.own("spillway_reaction_seconds_bucket")), "p95 {{level}}")).runbook("SpillwayMemoryRunningOut"),
		graph("Alertmanagers that are polled or sent to", "Whether each answered at the last poll (1), where alertmanager.pull is configured, and took what was last sent to it, with alertmanager.push.", "none", 8,
			q(b.own("spillway_alertmanager_up"), "pull {{address}} {{instance}}"), q(b.own("spillway_alertmanager_push_up"), "push {{address}} {{instance}}")).runbook("SpillwayAlertmanagersUnreachable"),
		bars("Alerts sent to Alertmanagers", "Alerts of the rules that the exporter evaluates itself, repeats included, by outcome: sent, failed (they are sent again), dropped.", "none", 8,
			q(sumBy("address, outcome", increase(b.own("spillway_alertmanager_pushed_alerts_total")))+" > 0", "{{outcome}} {{address}}")).runbook("SpillwayAlertmanagersUnreachable"),
		graph("Polled alerts", "Alerts for the exporter that fired at the last poll, and the polls by outcome (bars).", "none", 8,
			q(b.own("spillway_alertmanager_alerts"), "alerts {{instance}}"), q(increase(b.own("spillway_alertmanager_requests_total")), "polls: {{outcome}} {{instance}}")).right("/^polls: /", "none"),
		graph("Age of the last poll", "Time since any Alertmanager answered.", "s", 8, q("time() - "+b.own("spillway_alertmanager_last_success_timestamp_seconds"), "{{instance}}")),
		bars("Captures of evidence", "Captures of what holds the memory of targets, by outcome. One is skipped where it would cost more than evidence allows.", "none", 8,
			q(sumBy("runtime, outcome", increase(b.own("spillway_evidence_captures_total")))+" > 0", "{{runtime}}: {{outcome}}")),
		graph("Pause for evidence", "95th percentile of the time until a service had answered a capture, which is the longest that it can have paused for it.", "s", 8,
			q(quantile("0.95", "runtime", b.own("spillway_evidence_pause_seconds_bucket")), "{{runtime}}")),
	}
}

func (b *board) cost() []*jsonPanel {
	return []*jsonPanel{
		graph("Memory", "Resident memory of the exporters. It is flat, however many processes come and go.", "bytes", 8, q(b.own("process_resident_memory_bytes"), "{{instance}}")),
		graph("Processor", "Share of one core that the exporters use.", "percentunit", 8, q(rate(b.own("process_cpu_seconds_total")), "{{instance}}")),
		graph("Duration of a scrape", "Time that Prometheus needs for a scrape. The exporter reads nothing for it but its own memory.", "s", 8, q(b.own("scrape_duration_seconds"), "{{instance}}")),
		graph("Go heap", "Heap of the exporters in use, and what the runtime has asked of the system (dashed).", "bytes", 8,
			q(b.own("go_memstats_heap_inuse_bytes"), "in use {{instance}}"), q(b.own("go_memstats_sys_bytes"), "system {{instance}}")).dashed("/^system /"),
		graph("Descriptors and goroutines", "Open file descriptors of the exporters, those of /proc that are held open included, and goroutines.", "none", 8,
			q(b.own("process_open_fds"), "descriptors {{instance}}"), q(b.own("go_goroutines"), "goroutines {{instance}}")),
		graph("Series", "Series that the exporters hold, samples that each scrape delivers, and values dropped because the limit of series was reached (bars).", "none", 8,
			q(b.own("spillway_series"), "held {{instance}}"), q(b.own("scrape_samples_scraped"), "scraped {{instance}}"),
			q(increase(b.own("spillway_series_dropped_total")), "dropped {{instance}}")).right("/^dropped /", "none"),
	}
}

func (b *board) discovery() []*jsonPanel {
	return []*jsonPanel{
		graph("Age of the configuration", "Time since the configuration was last loaded.", "s", 6, q("time() - "+b.own("spillway_config_last_reload_success_timestamp_seconds"), "{{instance}}")).runbook("SpillwayConfigReloadFailed"),
		table("Links of the alerts", "Where alerts link to: dashboard_url of each exporter's configuration, or its status page.", 24, 5,
			[]column{{"instance", "Instance"}, {"url", "Link"}, {"target_url", "Link of a target"}},
			rowsOf("max by (url, target_url, instance) ("+b.own("spillway_dashboard_info")+")")).exclude("Value"),
		graph("Processes of the host", "Processes in the last listing, and those of which this user may not read enough to decide which target they belong to.", "none", 6,
			q(b.own("spillway_discovery_processes"), "listed {{instance}}"), q(b.own("spillway_discovery_unreadable_processes"), "unreadable {{instance}}")),
		graph("Held descriptors", "Descriptors of /proc kept open so that memory is read with one system call each.", "none", 6, q(b.own("spillway_discovery_held_descriptors"), "{{instance}}")),
		bars("Lost events", "Times that the kernel dropped events of processes because they came too fast; with procevents.", "none", 6,
			q(sumBy("instance", increase(b.own("spillway_process_events_lost_total"))), "{{instance}}")),
	}
}
