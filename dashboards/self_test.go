package dashboards_test

// self is the dashboard of the exporters: whether what the other dashboards show can be trusted.
func self() *board {
	target := variable("target", "Target of the sources", `label_values(spillway_source_success{`+chosen+`, job=~"$job", instance=~"$instance"}, target)`)
	target["allValue"] = ".*" // a source of the whole host has no target
	b := &board{
		uid: "spillway-self", title: "Spillway / Exporters", target: `target=~"$target"`, targetVariable: target,
		description: "Whether the exporters themselves are well: sampler, sources, rules, webhook, journal, and what they cost.",
	}
	b.row("Now", narrow(3,
		stat("Exporters up", "Exporters that Prometheus reaches. Other jobs do not count.", "none", "count("+b.up()+") or vector(0)"),
		worst("Exporters down", "Exporters that Prometheus does not reach: of those hosts nothing is known. Other jobs do not count.", "count("+b.down()+") or vector(0)"),
		stat("Journal writable", "No on any exporter means that no action runs there.", "none", "min("+b.own("spillway_journal_writable")+")").mapped(yesNo).runbook("SpillwayJournalUnwritable"),
		stat("Journal durable", "No on any exporter means that its journal is in memory and only dry runs are allowed.", "none", "min("+b.own("spillway_journal_durable")+")").mapped(yesNo),
		stat("Configuration loaded", "No on any exporter means that its last reload failed and the configuration before it still runs.", "none",
			"min("+b.own("spillway_config_last_reload_successful")+")").mapped(yesNo).runbook("SpillwayConfigReloadFailed"),
		worst("Failing sources", "Sources whose last sample failed: what they read is absent.", "count("+b.of("spillway_source_success")+" == 0) or vector(0)").runbook("SpillwaySourceFailing"),
		worst("Stuck sources", "Sources whose last sample does not return, as from a mount whose server is gone.", "sum("+b.of("spillway_lane_stuck")+") or vector(0)").runbook("SpillwaySourceStuck"),
		stat("Versions", "Different versions of the exporter that are scraped.", "none", "count(count by (version) ("+b.own("spillway_exporter_build_info")+"))"))...)
	b.row("Sampler", b.sampler()...)
	b.row("Sources", b.sources()...)
	b.row("Rules and alerts", b.evaluator()...)
	b.row("Dispatch and journal", b.dispatch()...)
	b.row("What an exporter costs", b.cost()...)
	b.folded("Alertmanagers that are polled or sent to", needing("no Alertmanager is configured: see alertmanager in the configuration", b.alertmanagers()...)...)
	b.folded("History", needing("no history is kept: see history in the configuration", b.history()...)...)
	b.folded("Reload and discovery", b.discovery()...)
	return b
}

// narrow gives the panels another width.
func narrow(w int, panels ...*jsonPanel) []*jsonPanel {
	for _, p := range panels {
		p.GridPos.W = w
	}
	return panels
}

// worst is a number that is best at 0.
func worst(title, description, expr string) *jsonPanel {
	return stat(title, description, "none", expr, "green", 1, "red")
}

func (b *board) sampler() []*jsonPanel {
	ticks, missed := rate(b.own("spillway_sampler_ticks_total")), b.own("spillway_sampler_ticks_missed_total")
	return []*jsonPanel{
		graph("Sweeps", "Sweeps of an exporter's sampler per second, over all its lanes (processes, folders, heap ...): the fewest, the median and the most; and the readings between two sweeps of all exporters, by reason.", "ops", 6,
			q("min("+ticks+")", "fewest"), q("quantile(0.5, "+ticks+")", "median of all"), q("max("+ticks+")", "most"),
			q(sumBy("reason", rate(b.own("spillway_sampler_wakes_total")))+" > 0", "all: {{reason}}")).ofAll(),
		bars("Sweeps left out", "Sweeps that were left out because the one before took longer than the interval, of the ten exporters with most.", "none", 6,
			q(grown(lineCount, "cluster, instance", missed), "{{instance}}")).runbook("SpillwaySamplerLate"),
		b.slowest("Duration of a sweep", "Median and 95th percentile of the duration of a sweep over all exporters, and the 95th percentile of the slowest eight.", 6, "spillway_sampler_tick_duration_seconds_bucket").runbook("SpillwaySamplerLate"),
		graph("Interval", "Longest present interval of each lane over all exporters, and the shortest: shorter while a target is under pressure, longer to keep a scan within its budget.", "s", 6,
			q("max by (lane) ("+b.own("spillway_sampler_interval_seconds")+")", "{{lane}}"), q("min by (lane) ("+b.own("spillway_sampler_interval_seconds")+")", "shortest {{lane}}")).dashed("/^shortest /"),
	}
}

func (b *board) sources() []*jsonPanel {
	return []*jsonPanel{
		failing(b, b.target, 8).high(8),
		graph("Slowest sources", "The ten sources whose samples took longest in the time range.", "s", 8, q(highest(lineCount, b.of("spillway_source_duration_seconds")), "{{source}} {{target}} {{name}} {{instance}}")),
		graph("Age of the last success", "The ten sources whose last successful sample is longest ago.", "s", 8,
			q(ages(lineCount, b.of("spillway_source_last_success_timestamp_seconds")), "{{source}} {{target}} {{name}} {{instance}}")).runbook("SpillwaySourceFailing"),
		graph("Providers open", "Heap clients, watches and the evaluator open when they are needed and close when idle; and the kernel notifications that are registered, by reason. Of all exporters.", "none", 8,
			q(only(lineCount, sumBy("provider", b.own("spillway_provider_open")), sumBy("provider", highestIn(b.own("spillway_provider_open")))), "{{provider}}"), q(sumBy("reason", b.own("spillway_wake_watches")), "kernel: {{reason}}")),
		bars("Providers opened", "Openings that succeeded, the ten most frequent. Many of one kind mean that it is lost again and again.", "none", 8,
			q(grown(lineCount, "provider, cluster, instance", b.own("spillway_provider_opens_total")), "{{provider}} {{instance}}")),
		bars("Providers that failed", "Openings that failed, and open ones that broke, the ten most frequent.", "none", 8,
			q(grown(lineCount, "provider, cluster, instance", b.own("spillway_provider_failures_total")), "{{provider}} {{instance}}")).runbook("SpillwaySourceFailing"),
	}
}

func (b *board) evaluator() []*jsonPanel {
	evaluations := rate(b.own("spillway_evaluator_evaluations_total"))
	rules := "count by (rule) (" + b.own("spillway_evaluator_rule_failing") + ")"
	return []*jsonPanel{
		graph("Evaluations", "Evaluations of the rules by an exporter itself per second: the fewest, the median and the most; those of single targets in between (a level changed or is above normal) by all exporters; and those left out because the one before took too long, of the eight exporters with most (bars).", "ops", 8,
			q("min("+evaluations+")", "fewest"), q("quantile(0.5, "+evaluations+")", "median of all"), q("max("+evaluations+")", "most"),
			q("sum("+rate(b.own("spillway_evaluator_target_evaluations_total"))+")", "targets"),
			q(grown(8, "cluster, instance", b.own("spillway_evaluator_evaluations_missed_total")), "left out {{instance}}")).ofAll().right("/^left out /", "none"),
		spread("Duration of an evaluation", "Duration of the last evaluation, gathering included: the ten longest, and where all exporters stand.", "s", 8, b.own("spillway_evaluator_evaluation_duration_seconds"), "{{instance}}"),
		bars("Rules that failed", "Evaluations of single rules that failed, of the eight exporters with most, and at how many exporters the last evaluation of a rule did.", "none", 8,
			q(grown(8, "cluster, instance", b.own("spillway_evaluator_rule_failures_total")), "evaluations {{instance}}"),
			q(only(8, rules, "count by (rule) ("+highestIn(b.own("spillway_evaluator_rule_failing"))+")"), "{{rule}}")).runbook("SpillwayRulesFailing"),
		bars("Alerts handed over", "Alerts handed to the dispatchers, repeats included, and those that were refused and are sent again, of the eight exporters with most.", "none", 8,
			q("sum("+increase(b.own("spillway_evaluator_notifications_total"))+")", "handed over"),
			q(grown(8, "cluster, instance", b.own("spillway_evaluator_notifications_refused_total")), "refused {{instance}}")),
		graph("Series of the rules", "Series held for the rules by the eight exporters with most, where all stand, and samples dropped because their limit was reached (bars).", "none", 8,
			append(among(b.own("spillway_evaluator_series")), q(highest(8, b.own("spillway_evaluator_series")), "{{instance}}"),
				q(grown(8, "cluster, instance", b.own("spillway_evaluator_series_dropped_total")), "dropped {{instance}}"))...).ofAll().right("/^dropped /", "none"),
		bars("Watchers", "Changes of a level that watchers received, by outcome, and those that a newer change replaced. Of all exporters.", "none", 8,
			q(sumBy("kind, outcome", increase(b.own("spillway_watcher_notifications_total"))), "{{kind}}: {{outcome}}"),
			q("sum("+increase(b.own("spillway_watcher_superseded_total"))+")", "replaced")),
	}
}

func (b *board) dispatch() []*jsonPanel {
	return []*jsonPanel{
		graph("Webhook requests", "Answers of the webhook by code, of all exporters. After 503 the Alertmanager retries; 400, 401 and 413 need a person.", "reqps", 8,
			q(sumBy("code", rate(b.own("spillway_webhook_requests_total"))), "{{code}}")),
		bars("Alerts by disposition", "Alerts that came through the webhook, by what was decided: "+dispositions+". Of all exporters.", "none", 8,
			q(sumBy("disposition", increase(b.own("spillway_webhook_alerts_total"))), "{{disposition}}")),
		graph("Runs waiting", "Runs that are recorded and have not begun, and runs that wait until what they have to remove is old enough or no longer in use, of the exporters with most.", "none", 8,
			q(highest(8, b.own("spillway_dispatch_queue_length")), "{{instance}}: queued"), q(highest(8, b.own("spillway_dispatch_waiting_runs")), "{{instance}}: not due yet")),
		b.slowest("Time of a journal write", "Median and 95th percentile of one synced write over all exporters, and the 95th percentile of the slowest eight. A write may hold many records.", 12, "spillway_journal_commit_duration_seconds_bucket"),
		spread("Journal", "Bytes of the journal that hold records, as last counted: the ten largest, and where all stand.", "bytes", 12, b.own("spillway_journal_size_bytes"), "{{instance}}").runbook("SpillwayJournalUnwritable"),
	}
}

// alertmanagers are those that are polled or sent to.
func (b *board) alertmanagers() []*jsonPanel {
	return []*jsonPanel{
		graph("Reached", "Share of the exporters that each answered at their last poll, where alertmanager.pull is configured, and that it took what was last sent from, with alertmanager.push. Of each kind the eight that fewest reached.", "percentunit", 6,
			q(reachedBy(b.own("spillway_alertmanager_up")), "pull {{address}}"), q(reachedBy(b.own("spillway_alertmanager_push_up")), "push {{address}}")).set("max", 1).runbook("SpillwayAlertmanagersUnreachable"),
		bars("Alerts sent to Alertmanagers", "Alerts of the rules that the exporters evaluate themselves, repeats included, by outcome: sent, failed (they are sent again), dropped. The ten most frequent.", "none", 6,
			q(most(lineCount, "address, outcome", b.own("spillway_alertmanager_pushed_alerts_total")), "{{outcome}} {{address}}")).runbook("SpillwayAlertmanagersUnreachable"),
		graph("Polled alerts", "Alerts for the exporters that fired at the last poll, and the polls by outcome (bars). Of all exporters.", "none", 6,
			q("sum("+b.own("spillway_alertmanager_alerts")+")", "alerts"), q(sumBy("outcome", increase(b.own("spillway_alertmanager_requests_total"))), "polls: {{outcome}}")).right("/^polls: /", "none"),
		graph("Age of the last poll", "Time since any Alertmanager answered, of the ten exporters with the longest.", "s", 6, q(ages(lineCount, b.own("spillway_alertmanager_last_success_timestamp_seconds")), "{{instance}}")),
	}
}

// history is the file of values alongside the journal.
func (b *board) history() []*jsonPanel {
	return []*jsonPanel{
		spread("History", "Bytes of the history that hold values: the ten largest, and where all stand.", "bytes", 6, b.own("spillway_history_size_bytes"), "{{instance}}"),
		spread("Series in the history", "Series in the last five minutes that the history has: the ten with the most, and where all stand.", "none", 6, b.own("spillway_history_series"), "{{instance}}"),
		graph("Age of the history", "Time since the last addition to the history, which comes every five minutes, of the ten exporters with the longest.", "s", 6, q(ages(lineCount, b.own("spillway_history_last_append_timestamp_seconds")), "{{instance}}")),
		bars("Trouble with the history", "Additions that failed, such as on a full disk, and damaged parts that were dropped, of all exporters.", "none", 6,
			q("sum("+increase(b.own("spillway_history_append_failures_total"))+")", "failed"), q("sum("+increase(b.own("spillway_history_damaged_parts_total"))+")", "damaged")),
	}
}

// reachedBy is the share of the exporters that reach an Alertmanager, of those that fewest reached.
func reachedBy(selector string) string {
	return "avg by (address) (" + selector + ") and bottomk(8, avg by (address) (" + whole("avg_over_time", selector) + "))"
}

func (b *board) cost() []*jsonPanel {
	memory, cpu := b.own("process_resident_memory_bytes"), b.own("process_cpu_seconds_total")
	scrape := b.own("scrape_duration_seconds")
	busiest := only(lineCount, b.ours(rate(cpu)), grownIn(cpu)+onInstance+b.seen())
	return []*jsonPanel{
		graph("Memory", "Resident memory of the exporters: the ten largest, and where all stand. It is flat, however many processes come and go.", "bytes", 8,
			append(among(b.ours(memory)), q(b.most(lineCount, "process_resident_memory_bytes"), "{{instance}}"))...).ofAll(),
		graph("Processor", "Share of one core that an exporter uses: the ten busiest, and where all stand.", "percentunit", 8, append(among(b.ours(rate(cpu))), q(busiest, "{{instance}}"))...).ofAll(),
		graph("Duration of a scrape", "Time that Prometheus needs for a scrape: the ten longest, and where all stand. The exporter reads nothing for it but its own memory.", "s", 8,
			append(among(b.ours(scrape)), q(b.most(lineCount, "scrape_duration_seconds"), "{{instance}}"))...).ofAll(),
		graph("Go heap", "Heap of the exporters in use, and what the runtime has requested from the system (dashed), of those with most.", "bytes", 8,
			q(b.most(8, "go_memstats_heap_inuse_bytes"), "in use {{instance}}"), q(b.most(8, "go_memstats_sys_bytes"), "system {{instance}}")).dashed("/^system /"),
		graph("Descriptors and goroutines", "Open file descriptors of the exporters, those of /proc that are held open included, and goroutines, of those with most.", "none", 8,
			q(b.most(8, "process_open_fds"), "descriptors {{instance}}"), q(b.most(8, "go_goroutines"), "goroutines {{instance}}")),
		graph("Series", "Series that the exporters hold, samples that each scrape delivers, and values dropped because the limit of series was reached (bars), of the exporters with most.", "none", 8,
			q(highest(6, b.own("spillway_series")), "held {{instance}}"), q(b.most(6, "scrape_samples_scraped"), "scraped {{instance}}"),
			q(grown(6, "cluster, instance", b.own("spillway_series_dropped_total")), "dropped {{instance}}")).right("/^dropped /", "none"),
	}
}

func (b *board) discovery() []*jsonPanel {
	return []*jsonPanel{
		graph("Age of the configuration", "Time since the configuration was last loaded, of the ten exporters with the oldest.", "s", 6, q(ages(lineCount, b.own("spillway_config_last_reload_success_timestamp_seconds")), "{{instance}}")).runbook("SpillwayConfigReloadFailed"),
		graph("Processes of the host", "Processes in the last listing, and those of which the exporter's user may not read enough to decide which target they belong to, of the hosts with most.", "none", 6,
			q(highest(8, b.own("spillway_discovery_processes")), "listed {{instance}}"), q(highest(8, b.own("spillway_discovery_unreadable_processes")), "unreadable {{instance}}")),
		spread("Held descriptors", "Descriptors of /proc kept open so that memory is read with one system call each: the ten exporters with most, and where all stand.", "none", 6, b.own("spillway_discovery_held_descriptors"), "{{instance}}"),
		bars("Lost events", "Times that the kernel dropped events of processes because they came too fast, on the ten hosts with most; with procevents.", "none", 6,
			q(grown(lineCount, "cluster, instance", b.own("spillway_process_events_lost_total")), "{{instance}}")),
		table("Links of the alerts", "Where alerts link to: dashboard_url of each exporter's configuration, or its status page. At most fifteen exporters: choose others by their instance.", 24, 5,
			[]column{{"instance", "Instance"}, {"cluster", "Cluster"}, {"url", "Link"}, {"target_url", "Link of a target"}},
			rowsOf("topk(15, max by (url, target_url, cluster, instance) ("+b.own("spillway_dashboard_info")+"))")).exclude("Value"),
	}
}
