package collector

import (
	"context"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// UploadSource is the Source "upload" of one folder of uploaded files.
type UploadSource struct {
	walkers
	target string
	policy policy.Upload
	names  *policy.Names
}

// NewUpload returns the source; the policy has been validated.
func NewUpload(target string, p policy.Upload) (*UploadSource, error) {
	names, err := p.Compile()
	if err != nil {
		return nil, fmt.Errorf("uploads %q: %w", p.Name, err)
	}
	return &UploadSource{target: target, policy: p, names: names}, nil
}

// Sample implements Source. The limit is there even where the folder is not.
func (s *UploadSource) Sample(ctx context.Context, b *series.Batch) error {
	p := &s.policy
	if p.MaxBytes > 0 {
		b.Set(metric.UploadMaxSize, float64(p.MaxBytes), s.target, p.Name)
	}
	var size, oversize, expired int64
	now := b.Time
	res, err := s.scan(ctx, scanOptions(&p.Common, s.names, func(e *dirscan.Entry) error {
		size += p.Size(e)
		switch {
		case p.Oversize(e):
			oversize++
		case p.Judge(e, now) == policy.Expired:
			expired++
		}
		return nil
	}))
	if err != nil {
		return scanError(err)
	}
	b.Set(metric.UploadFiles, float64(res.Files), s.target, p.Name)
	b.Set(metric.UploadSize, float64(size), s.target, p.Name)
	if p.MaxFileBytes > 0 {
		b.Set(metric.UploadOversize, float64(oversize), s.target, p.Name)
	}
	if p.MaxAge > 0 {
		b.Set(metric.UploadExpired, float64(expired), s.target, p.Name)
	}
	return unreadable(p.Dir, &res)
}
