package dashboards_test

import (
	"fmt"
	"strings"
)

// anyOrNone also selects what has no target, as an alert about the exporter itself.
const anyOrNone = `target=~"($target|)"`

// overview is the dashboard of a fleet: which target is worst, what was done, what it gave back.
func overview() *board {
	b := &board{
		uid: "spillway-overview", title: "Spillway / Overview", target: `target=~"$target"`, annotateTarget: true,
		description:    "Which target is nearest to its limits, what was done about it, and what that gave back: the worst first, over all hosts.",
		targetVariable: variable("target", "Target", `label_values(`+anyTarget(`instance=~"$instance"`)+`, target)`),
	}
	b.row("Now", b.worstNow()...)
	b.row("Nearest to their limits", worstTable(b), b.fullestCaches(), b.fullestFolders())
	b.row("Hosts", b.hostsTable())
	b.row("Fleet",
		bars("Targets by level", "How many targets are at each level, with the exporters' own hysteresis.", "none", 8,
			q(`count_values("level", `+b.of("spillway_memory_level")+")", "{{level}}")).byLevel(),
		timeline("Levels", "The levels of the ten targets that were worst in the time range, with hysteresis: three samples up (one to emergency), five samples and five points down.", 16,
			levels, q(only(lineCount, b.of("spillway_memory_level"), highestIn(b.of("spillway_memory_level"))+" + "+highestIn(b.of("spillway_memory_used_ratio"))+" / 10"), "{{target}} {{instance}}")).linked(),
		spread("Memory against its limit", "Used memory as a share of the limit: the ten targets that were nearest to it in the time range, the median and the 95th percentile of all, and the thresholds that the exporter publishes. Where targets have thresholds of their own, the lowest are drawn.", "percentunit", 8,
			b.of("spillway_memory_used_ratio"), "{{target}} {{instance}}", b.thresholds("memory")).levelled().linked().runbook("SpillwayMemoryCritical"),
		graph("Resident memory", "RSS of the processes of the largest targets, and its peak between scrapes (dashed).", "bytes", 8,
			q(highest(lineCount-2, b.of("spillway_memory_resident_bytes")), "{{target}} {{instance}}"),
			q(highest(lineCount-2, b.of("spillway_memory_window_max_bytes")), "peak {{target}} {{instance}}")).dashed("/^peak /").linked(),
		graph("Growth", "Robust trend of the used memory of the ten targets that grew fastest: what survives garbage collections. A lasting value above 0 is likely a leak.", "binBps", 8,
			q(highest(lineCount, b.of("spillway_memory_growth_bytes_per_second")), "{{target}} {{instance}}")).linked().runbook("SpillwayMemoryLeakSuspected").noValue("no trend is known yet"),
	)
	b.row("Actions",
		bars("Playbook runs", "Runs that ended, by outcome: "+runOutcomes+". The ten most frequent.", "none", 8,
			q(most(lineCount, "target, playbook, outcome", b.of("spillway_playbook_runs_total")), "{{target}} {{playbook}}: {{outcome}}")).
			runbook("SpillwayReliefIneffective"),
		bars("Freed", "Space given back to the disk, by action: the ten largest sums. Only the last link of a file counts.", "bytes", 8,
			q(most(lineCount, "target, action", b.of("spillway_action_freed_bytes_total")), "{{target}} {{action}}")),
		bars("Files removed", "Files removed, by action: the ten largest numbers.", "none", 8,
			q(most(lineCount, "target, action", b.of("spillway_action_removed_files_total")), "{{target}} {{action}}")),
		bars("Actions by outcome", "Runs of single actions that ended, by outcome: done, partial, failed, dry_run, unknown. A dry run changed nothing.", "none", 8,
			q(most(lineCount, "action, outcome", b.of("spillway_action_runs_total")), "{{action}}: {{outcome}}")).
			runbook("SpillwayActionFailing"),
		bars("Files left in place", "Files that were due and were left, by reason: too_young, in_use, changed, hardlink and so on. Many in_use means that the service still holds them.", "none", 8,
			q(most(lineCount, "target, action, reason", b.of("spillway_action_skipped_files_total")), "{{target}} {{action}}: {{reason}}")),
		bars("Why an action did not run", "Alerts that led to no run, by reason: "+skipReasons+". The ten most frequent.", "none", 8,
			q(most(lineCount, "target, action, reason", b.of("spillway_action_skips_total")), "{{target}} {{action}}: {{reason}}")),
	)
	b.row("Alerts and exporters", firingCounts(b), failingCounts(b),
		graph("Exporters", "Exporters that Prometheus reaches, and those that it does not: of a host without an exporter nothing above is known. Other jobs do not count. One that was never reached counts where all else that is up in its job is an exporter.", "none", 24,
			q("count("+b.up()+")", "up"), q("count("+b.down()+")", "down")).high(6))
	b.folded("Success figures",
		graph("Share of the figures met", "Share of the targets that keep each figure of success: memory, cache, temp_files, response, startup. Recorded by the shipped rules, so it needs them in this Prometheus.", "percentunit", 24,
			q("avg by (slo) ("+b.of("target:spillway_slo:met")+")", "{{slo}}")).set("max", 1).high(6).noValue("the shipped rules are not loaded in this Prometheus"))
	b.folded("Reaction time", b.reaction()...)
	b.folded("Restarts", b.restarts()...)
	b.folded("Proposals, pauses and budgets", b.autonomy()...)
	b.folded("Evidence", b.evidence()...)
	b.folded("Heaps", needing("no heap is read: see heap in the configuration of a target",
		spread("Heap against its limit", "The runtime's own heap as a share of the size at which it gives up: the ten nearest to it, where all stand, and the thresholds.", "percentunit", 24,
			b.of("spillway_heap_used_ratio"), "{{target}} {{runtime}} {{instance}}", b.thresholds("heap")).levelled().linked().runbook("SpillwayHeapCritical"))...)
	b.folded("Memory and pressure of the hosts", b.hosts()...)
	b.folded("Files of all targets", b.allFiles()...)
	return b
}

func (b *board) worstNow() []*jsonPanel {
	return []*jsonPanel{
		stat("Targets under pressure", "Targets whose memory is at warning or above, with the exporter's own hysteresis. The table below has the worst first.", "none",
			"count("+b.of("spillway_memory_level")+" >= 1) or vector(0)", "green", 1, "orange"),
		stat("Alerts firing", "Alerts of the shipped rules that fire in this Prometheus. An exporter that evaluates the rules itself (standalone) shows its alerts on its own page only.", "none",
			"count("+b.own("ALERTS", `alertname=~"Spillway.+"`, `alertstate="firing"`)+") or vector(0)", "green", 1, "red"),
		stat("Nearest exhaustion", "The least time until a target reaches its memory limit at its present growth. Nothing grows when it is empty.", "s",
			"min("+b.of("spillway_memory_exhaustion_seconds")+" < +Inf)", "red", 3600, "orange", 86400, "green").
			noValue("nothing grows").runbook("SpillwayMemoryLeakSuspected"),
		stat("Freed", "Space given back to the disk by all actions in the time range. Dry runs free nothing and count nothing.", "bytes",
			"sum("+ranged(b.of("spillway_action_freed_bytes_total"))+") or vector(0)"),
		stat("Files removed", "Files removed by all actions in the time range.", "none",
			"round(sum("+ranged(b.of("spillway_action_removed_files_total"))+")) or vector(0)").set("decimals", 0),
		stat("Relief that did not help", "Playbooks that ran to their end in the time range and left the target at its level: outcome ineffective.", "none",
			"round(sum("+ranged(b.of("spillway_playbook_runs_total", `outcome="ineffective"`))+")) or vector(0)", "green", 1, "red").
			set("decimals", 0).runbook("SpillwayReliefIneffective"),
		stat("Exporters up", "Exporters that Prometheus reaches. Other jobs do not count.", "none", "count("+b.up()+") or vector(0)"),
		worst("Exporters down", "Exporters that Prometheus does not reach: of those hosts nothing is known. Other jobs do not count.", "count("+b.down()+") or vector(0)"),
		stat("Waiting for approval", "Proposals of playbooks in mode propose that wait for a person.", "none",
			"sum("+b.of("spillway_proposals")+") or vector(0)", "green", 1, "orange").runbook("SpillwayApprovalWaiting"),
		stat("Restarts that need a person", "Targets that are not restarted although a playbook wants it and waiting does not help.", "none",
			"count("+b.of("spillway_restart_needs_human")+") or vector(0)", "green", 1, "red").runbook("SpillwayNeedsHuman"),
		stat("Targets paused", "Targets for which a person has paused what begins by itself.", "none",
			"count("+b.of("spillway_paused")+" == 1) or vector(0)", "green", 1, "orange"),
		stat("Reaction time", "95th percentile of the time from the reading that crossed a threshold to the first effect of the run that it led to, over the time range, of critical and emergency alone: a warning waits a minute.", "s",
			"histogram_quantile(0.95, "+sumBy("le", ranged(b.own("spillway_reaction_seconds_bucket", `level=~"critical|emergency"`)))+") >= 0").noValue("no run had an effect").runbook("SpillwayMemoryRunningOut"),
	}
}

func worstTable(b *board) *jsonPanel {
	by := func(expr string) string { return "max by (cluster, job, instance, target) (" + expr + ")" }
	on := " and on (" + perHost + ", target) "
	down, order := b.downTargets(), b.badness()
	// Every column is of the same fifteen targets.
	worst := func(expr string) query { return rowsOf(by(expr) + on + "topk(15, " + order + ")") }
	p := table("Worst first", "One line per target, those that are down first, then the highest level and the fullest within it, at most fifteen. The name leads to the target's dashboard and to its page at the exporter.", 24, 8,
		[]column{
			{"target", "Target"},
			{"instance", "Instance"},
			{"cluster", "Cluster"},
			{"job", "Job"},
			{"Value #A", "Level"},
			{"Value #B", "Used"},
			{"Value #C", "Memory"},
			{"Value #D", "Limit"},
			{"Value #E", "Peak RSS"},
			{"Value #F", "Growth"},
			{"Value #G", "Full in"},
			{"Value #H", "Freed"},
			{"Value #I", "Order"},
		},
		worst(b.of("spillway_memory_level")+" or "+down), worst(b.of("spillway_memory_used_ratio")), worst(b.of("spillway_memory_used_bytes")), worst(b.of("spillway_memory_limit_bytes")),
		worst(b.of("spillway_memory_window_max_bytes")), worst(b.of("spillway_memory_growth_bytes_per_second")),
		worst(b.of("spillway_memory_exhaustion_seconds")+" < +Inf"),
		worst(sumBy("cluster, job, instance, target", ranged(b.of("spillway_action_freed_bytes_total")))),
		rowsOf("topk(15, "+order+")"))
	p.sortedBy("Order")
	p.noValue("no target is watched")
	p.override("byName", "Level", property("mappings", []obj{levelsOrDown}), property("custom.cellOptions", obj{"type": "color-background", "mode": "basic"}))
	// The thresholds of each target are its own, so the bar is coloured by how full it is, and
	// the column before it by the level that the exporter made of it.
	p.override("byName", "Used", property("unit", "percentunit"), property("decimals", 1), property("min", 0), property("max", 1),
		property("custom.cellOptions", obj{"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}), property("color", obj{"mode": "continuous-GrYlRd"}))
	for _, c := range []string{"Memory", "Limit", "Peak RSS", "Freed"} {
		p.override("byName", c, property("unit", "bytes"))
	}
	p.override("byName", "Growth", property("unit", "binBps"))
	p.override("byName", "Full in", property("unit", "s"))
	return p.override("byName", "Target", property("links", []obj{
		{"title": "Dashboard of this target", "url": "/d/spillway-target?" + hostLink + "&var-target=${__data.fields.Target}"},
		{"title": "Page of this target at the exporter", "url": "http://${__data.fields.Instance}/target/${__data.fields.Target}", "targetBlank": true},
	}))
}

func (b *board) fullestCaches() *jsonPanel {
	return gauges("Fullest caches", "The ten caches that are nearest to one of their limits (bytes, entries, space left on the disk). Above 100 % the entries used longest ago are evicted.", 12,
		q("topk(10, "+b.of("spillway_cache_used_ratio")+")", "{{target}}/{{cache}} {{instance}}")).runbook("SpillwayCacheOverLimit").noValue("no cache has a limit")
}

func (b *board) fullestFolders() *jsonPanel {
	return gauges("Fullest temporary folders", "The ten temporary folders that are fullest for their limits. Above 100 % the oldest files are removed.", 12,
		q("topk(10, "+b.of("spillway_temp_used_ratio")+")", "{{target}}/{{dir}} {{instance}}")).runbook("SpillwayTempFilesPiledUp").noValue("no temporary folder has a limit")
}

// thresholded is a ratio with the thresholds that the exporter publishes.
func thresholded(b *board, title, description, metric, legend string) *jsonPanel {
	signal := "memory"
	if strings.Contains(metric, "heap") {
		signal = "heap"
	}
	return graph(title, description, "percentunit", 12, q(b.of(metric), legend), b.thresholds(signal)).levelled().linked()
}

// thresholds are where the levels of a signal begin.
func (b *board) thresholds(signal string) query {
	return q("min by (level) ("+b.of("spillway_threshold_ratio", fmt.Sprintf("signal=%q", signal))+")", "{{level}}")
}

func (p *jsonPanel) byLevel() *jsonPanel {
	for _, l := range [][3]string{{"0", "normal", "green"}, {"1", "warning", "yellow"}, {"2", "critical", "orange"}, {"3", "emergency", "red"}} {
		p.override("byName", l[0], property("displayName", l[1]), property("color", obj{"mode": "fixed", "fixedColor": l[2]}))
	}
	return p
}

func (b *board) hosts() []*jsonPanel {
	total, free := b.own("spillway_host_swap_total_bytes"), b.own("spillway_host_swap_free_bytes")
	return []*jsonPanel{
		spread("Memory of the hosts", "Share of a host's memory that is not available to new processes, of the ten fullest, and where all stand. What is set aside for huge pages is left out, and what the ZFS cache can give back is available.", "percentunit", 8,
			b.own("spillway_memory_used_ratio", `target="host"`), "{{instance}}").set("max", 1),
		graph("Parts of the memory of all hosts", "All memory of the hosts together, what the kernel estimates to be available, what is set aside for huge pages, and what the ZFS cache can give back.", "bytes", 8,
			q("sum("+b.own("spillway_host_memory_total_bytes")+")", "total"), q("sum("+b.own("spillway_host_memory_available_bytes")+")", "available"),
			q("sum("+b.own("spillway_host_memory_hugetlb_bytes")+")", "huge pages"), q("sum("+b.own("spillway_host_memory_zfs_arc_reclaimable_bytes")+")", "ZFS cache")),
		graph("Swap of the hosts", "Swap space in use, of the ten hosts that used most.", "bytes", 8,
			q(only(lineCount, total+" - "+free, highestIn(total)+" - "+whole("min_over_time", free)), "{{instance}}")),
		graph("Waiting", "Share of the time in which at least one task of the host waited for the resource: the ten that waited longest.", "percentunit", 8,
			q(fastest(lineCount, b.own("spillway_host_pressure_waiting_seconds_total")), "{{resource}} {{instance}}")),
		graph("Stalled", "Share of the time in which all tasks of the host that had work waited for the resource: the ten that waited longest.", "percentunit", 8,
			q(fastest(lineCount, b.own("spillway_host_pressure_stalled_seconds_total")), "{{resource}} {{instance}}")),
		bars("Killed for lack of memory", "Processes of a host killed by the kernel for lack of memory, of the ten hosts with most.", "none", 8,
			q(grown(lineCount, "cluster, instance", b.own("spillway_host_oom_kills_total")), "{{instance}}")).runbook("SpillwayOOMKilled"),
	}
}

func (b *board) allFiles() []*jsonPanel {
	name := "{{target}}/{{dir}} {{instance}}"
	return needing("no such folder is configured",
		graph("Caches against their limits", "The fullest of a cache's limits (bytes, entries, space left), of the ten fullest caches.", "percentunit", 8,
			q(highest(lineCount, b.of("spillway_cache_used_ratio")), "{{target}}/{{cache}} {{instance}}")).runbook("SpillwayCacheOverLimit"),
		graph("Cache size", "Sum of the sizes of a cache's files, of the ten largest caches.", "bytes", 8,
			q(highest(lineCount, b.of("spillway_cache_size_bytes")), "{{target}}/{{cache}} {{instance}}")),
		graph("Cache hit ratio", "Share of look-ups that found their entry, over the window, of the ten caches with the lowest. Empty where a cache has no source of hits, and while nothing is asked.", "percentunit", 8,
			q(lowest(lineCount, b.of("spillway_cache_hit_ratio")), "{{target}}/{{cache}} {{instance}}")).runbook("SpillwayCacheHitRatioLow"),
		graph("Temporary files", "Temporary files, in the ten folders with most.", "none", 8, q(highest(lineCount, b.of("spillway_temp_files")), name)).runbook("SpillwayTempFilesPiledUp"),
		graph("Due temporary files", "Temporary files that a cleanup would remove now because they are too old or empty, in the ten folders with most.", "none", 8,
			q(highest(lineCount, b.of("spillway_temp_expired_files")), name)).runbook("SpillwayTempFilesExpired"),
		graph("Uploads and logs", "Size of the uploads and of the logs, in the largest folders.", "bytes", 8,
			q(highest(lineCount-2, b.of("spillway_upload_size_bytes")), "uploads "+name), q(highest(lineCount-2, b.of("spillway_log_size_bytes")), "logs "+name)).runbook("SpillwayLogsOverLimit"))
}

// firingCounts counts the alerts of a fleet by their name, each with its runbook.
func firingCounts(b *board) *jsonPanel {
	return table("Alerts that fire", "Alerts of the shipped rules that fire in this Prometheus, by how many targets or exporters; the name leads to the runbook. A target's own alerts are on its dashboard.", 12, 7,
		[]column{{"alertname", "Alert"}, {"severity", "Severity"}, {"Value", "Firing"}},
		rowsOf("topk(15, count by (alertname, severity) ("+b.own("ALERTS", anyOrNone, `alertname=~"Spillway.+"`, `alertstate="firing"`)+"))")).
		noValue("nothing fires").runbooks()
}

func (p *jsonPanel) runbooks() *jsonPanel {
	return p.override("byName", "Alert", property("links", []obj{{"title": "Runbook", "url": runbooks + "${__data.fields.Alert}.md", "targetBlank": true}}))
}

// failingCounts counts the readings of a fleet whose series are absent.
func failingCounts(b *board) *jsonPanel {
	return table("Readings that fail", "Sources whose last sample failed: what they read is absent from every panel. The dashboard of the exporters has the longest failing ones, the exporter's page the reason.", 12, 7,
		[]column{{"source", "Source"}, {"Value", "Failing"}},
		rowsOf("topk(15, count by (source) ("+b.own("spillway_source_success", anyOrNone)+" == 0))")).
		noValue("every reading works").runbook("SpillwaySourceFailing")
}

// firing lists the alerts, each with its runbook.
func firing(b *board, scope string, w int) *jsonPanel {
	return table("Alerts that fire", "Alerts of the shipped rules that fire in this Prometheus; the name leads to the runbook.", w, 7,
		[]column{{"alertname", "Alert"}, {"severity", "Severity"}, {"target", "Target"}, {"instance", "Instance"}, {"cluster", "Cluster"}},
		rowsOf("max by (alertname, severity, target, cluster, instance) ("+b.own("ALERTS", scope, `alertname=~"Spillway.+"`, `alertstate="firing"`)+")")).
		exclude("Value").noValue("nothing fires").runbooks()
}

// failing lists the readings whose series are absent, those that fail for the longest first.
func failing(b *board, scope string, w int) *jsonPanel {
	failed := b.own("spillway_source_success", scope) + " == 0"
	since := "time() - " + b.own("spillway_source_last_success_timestamp_seconds", scope) + " and on (cluster, job, instance, source, target, name) " + failed
	return table("Readings that fail", "Sources whose last sample failed, at most fifteen: what they read is absent from every panel. The exporter's page has the reason.", w, 7,
		[]column{{"source", "Source"}, {"target", "Target"}, {"name", "Name"}, {"instance", "Instance"}, {"cluster", "Cluster"}, {"Value", "Read"}},
		rowsOf("topk(15, max by (source, target, name, cluster, instance) ("+since+" or "+failed+"))")).
		noValue("every reading works").runbook("SpillwaySourceFailing").
		override("byName", "Read", property("unit", "s"), property("mappings", []obj{values("0", "never", "red")}))
}
