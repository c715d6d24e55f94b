package dashboards_test

import "fmt"

// oneTarget is the dashboard of one target: its memory in parts, and everything that is watched for it.
func oneTarget() *board {
	b := &board{
		uid: "spillway-target", title: "Spillway / Target", target: `target="$target"`, annotateTarget: true,
		description: "Everything that is known about one target: memory in its parts against limit and thresholds, heap, caches, files, probe, and what was done.",
		oneTarget:   true, targetVariable: single("target", "Target", "label_values("+anyTarget()+", target)"),
	}
	b.row("Now", b.targetNow()...)
	b.row("Memory", b.memory()...)
	b.row("Actions", b.actions()...)
	b.folded("Proposals, pauses and budgets", b.targetAutonomy()...)
	b.folded("Restarts", b.targetRestarts()...)
	b.folded("Evidence", b.targetEvidence()...)
	b.folded("Heap", b.heap()...)
	b.folded("Caches", needing("this target has no such cache: see caches in the configuration", b.caches()...)...)
	b.folded("Temporary files", needing("this target has no such folder: see temp_dirs in the configuration", b.temps()...)...)
	b.folded("Uploads and logs", needing("this target has no such folder: see uploads and logs in the configuration", b.uploadsAndLogs()...)...)
	b.folded("Processes", needing("not read for this target: the description says what it needs", b.processes()...)...)
	b.folded("Control group", needing("not known of this target's control group", b.cgroup()...)...)
	b.folded("Probe and application", needing("not configured for this target: see probe and app in the configuration", b.application()...)...)
	b.folded("Success figures",
		timeline("Figures met", "Whether the target keeps each figure of success: memory, cache, temp_files, response, startup. Recorded by the shipped rules, so it needs them in this Prometheus.", 24, yesNo,
			q(b.of("target:spillway_slo:met"), "{{slo}} {{instance}}")).high(6).noValue("the shipped rules are not loaded in this Prometheus"))
	b.folded("Alerts and readings", firing(b, b.target, 12), failing(b, b.target, 12))
	return b
}

func (b *board) targetNow() []*jsonPanel {
	return []*jsonPanel{
		stat("Level", "Memory pressure with hysteresis: up after three samples at or above a threshold (one for emergency), down after five samples five points below it.", "none",
			b.of("spillway_memory_level")).mapped(levels).linked(),
		stat("Memory used", "Used memory as a share of the limit. The graph below draws the thresholds.", "percentunit", b.of("spillway_memory_used_ratio")).
			set("decimals", 1).linked(),
		stat("Limit reached in", "Time until the memory limit is reached at the present growth.", "s",
			b.of("spillway_memory_exhaustion_seconds")+" < +Inf", "red", 3600, "orange", 86400, "green").noValue("not growing").runbook("SpillwayMemoryLeakSuspected"),
		stat("Processes", "Running processes of the target.", "none", b.of("spillway_processes"), "red", 1, "green").runbook("SpillwayTargetDown"),
		stat("Oldest process", "Time since the oldest process of the target started.", "s", "time() - "+b.of("spillway_process_oldest_start_time_seconds")).
			runbook("SpillwayTargetRestarting"),
		named(stat("Mode", "What the target's playbooks may do: dry_run plans only, propose waits for the approval of a person, enforce acts.", "none",
			"max by (mode) ("+b.of("spillway_target_info")+")"), "{{mode}}").noValue("not configured"),
		stat("Freed", "Space given back to the disk by the actions for this target in the time range. Dry runs free nothing and count nothing.", "bytes",
			"sum("+ranged(b.of("spillway_action_freed_bytes_total"))+") or vector(0)"),
		stat("Waiting for approval", "Proposals for this target that wait for a person.", "none",
			"sum("+b.of("spillway_proposals")+") or vector(0)", "green", 1, "orange").runbook("SpillwayApprovalWaiting"),
		// The rows of these are closed at first.
		stat("Heap used", "The runtime's own heap as a share of the size at which it gives up: the fullest.", "percentunit",
			"max("+b.of("spillway_heap_used_ratio")+")").set("decimals", 1).noValue("no heap is read"),
		stat("Fullest cache", "The highest usage among the limits of the target's caches. Above 100 % the entries used longest ago are evicted.", "percentunit",
			"max("+b.of("spillway_cache_used_ratio")+")", "green", 1, "orange").set("decimals", 1).noValue("no cache has a limit").runbook("SpillwayCacheOverLimit"),
		stat("Fullest folder", "The highest usage among the limits of the target's temporary folders. Above 100 % the oldest files are removed.", "percentunit",
			"max("+b.of("spillway_temp_used_ratio")+")", "green", 1, "orange").set("decimals", 1).noValue("no folder has a limit").runbook("SpillwayTempFilesPiledUp"),
		stat("Probe", "Whether the target answered its last probe in time with a status that counts.", "none",
			"min("+b.of("spillway_probe_success")+")").mapped(yesNo).noValue("not probed").runbook("SpillwayProbeFailing"),
	}
}

func (b *board) memory() []*jsonPanel {
	limits := q("min by (level) ("+b.of("spillway_memory_limit_bytes")+" * on (cluster, job, instance, target) group_right () "+b.of("spillway_threshold_ratio", `signal="memory"`)+")", "{{level}}")
	return []*jsonPanel{
		graph("Parts of the memory, limit and thresholds", "What the resident memory is made of, one on the other: anonymous (heap, stacks), file-backed (programs, mapped files), shared, and what is swapped out. The line 'used' is what counts against the limit; the dashed lines are the limit and where each level begins.", "bytes", 24,
			q(b.of("spillway_memory_anon_bytes"), "anonymous {{instance}}"), q(b.of("spillway_memory_file_bytes"), "file {{instance}}"),
			q(b.of("spillway_memory_shmem_bytes"), "shared {{instance}}"), q(b.of("spillway_memory_swap_bytes"), "swapped {{instance}}"),
			q(b.of("spillway_memory_used_bytes"), "used {{instance}}"), q(b.of("spillway_memory_limit_bytes"), "limit {{instance}}"), limits).
			stacked().levelled().dashed("/^limit /").
			override("byRegexp", "/^used /", property("custom.stacking", obj{"mode": "none", "group": "A"}), property("custom.fillOpacity", 0), property("custom.lineWidth", 2)).high(10),
		thresholded(b, "Memory against its limit", "Used memory as a share of the limit, with the thresholds of this target as the exporter publishes them.", "spillway_memory_used_ratio", "used {{instance}}").
			runbook("SpillwayMemoryCritical"),
		graph("Peaks between scrapes", "RSS when it was scraped, the largest and smallest that the exporter sampled in its window, and the largest that the processes ever had (dashed): what a scrape alone would not see.", "bytes", 12,
			q(b.of("spillway_memory_resident_bytes"), "RSS {{instance}}"), q(b.of("spillway_memory_window_max_bytes"), "window max {{instance}}"),
			q(b.of("spillway_memory_window_min_bytes"), "window min {{instance}}"), q(b.of("spillway_memory_peak_bytes"), "ever {{instance}}")).dashed("/^ever /"),
		graph("Growth", "Robust trend of the used memory: what survives garbage collections. A lasting value above 0 is likely a leak. Fast is the growth of the last seconds.", "binBps", 8,
			q(b.of("spillway_memory_growth_bytes_per_second"), "{{instance}}"), q(b.of("spillway_memory_fast_growth_bytes_per_second"), "fast {{instance}}")).runbook("SpillwayMemoryLeakSuspected").noValue("no trend is known yet"),
		graph("Confidence in the growth", "How sure the growth is. Below 0.5 it may be the rhythm of the day: whether it leaks is not known yet.", "none", 8,
			q(b.of("spillway_memory_growth_confidence"), "{{instance}}")).runbook("SpillwayMemoryLeakSuspected").noValue("no trend is known yet"),
		graph("Time to exhaustion", "Time until the limit is reached at the present growth; nothing is drawn while the memory does not grow.", "s", 8,
			q(b.of("spillway_memory_exhaustion_seconds")+" < +Inf", "{{instance}}")).runbook("SpillwayMemoryLeakSuspected").noValue("the memory does not grow"),
		graph("Shared pages counted once", "Resident memory with shared pages divided among those who share them (PSS), and what would be freed if the target ended (USS). Needs memory.proportional.", "bytes", 8,
			q(b.of("spillway_memory_proportional_bytes"), "proportional {{instance}}"), q(b.of("spillway_memory_unique_bytes"), "unique {{instance}}")).noValue("memory.proportional is not set for this target"),
		timeline("Level over time", "The level of the target: normal, warning, critical, emergency.", 8, levels, q(b.of("spillway_memory_level"), "{{instance}}")).linked(),
		table("Where the limit comes from", "What sets the limit (config, cgroup_v1, cgroup_v1_hierarchical, cgroup_v2, cgroup_v2_high, host), and what is counted against it (rss, cgroup, fullest_cgroup, largest_process, available).", 8, 8,
			[]column{{"target", "Target"}, {"source", "Limit from"}, {"basis", "Counted"}, {"instance", "Instance"}, {"cluster", "Cluster"}},
			rowsOf("max by (target, source, basis, cluster, instance) ("+b.of("spillway_memory_limit_info")+")")).exclude("Value"),
	}
}

func (b *board) actions() []*jsonPanel {
	return []*jsonPanel{
		bars("Runs of actions", "Runs that ended, by action and outcome: done, partial, failed, dry_run, unknown. A dry run changed nothing.", "none", 8,
			q(sumBy("action, outcome", increase(b.of("spillway_action_runs_total")))+" > 0", "{{action}}: {{outcome}}")).runbook("SpillwayActionFailing"),
		bars("Playbook runs", "Whole runs that ended, by what asked for them and their outcome: "+runOutcomes+".", "none", 8,
			q(sumBy("playbook, trigger, outcome", increase(b.of("spillway_playbook_runs_total")))+" > 0", "{{playbook}} ({{trigger}}): {{outcome}}")).runbook("SpillwayReliefIneffective"),
		bars("Why an action did not run", "Alerts that led to no run, by reason: "+skipReasons+".", "none", 8,
			q(sumBy("action, reason", increase(b.of("spillway_action_skips_total")))+" > 0", "{{action}}: {{reason}}")),
		bars("Freed", "Space given back to the disk, by action. Only the last link of a file counts.", "bytes", 8,
			q(sumBy("action", increase(b.of("spillway_action_freed_bytes_total")))+" > 0", "{{action}}"),
			q(sumBy("action", increase(b.of("spillway_action_lost_bytes_total"))), "{{action}}: lost from logs")),
		bars("Files removed", "Files removed, by action.", "none", 8,
			q(sumBy("action", increase(b.of("spillway_action_removed_files_total")))+" > 0", "{{action}}")),
		bars("Files left in place", "Files that were due and were left, by reason: too_young, in_use, changed, hardlink and so on. Many in_use means that the service still holds them.", "none", 8,
			q(sumBy("action, reason", increase(b.of("spillway_action_skipped_files_total")))+" > 0", "{{action}}: {{reason}}")),
		timeline("Runs at work", "Runs that are open and act, by playbook: from the intent in the journal to the end of the verification. Nothing is drawn while none is.", 8, yesNo,
			q(b.of("spillway_playbook_running"), "{{playbook}} {{instance}}")).runbook("SpillwayReliefRunning").high(8).noValue("no run was at work in this time range"),
		graph("Time of an action", "Median and 95th percentile of the time that a run took, by action. The histogram has no target: these are all targets of the chosen instances.", "s", 8,
			q(quantile("0.5", "action", b.own("spillway_action_duration_seconds_bucket")), "median {{action}}"),
			q(quantile("0.95", "action", b.own("spillway_action_duration_seconds_bucket")), "p95 {{action}}")),
		table("Last run", "When each action last ended. The journal of the exporter has what it read before and after.", 8, 8,
			[]column{{"action", "Action"}, {"instance", "Instance"}, {"cluster", "Cluster"}, {"Value", "Ended"}},
			rowsOf("max by (action, cluster, instance) ("+b.of("spillway_action_last_run_timestamp_seconds")+") * 1000")).
			override("byName", "Ended", property("unit", "dateTimeFromNow")).noValue("no action has run"),
	}
}

func (b *board) caches() []*jsonPanel {
	name := " {{cache}} {{instance}}"
	return []*jsonPanel{
		graph("Fullest limit", "The fullest of each cache's limits (bytes, entries, space left). Above 100 % the entries used longest ago are evicted.", "percentunit", 8,
			q(b.of("spillway_cache_used_ratio"), "{{cache}} {{instance}}")).runbook("SpillwayCacheOverLimit"),
		graph("Size", "Sum of the sizes of the cache's files, the space that they take on the disk, and the configured limit (dashed).", "bytes", 8,
			q(b.of("spillway_cache_size_bytes"), "size"+name), q(b.of("spillway_cache_disk_bytes"), "on disk"+name), q(b.of("spillway_cache_max_size_bytes"), "limit"+name)).dashed("/^limit /"),
		graph("Entries", "Files in the cache, expired ones, and the configured limit (dashed).", "none", 8,
			q(b.of("spillway_cache_entries"), "entries"+name), q(b.of("spillway_cache_expired_entries"), "expired"+name), q(b.of("spillway_cache_max_entries"), "limit"+name)).dashed("/^limit /"),
		graph("Hit ratio", "Share of look-ups that found their entry, over the window, and the configured minimum (dashed). Empty where a cache has no source of hits, and while nothing is asked.", "percentunit", 8,
			q(b.of("spillway_cache_hit_ratio"), "{{cache}} ({{source}}) {{instance}}"), q(b.of("spillway_cache_min_hit_ratio"), "minimum"+name)).dashed("/^minimum /").set("max", 1).runbook("SpillwayCacheHitRatioLow"),
		graph("Hits and misses", "Look-ups per second. Inferred misses are entries that were filled.", "ops", 8,
			q(rate(b.of("spillway_cache_hits_total")), "hits {{cache}} ({{source}})"), q(rate(b.of("spillway_cache_misses_total")), "misses {{cache}} ({{source}})")),
		graph("Age of the oldest entry", "Age of the oldest entry, and the configured limit (dashed).", "s", 8,
			q("time() - "+b.of("spillway_cache_oldest_entry_timestamp_seconds"), "oldest"+name), q(b.of("spillway_cache_max_age_seconds"), "limit"+name)).dashed("/^limit /"),
		graph("Space left on the disk", "Space left on the cache's file system, where min_free_bytes or min_free_inodes is configured.", "bytes", 8,
			q(b.of("spillway_cache_free_bytes"), "{{cache}} {{instance}}")),
		graph("Inodes left on the disk", "Inodes left on the cache's file system, where min_free_bytes or min_free_inodes is configured.", "short", 8,
			q(b.of("spillway_cache_free_inodes"), "{{cache}} {{instance}}")),
		bars("Intervals without inferred hits", "Times that the kernel's queue of opens ran over: the hits of such an interval are not counted.", "none", 8,
			q(increase(b.of("spillway_cache_watch_overflows_total")), "{{cache}} {{instance}}")),
	}
}

func (b *board) temps() []*jsonPanel {
	name := " {{dir}} {{instance}}"
	return []*jsonPanel{
		graph("Files", "Files in each folder, the empty ones, those that a clean-up would remove now, and max_files (dashed).", "none", 12,
			q(b.of("spillway_temp_files"), "files"+name), q(b.of("spillway_temp_empty_files"), "empty"+name),
			q(b.of("spillway_temp_expired_files"), "due"+name), q(b.of("spillway_temp_max_files"), "limit"+name)).dashed("/^limit /").runbook("SpillwayTempFilesPiledUp"),
		graph("Size", "Sum of the sizes of the files in each folder, and max_bytes (dashed).", "bytes", 6, q(b.of("spillway_temp_size_bytes"), "size"+name),
			q(b.of("spillway_temp_max_size_bytes"), "limit"+name)).dashed("/^limit /").runbook("SpillwayTempOverLimit"),
		graph("Space left on the disk", "Space left on the folder's file system, where min_free_bytes or min_free_inodes is configured.", "bytes", 6, q(b.of("spillway_temp_free_bytes"), "{{dir}} {{instance}}")),
		graph("Inodes left on the disk", "Inodes left on the folder's file system, where min_free_bytes or min_free_inodes is configured.", "short", 8, q(b.of("spillway_temp_free_inodes"), "{{dir}} {{instance}}")),
		graph("Directories", "Directories below each folder. Empty ones go once they are older than min_age, unless remove_empty_dirs is false.", "none", 8,
			q(b.of("spillway_temp_directories"), "{{dir}} {{instance}}")),
		graph("Age of the oldest file", "Age of the oldest temporary file, as the policy's age_by counts it.", "s", 8,
			q("time() - "+b.of("spillway_temp_oldest_file_timestamp_seconds"), "{{dir}} {{instance}}")).runbook("SpillwayTempFilesExpired"),
	}
}

func (b *board) uploadsAndLogs() []*jsonPanel {
	name := " {{dir}} {{instance}}"
	return []*jsonPanel{
		graph("Size of the uploads", "Size of the uploaded files, and the configured limit of all of them (dashed).", "bytes", 12,
			q(b.of("spillway_upload_size_bytes"), "size"+name), q(b.of("spillway_upload_max_size_bytes"), "limit"+name)).dashed("/^limit /").runbook("SpillwayUploadsOverLimit"),
		graph("Uploads", "Uploaded files, those larger than one may be, and expired ones.", "none", 12,
			q(b.of("spillway_upload_files"), "files"+name), q(b.of("spillway_upload_oversize_files"), "too large"+name), q(b.of("spillway_upload_expired_files"), "expired"+name)).runbook("SpillwayUploadsOverLimit"),
		graph("Size of the logs", "Size of the logs, rotated ones included.", "bytes", 12, q(b.of("spillway_log_size_bytes"), "{{dir}} {{instance}}")).runbook("SpillwayLogsOverLimit"),
		graph("Logs", "Logs, rotated ones included, those large enough to be rotated, and rotated ones that are expired or too many.", "none", 12,
			q(b.of("spillway_log_files"), "files"+name), q(b.of("spillway_log_oversize_files"), "to rotate"+name), q(b.of("spillway_log_expired_files"), "to remove"+name)).runbook("SpillwayLogsOverLimit"),
	}
}

func (b *board) processes() []*jsonPanel {
	return []*jsonPanel{
		table("What the target is", "Its mode, and the systemd unit, container, pod and namespace that hold all its processes. The names of a pod change with each start, the target's does not.", 24, 5,
			[]column{{"target", "Target"}, {"mode", "Mode"}, {"source", "By"}, {"unit", "Unit"}, {"container", "Container"}, {"pod", "Pod"}, {"namespace", "Namespace"}, {"instance", "Instance"}, {"cluster", "Cluster"}},
			rowsOf("max by (target, mode, source, unit, container, pod, namespace, cluster, instance) ("+ofTarget(b.of("spillway_target_info"), "container", "pod", "namespace")+")")).exclude("Value"),
		graph("Processor time", "Cores in use, by mode.", "none", 8, q(rate(b.of("spillway_process_cpu_seconds_total")), "{{mode}} {{instance}}")).stacked(),
		graph("Page faults", "Page faults per second. Major ones waited for the disk: the memory does not hold what the target uses.", "ops", 8,
			q(rate(b.of("spillway_process_minor_page_faults_total")), "minor {{instance}}"), q(rate(b.of("spillway_process_major_page_faults_total")), "major {{instance}}")).right("/^major /", "ops"),
		graph("Threads and descriptors", "Threads, and open file descriptors where this user may count them.", "none", 8,
			q(b.of("spillway_process_threads"), "threads {{instance}}"), q(b.of("spillway_process_open_fds"), "descriptors {{instance}}")),
		graph("Processes", "Live processes, those that joined or left the target (bars), restarts (all of them were replaced), and those whose heap is read where that is not all of them.", "none", 8,
			q(b.of("spillway_processes"), "processes {{instance}}"), q(increase(b.of("spillway_process_starts_total")), "joined {{instance}}"),
			q(b.of("spillway_heap_read_processes")+" < "+b.of("spillway_heap_processes"), "whose heap is read {{instance}}"),
			q(increase(b.of("spillway_process_exits_total")), "left {{instance}}"), q(increase(b.of("spillway_target_restarts_total")), "restarts {{instance}}")).
			right("/^(joined|left|restarts) /", "none").runbook("SpillwayTargetRestarting"),
		bars("How processes ended", "Ends of the target's processes and their children by reason: exit_0, exit_error, or the signal. Needs procevents, which sees also those that lived for milliseconds.", "none", 8,
			q(sumBy("reason", increase(b.of("spillway_process_exit_reasons_total")))+" > 0", "{{reason}}")).runbook("SpillwayTargetRestarting"),
		graph("Storage", "Bytes per second that the target's processes read from storage and wrote to it.", "binBps", 8,
			q(rate(b.of("spillway_process_read_bytes_total")), "read {{instance}}"), q(rate(b.of("spillway_process_write_bytes_total")), "written {{instance}}")),
		graph("Context switches", "Context switches per second of the main threads, by kind. Many involuntary ones mean that the processes wait for a processor.", "ops", 8,
			q(rate(b.of("spillway_process_context_switches_total")), "{{kind}} {{instance}}")),
		graph("States", "Processes by state. Waiting ones are held up by a disk or a file server and cannot be killed meanwhile; zombies have ended and were not reaped.", "none", 8,
			q(b.of("spillway_process_states"), "{{state}} {{instance}}")).stacked(),
		graph("Descriptors against their limit", "Largest share of its soft limit of open file descriptors that any process of the target uses.", "percentunit", 8,
			q(b.of("spillway_process_worst_fd_ratio"), "{{instance}}")).set("max", 1),
		graph("Address space", "Size of the address spaces of the processes, most of which need not be in memory.", "bytes", 8,
			q(b.of("spillway_memory_virtual_bytes"), "{{instance}}")),
		graph("Threads by name", "Threads by name, with N for each number in it. Needs processes.thread_names.", "none", 8,
			q(b.of("spillway_process_named_threads"), "{{name}} {{instance}}")).stacked(),
		graph("Peak of ended processes", "Largest resident memory that a process of the target, or a child of one, had before it ended within the window. Needs procevents.", "bytes", 8,
			q(b.of("spillway_process_ended_peak_bytes"), "{{instance}}")),
	}
}

// ofTarget takes the labels of a target where Prometheus has given the exporter labels of the same names, as it does
// in Kubernetes: it renames those of the target.
func ofTarget(expr string, labels ...string) string {
	for _, l := range labels {
		expr = fmt.Sprintf(`label_replace(%s, %q, "$1", "exported_%s", "(.+)")`, expr, l, l)
	}
	return expr
}

func (b *board) cgroup() []*jsonPanel {
	return []*jsonPanel{
		bars("Limits met", "Times that the control group met a limit: low, high, max (an allocation found it full), oom (nothing more could be reclaimed).", "none", 6,
			q(sumBy("event", increase(b.of("spillway_cgroup_memory_events_total"))), "{{event}}")),
		bars("Killed for lack of memory", "Processes of the control group that the kernel killed for lack of memory.", "none", 6,
			q(increase(b.of("spillway_cgroup_oom_kills_total")), "{{instance}}")).runbook("SpillwayOOMKilled"),
		graph("Waiting", "Share of the time in which at least one task of the control group waited for the resource (version 2).", "percentunit", 6,
			q(rate(b.of("spillway_cgroup_pressure_waiting_seconds_total")), "{{resource}} {{instance}}")),
		graph("Stalled", "Share of the time in which all tasks of the control group that had work waited for the resource (version 2).", "percentunit", 6,
			q(rate(b.of("spillway_cgroup_pressure_stalled_seconds_total")), "{{resource}} {{instance}}")),
	}
}

func (b *board) application() []*jsonPanel {
	return []*jsonPanel{
		timeline("Probe", "Whether the target answered its probe in time with a status that counts.", 6, yesNo, q(b.of("spillway_probe_success"), "{{instance}}")).runbook("SpillwayProbeFailing"),
		graph("Answer time", "Time from the probe's request until its answer was read, and the time within which it should come (dashed).", "s", 6,
			q(b.of("spillway_probe_duration_seconds"), "{{instance}}"), q(b.of("spillway_probe_max_duration_seconds"), "limit {{instance}}")).dashed("/^limit /").runbook("SpillwaySlowResponse"),
		graph("Status", "HTTP status of the last answer.", "none", 6, q(b.of("spillway_probe_http_status_code"), "{{instance}}")).runbook("SpillwayProbeFailing"),
		graph("Start-up", "Time from the start of the oldest process to its first good answer, where that start was watched, and the time that it should take (dashed).", "s", 6,
			q(b.of("spillway_startup_duration_seconds"), "{{instance}}"), q(b.of("spillway_startup_max_duration_seconds"), "limit {{instance}}")).dashed("/^limit /").runbook("SpillwaySlowStart"),
		graph("Numbers of the service", "What the service reports about itself, by the name that the config gives it.", "short", 12, q(b.of("spillway_app_value"), "{{name}} {{instance}}")),
		graph("Events of the service", "Counters that the service keeps, per second.", "ops", 12, q(rate(b.of("spillway_app_events_total")), "{{name}} {{instance}}")),
	}
}
