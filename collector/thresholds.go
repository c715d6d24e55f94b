package collector

import (
	"context"
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// thresholdsSource publishes the thresholds of the targets that are known by the config.
type thresholdsSource struct {
	targets []string
	of      map[string]series.Thresholds
}

// NewThresholdsSource returns the source "thresholds" of the configured targets and the host.
// Discovered groups publish their own.
func NewThresholdsSource(targets map[string]series.Thresholds) Source {
	return &thresholdsSource{targets: slices.Sorted(maps.Keys(targets)), of: targets}
}

// Sample implements Source.
func (s *thresholdsSource) Sample(_ context.Context, b *series.Batch) error {
	for _, target := range s.targets {
		setThresholds(b, target, s.of[target])
	}
	return nil
}

func setThresholds(b *series.Batch, target string, t series.Thresholds) {
	b.Set(metric.ThresholdRatio, t.Warning, target, "warning")
	b.Set(metric.ThresholdRatio, t.Critical, target, "critical")
	b.Set(metric.ThresholdRatio, t.Emergency, target, "emergency")
}
