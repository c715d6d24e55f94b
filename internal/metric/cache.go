package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series of a file cache.
var (
	CacheEntries    = series.NewGauge("spillway_cache_entries", "Files in the cache.", "target", "cache").Windowed()
	CacheSize       = series.NewGauge("spillway_cache_size_bytes", "Sum of the apparent sizes of the cache's files.", "target", "cache").Windowed()
	CacheDisk       = series.NewGauge("spillway_cache_disk_bytes", "Space that the cache's files take on the disk.", "target", "cache")
	CacheMaxEntries = series.NewGauge("spillway_cache_max_entries", "Configured limit of entries.", "target", "cache")
	CacheMaxSize    = series.NewGauge("spillway_cache_max_size_bytes", "Configured limit of the size.", "target", "cache")
	CacheMaxAge     = series.NewGauge("spillway_cache_max_age_seconds", "Configured limit of an entry's age.", "target", "cache")
	CacheFreeBytes  = series.NewGauge("spillway_cache_free_bytes", "Space left on the cache's file system; with min_free_bytes or min_free_inodes.", "target", "cache")
	CacheFreeInodes = series.NewGauge("spillway_cache_free_inodes", "Inodes left on the cache's file system; with min_free_bytes or min_free_inodes.", "target", "cache")
	CacheUsedRatio  = series.NewGauge("spillway_cache_used_ratio", "The fullest of the cache's limits.", "target", "cache").Windowed()
	CacheExpired    = series.NewGauge("spillway_cache_expired_entries", "Entries over the configured age, which a clean-up would remove now.", "target", "cache")
	CacheOldest     = series.NewGauge("spillway_cache_oldest_entry_timestamp_seconds", "Unix time from which the oldest entry's age is measured.", "target", "cache")
)

// The series of a cache's hits. The label source says who counted: app, the application itself, or
// inferred, from the opens of the cache's files.
var (
	CacheHits           = series.NewCounter("spillway_cache_hits_total", "Requests that the cache answered.", "target", "cache", "source")
	CacheMisses         = series.NewCounter("spillway_cache_misses_total", "Requests that the cache did not answer; inferred: entries that were filled.", "target", "cache", "source")
	CacheHitRatio       = series.NewGauge("spillway_cache_hit_ratio", "Hits of all requests over the window of samples; absent when nothing was asked.", "target", "cache", "source").Windowed()
	CacheMinHitRatio    = series.NewGauge("spillway_cache_min_hit_ratio", "Configured hit ratio below which the cache hardly helps.", "target", "cache")
	CacheWatchOverflows = series.NewCounter("spillway_cache_watch_overflows_total", "Times that the kernel's queue of opens ran over; the hits of such an interval are left out.", "target", "cache")
)
