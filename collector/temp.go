package collector

import (
	"context"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TempSource is the Source "temp" of one folder of temporary files.
type TempSource struct {
	walkers
	target string
	policy policy.Temp
	names  *policy.Names
}

// NewTemp returns the source; the policy has been validated.
func NewTemp(target string, p policy.Temp) (*TempSource, error) {
	names, err := p.Compile()
	if err != nil {
		return nil, fmt.Errorf("temp dir %q: %w", p.Name, err)
	}
	return &TempSource{target: target, policy: p, names: names}, nil
}

// Sample implements Source. The limit is there even where the folder is not.
func (s *TempSource) Sample(ctx context.Context, b *series.Batch) error {
	p := &s.policy
	if p.MaxFiles > 0 {
		b.Set(metric.TempMaxFiles, float64(p.MaxFiles), s.target, p.Name)
	}
	var expired int64
	now := b.Time
	res, err := s.scan(ctx, scanOptions(&p.Common, s.names, func(e *dirscan.Entry) error {
		if p.Judge(e, now).Due() {
			expired++
		}
		return nil
	}))
	if err != nil {
		return scanError(err)
	}
	b.Set(metric.TempFiles, float64(res.Files), s.target, p.Name)
	b.Set(metric.TempEmpty, float64(res.EmptyFiles), s.target, p.Name)
	b.Set(metric.TempSize, float64(res.SizeBytes), s.target, p.Name)
	if p.MaxAge > 0 || p.EmptyMaxAge > 0 {
		b.Set(metric.TempExpired, float64(expired), s.target, p.Name)
	}
	if res.Files > 0 {
		b.Set(metric.TempOldest, seconds(res.OldestNs), s.target, p.Name)
	}
	return unreadable(p.Dir, &res)
}
