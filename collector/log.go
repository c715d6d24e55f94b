package collector

import (
	"context"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// LogSource is the Source "log" of one folder of logs.
type LogSource struct {
	progress
	target string
	policy policy.Log
	names  *policy.Names
}

// NewLog returns the source; the policy has been validated.
func NewLog(target string, p policy.Log) (*LogSource, error) {
	names, err := p.Compile()
	if err != nil {
		return nil, fmt.Errorf("logs %q: %w", p.Name, err)
	}
	return &LogSource{target: target, policy: p, names: names}, nil
}

// Sample implements Source.
func (s *LogSource) Sample(ctx context.Context, b *series.Batch) error {
	p := &s.policy
	var files, size, oversize int64
	var folder []byte
	tally := policy.NewTally(p)
	scan := dirscan.Options{
		Dir: p.Dir, Recursive: p.IsRecursive(), Skip: policy.SkipFolder, Age: p.AgeNs,
		Select: func(name []byte) bool {
			kind, _ := s.names.KindOf(name)
			return kind == policy.LogLive || kind == policy.LogRotated
		},
		Visit: func(e *dirscan.Entry) error {
			files++
			size += p.Size(e)
			switch kind, r := s.names.KindOf(e.Name); {
			case kind == policy.LogRotated:
				folder = e.Parent.AppendPath(folder[:0])
				tally.Add(folder, r)
			case p.Oversize(e.SizeBytes, e.AllocatedBytes):
				oversize++
			}
			return nil
		},
	}
	s.follow(&scan)
	res, err := dirscan.Scan(ctx, scan)
	if err != nil {
		return scanError(err)
	}
	b.Set(metric.LogFiles, float64(files), s.target, p.Name)
	b.Set(metric.LogSize, float64(size), s.target, p.Name)
	b.Set(metric.LogOversize, float64(oversize), s.target, p.Name)
	b.Set(metric.LogExpired, float64(len(tally.Due(b.Time))), s.target, p.Name)
	return unreadable(p.Dir, &res)
}
