package collector

import (
	"context"
	"errors"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// cacheMeter measures a file cache.
type cacheMeter struct {
	*policy.Cache
	opens *hitrate.Handle // nil = the hits are not inferred
	hits  hitWindow
}

func (m *cacheMeter) limits(set setFunc) {
	if m.MaxEntries > 0 {
		set(metric.CacheMaxEntries, float64(m.MaxEntries))
	}
	if m.MaxBytes > 0 {
		set(metric.CacheMaxSize, float64(m.MaxBytes))
	}
	if m.MaxAge > 0 {
		set(metric.CacheMaxAge, m.MaxAge.Seconds())
	}
	if m.MinHitRate != nil {
		set(metric.CacheMinHitRatio, float64(*m.MinHitRate))
	}
}

func (m *cacheMeter) begin(ctx context.Context, now time.Time, o *dirscan.Options) func(setFunc, *dirscan.Result) error {
	var expired, counted int64
	var inodes policy.Inodes
	var again struct{ size, allocated int64 } // of names that are not the first of their file
	o.Visit = func(e *dirscan.Entry) error {
		if inodes.First(e) {
			counted += m.Size(e)
		} else {
			again.size, again.allocated = again.size+e.SizeBytes, again.allocated+e.AllocatedBytes
		}
		if m.Judge(e, now).Due() {
			expired++
		}
		return nil
	}
	watch := m.watchOpens(ctx, o)
	return func(set setFunc, res *dirscan.Result) error {
		set(metric.CacheEntries, float64(res.Files))
		set(metric.CacheSize, float64(res.SizeBytes-again.size))
		set(metric.CacheDisk, float64(res.AllocatedBytes-again.allocated))
		if m.MaxAge > 0 {
			set(metric.CacheExpired, float64(expired))
		}
		err := setUsed(m.Cache, m.Dir, usedDescs{metric.CacheFreeBytes, metric.CacheFreeInodes, metric.CacheUsedRatio}, set, res.Files, counted)
		if res.Files > 0 {
			set(metric.CacheOldest, seconds(res.OldestNs))
		}
		return errors.Join(watch(set), err)
	}
}
