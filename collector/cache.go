package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// CacheSource is the Source "cache" of one cache policy.
type CacheSource struct {
	walkers
	target string
	policy policy.Cache
	names  *policy.Names
	opens  *hitrate.Handle // nil = the hits are not inferred
	hits   hitWindow
}

// NewCache returns the source; the policy has been validated. opens, when it is not nil, infers
// the cache's hits over a window of so many scans.
func NewCache(target string, p policy.Cache, opens *hitrate.Handle, window int) (*CacheSource, error) {
	names, err := p.Compile()
	if err != nil {
		return nil, fmt.Errorf("cache %q: %w", p.Name, err)
	}
	return &CacheSource{target: target, policy: p, names: names, opens: opens, hits: newHitWindow(window)}, nil
}

// Sample implements Source. The limits are there even where the folder is not.
func (s *CacheSource) Sample(ctx context.Context, b *series.Batch) error {
	p := &s.policy
	if p.MaxEntries > 0 {
		b.Set(metric.CacheMaxEntries, float64(p.MaxEntries), s.target, p.Name)
	}
	if p.MaxBytes > 0 {
		b.Set(metric.CacheMaxSize, float64(p.MaxBytes), s.target, p.Name)
	}
	if p.MaxAge > 0 {
		b.Set(metric.CacheMaxAge, p.MaxAge.Seconds(), s.target, p.Name)
	}
	if p.MinHitRate != nil {
		b.Set(metric.CacheMinHitRatio, float64(*p.MinHitRate), s.target, p.Name)
	}
	var expired, counted int64
	now := b.Time
	scan := scanOptions(&p.Common, s.names, func(e *dirscan.Entry) error {
		counted += p.Size(e)
		if p.Judge(e, now).Due() {
			expired++
		}
		return nil
	})
	watch := s.watchOpens(ctx, &scan)
	res, err := s.scan(ctx, scan)
	if err != nil {
		return scanError(err)
	}
	b.Set(metric.CacheEntries, float64(res.Files), s.target, p.Name)
	b.Set(metric.CacheSize, float64(res.SizeBytes), s.target, p.Name)
	b.Set(metric.CacheDisk, float64(res.AllocatedBytes), s.target, p.Name)
	if p.MaxAge > 0 {
		b.Set(metric.CacheExpired, float64(expired), s.target, p.Name)
	}
	free, err := s.setFree(b)
	if err == nil {
		if ratio, ok := p.Limits(res.Files, counted, free).UsedRatio(res.Files, counted); ok {
			b.Set(metric.CacheUsedRatio, ratio, s.target, p.Name)
		}
	}
	if res.Files > 0 {
		b.Set(metric.CacheOldest, seconds(res.OldestNs), s.target, p.Name)
	}
	return errors.Join(unreadable(p.Dir, &res), watch(b), err)
}

// setFree publishes what is free beside the cache, where its policy asks for it.
func (s *CacheSource) setFree(b *series.Batch) (policy.Free, error) {
	if !s.policy.NeedsFree() {
		return policy.Free{}, nil
	}
	free, err := policy.FreeOf(s.policy.Dir)
	if err != nil {
		return free, err
	}
	b.Set(metric.CacheFreeBytes, float64(free.Bytes), s.target, s.policy.Name)
	b.Set(metric.CacheFreeInodes, float64(free.Inodes), s.target, s.policy.Name)
	return free, nil
}

// scanOptions are the options with which a policy's folder is scanned.
func scanOptions(c *policy.Common, names *policy.Names, visit func(*dirscan.Entry) error) dirscan.Options {
	return dirscan.Options{
		Dir: c.Dir, Recursive: c.IsRecursive(), Select: names.Select, Skip: policy.SkipFolder,
		Age: c.AgeNs, Visit: visit,
	}
}

// scanError turns a folder that does not exist, yet, into ErrAbsent.
func scanError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return err
}

// unreadable is the error of a scan that could not read a part of the tree: what was published
// is too small. It names the most frequent reason, so that it stays the same from scan to scan.
func unreadable(dir string, res *dirscan.Result) error {
	n := res.Skipped[dirscan.SkipError]
	if n == 0 {
		return nil
	}
	var most unix.Errno
	for errno, count := range res.Errnos {
		if count > res.Errnos[most] || count == res.Errnos[most] && errno < most {
			most = errno
		}
	}
	return fmt.Errorf("%s: %d folders or files below it cannot be read, most of them for: %w; what is published lacks them", dir, n, most)
}

func seconds(ns int64) float64 { return float64(ns/int64(time.Millisecond)) / 1000 }
