package metric

import (
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Descs returns every family of series that a source can publish, in the order of their
// files. Rules, dashboards and the metrics reference are checked against it.
func Descs() []*series.Desc {
	return []*series.Desc{
		Processes, ProcessStarts, ProcessExits, TargetRestarts, ProcessOldestStart, ProcessCPU, ProcessMinorFaults, ProcessMajorFaults, ProcessThreads, ProcessFDs, ProcessExitReasons, ProcessEndedPeak, ProcessEventsLost, DiscoveryProcesses, DiscoveryUnreadable, DiscoveryHeld,
		MemoryResident, MemoryAnon, MemoryFile, MemoryShmem, MemorySwap, MemoryPeak, MemoryPSS, MemoryUSS, MemoryWindowMax, MemoryWindowMin, MemoryUsed, MemoryLimit, MemoryUsedRatio, MemoryLimitInfo, MemoryLevel, MemoryGrowth, MemoryExhaustion,
		HostMemoryTotal, HostMemoryAvailable, HostMemoryHugetlb, HostMemoryARC, HostSwapTotal, HostSwapFree, HostWaiting, HostStalled, HostOOMKills,
		CgroupOOMKills, CgroupEvents, CgroupWaiting, CgroupStalled,
		ThresholdRatio,
		HeapUsed, HeapCommitted, HeapLimit, HeapUsedRatio,
		CacheEntries, CacheSize, CacheDisk, CacheMaxEntries, CacheMaxSize, CacheMaxAge, CacheFreeBytes, CacheFreeInodes, CacheUsedRatio, CacheExpired, CacheOldest,
		CacheHits, CacheMisses, CacheHitRatio, CacheMinHitRatio, CacheWatchOverflows,
		TempFiles, TempEmpty, TempExpired, TempSize, TempMaxFiles, TempOldest,
		UploadFiles, UploadSize, UploadMaxSize, UploadOversize, UploadExpired,
		LogFiles, LogSize, LogOversize, LogExpired,
		AppValue, AppEvents,
		ProbeSuccess, ProbeDuration, ProbeStatus, ProbeMaxDuration, StartupDuration, StartupMaxDuration,
		SourceSuccess, SourceDuration, SourceLastSuccess, LaneStuck,
	}
}

// Owns returns every metric that the exporter keeps about itself, in the order of their files.
func Owns() []*Own {
	return []*Own{
		AlertmanagerRequests, AlertmanagerUp, AlertmanagerAlerts, AlertmanagerLastSuccess,
		WebhookRequests, WebhookAlerts, QueueLength, WaitingRuns, PlaybookRuns, ActionRuns, ActionSkips, ActionDuration, ActionLastRun, ActionFreed, ActionRemovedFiles, ActionSkippedFiles,
		Evaluations, EvaluationsMissed, EvaluationDuration, RuleFailures, Notifications, NotificationsRefused, EvaluatorSeries, EvaluatorDropped,
		BuildInfo, ConfigSuccess, ConfigLastSuccess,
		JournalCommitDuration, JournalSize, JournalWritable, JournalDurable,
		ProviderOpen, ProviderOpens, ProviderFailures,
		SamplerTicks, SamplerMissed, SamplerDuration, SamplerInterval, StoreSeries, StoreDropped,
		WatcherNotifications, WatcherSuperseded,
	}
}

// Names returns the name of every metric that the exporter can publish, those of Owns and of Descs, sorted.
func Names() []string {
	var out []string
	for _, o := range Owns() {
		out = append(out, o.Name)
	}
	for _, d := range Descs() {
		out = append(out, d.Name)
	}
	slices.Sort(out)
	return out
}
