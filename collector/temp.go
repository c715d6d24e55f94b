package collector

import (
	"context"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// The series of a folder of temporary files.
var (
	TempFiles    = series.NewGauge("spillway_temp_files", "Temporary files in the folder.", "target", "dir").Windowed()
	TempEmpty    = series.NewGauge("spillway_temp_empty_files", "Empty temporary files in the folder.", "target", "dir")
	TempExpired  = series.NewGauge("spillway_temp_expired_files", "Temporary files that a clean-up would remove now for their age or emptiness.", "target", "dir")
	TempSize     = series.NewGauge("spillway_temp_size_bytes", "Sum of the apparent sizes of the temporary files.", "target", "dir").Windowed()
	TempMaxFiles = series.NewGauge("spillway_temp_max_files", "Configured limit of temporary files.", "target", "dir")
	TempOldest   = series.NewGauge("spillway_temp_oldest_file_timestamp_seconds", "Unix time from which the oldest temporary file's age is measured.", "target", "dir")
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
		b.Set(TempMaxFiles, float64(p.MaxFiles), s.target, p.Name)
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
	b.Set(TempFiles, float64(res.Files), s.target, p.Name)
	b.Set(TempEmpty, float64(res.EmptyFiles), s.target, p.Name)
	b.Set(TempSize, float64(res.SizeBytes), s.target, p.Name)
	if p.MaxAge > 0 || p.EmptyMaxAge > 0 {
		b.Set(TempExpired, float64(expired), s.target, p.Name)
	}
	if res.Files > 0 {
		b.Set(TempOldest, seconds(res.OldestNs), s.target, p.Name)
	}
	return unreadable(p.Dir, &res)
}
