package collector

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// Descs returns every family of series that a source of this package can publish, in the order of
// their files. Rules, dashboards and the metrics reference are checked against it.
func Descs() []*series.Desc {
	return []*series.Desc{
		Processes, ProcessStarts, ProcessExits, TargetRestarts, ProcessOldestStart, ProcessCPU, ProcessMinorFaults, ProcessMajorFaults, ProcessThreads, ProcessFDs, ProcessExitReasons, ProcessEndedPeak, ProcessEventsLost, DiscoveryProcesses, DiscoveryUnreadable, DiscoveryHeld,
		MemoryResident, MemoryAnon, MemoryFile, MemoryShmem, MemorySwap, MemoryPeak, MemoryPSS, MemoryUSS, MemoryWindowMax, MemoryWindowMin, MemoryUsed, MemoryLimit, MemoryUsedRatio, MemoryLimitInfo, MemoryLevel, MemoryGrowth, MemoryExhaustion,
		HostMemoryTotal, HostMemoryAvailable, HostMemoryHugetlb, HostMemoryARC, HostSwapTotal, HostSwapFree, HostWaiting, HostStalled, HostOOMKills,
		CgroupOOMKills, CgroupEvents, CgroupWaiting, CgroupStalled,
		ThresholdRatio, TargetInfo,
		HeapUsed, HeapCommitted, HeapLimit, HeapUsedRatio,
		CacheEntries, CacheSize, CacheDisk, CacheMaxEntries, CacheMaxSize, CacheMaxAge, CacheFreeBytes, CacheFreeInodes, CacheUsedRatio, CacheExpired, CacheOldest,
		CacheHits, CacheMisses, CacheHitRatio, CacheMinHitRatio, CacheWatchOverflows,
		TempFiles, TempEmpty, TempExpired, TempSize, TempMaxFiles, TempOldest,
		UploadFiles, UploadSize, UploadMaxSize, UploadOversize, UploadExpired,
		LogFiles, LogSize, LogOversize, LogExpired,
		AppValue, AppEvents,
		ProbeSuccess, ProbeDuration, ProbeStatus, ProbeMaxDuration, StartupDuration, StartupMaxDuration,
		SourceSuccess, SourceDuration, SourceLastSuccess,
	}
}
