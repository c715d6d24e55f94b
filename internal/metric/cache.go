package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series of a file cache.
var (
	CacheEntries    = series.NewGauge("spillway_cache_entries", "Entries of the cache: files, unless the policy says otherwise.", "target", "cache").Windowed()
	CacheSize       = series.NewGauge("spillway_cache_size_bytes", "Total apparent size of the cache's files.", "target", "cache").Windowed()
	CacheDisk       = series.NewGauge("spillway_cache_disk_bytes", "Disk space used by the cache's files.", "target", "cache")
	CacheMaxEntries = series.NewGauge("spillway_cache_max_entries", "Configured maximum number of entries.", "target", "cache")
	CacheMaxSize    = series.NewGauge("spillway_cache_max_size_bytes", "Configured maximum size.", "target", "cache")
	CacheMaxAge     = series.NewGauge("spillway_cache_max_age_seconds", "Configured maximum age of an entry.", "target", "cache")
	CacheFreeBytes  = series.NewGauge("spillway_cache_free_bytes", "Free space on the cache's file system; needs min_free_bytes or min_free_inodes.", "target", "cache")
	CacheFreeInodes = series.NewGauge("spillway_cache_free_inodes", "Free inodes on the cache's file system; needs min_free_bytes or min_free_inodes.", "target", "cache")
	CacheUsedRatio  = series.NewGauge("spillway_cache_used_ratio", "Highest usage among the cache's limits, as a ratio.", "target", "cache").Windowed()
	CacheExpired    = series.NewGauge("spillway_cache_expired_entries", "Entries older than the configured maximum age, which a cleanup would remove now.", "target", "cache")
	CacheOldest     = series.NewGauge("spillway_cache_oldest_entry_timestamp_seconds", "Unix time from which the oldest entry's age is measured.", "target", "cache")
)

// The series of a cache's hits. The label source says who counted: app, the application itself, or
// inferred, from the opens of the cache's files.
var (
	CacheHits           = series.NewCounter("spillway_cache_hits_total", "Requests answered from the cache.", "target", "cache", "source")
	CacheMisses         = series.NewCounter("spillway_cache_misses_total", "Requests not answered from the cache; for source=\"inferred\", entries that were written.", "target", "cache", "source")
	CacheHitRatio       = series.NewGauge("spillway_cache_hit_ratio", "Share of requests that were hits over the sampling window; absent when there were no requests.", "target", "cache", "source").Windowed()
	CacheMinHitRatio    = series.NewGauge("spillway_cache_min_hit_ratio", "Configured minimum hit ratio.", "target", "cache")
	CacheWatchOverflows = series.NewCounter("spillway_cache_watch_overflows_total", "Times that the kernel's queue of file opens overflowed; hits in such an interval are not counted.", "target", "cache")
)

var cacheDescs = []*series.Desc{
	CacheEntries, CacheSize, CacheDisk, CacheMaxEntries, CacheMaxSize, CacheMaxAge, CacheFreeBytes,
	CacheFreeInodes, CacheUsedRatio, CacheExpired, CacheOldest, CacheHits, CacheMisses, CacheHitRatio,
	CacheMinHitRatio, CacheWatchOverflows,
}
