package collector

import (
	"context"
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// ThresholdRatio is where the levels begin: the shipped rules join on it, so that a threshold
// stands in one place, the config.
var ThresholdRatio = series.NewGauge("spillway_threshold_ratio", "Share of the limit at which a level begins.", "target", "level")

// ThresholdsConfig are the shares of a limit at which the levels begin.
type ThresholdsConfig struct {
	Warning   units.Ratio `yaml:"warning"`   // default 70%
	Critical  units.Ratio `yaml:"critical"`  // default 85%
	Emergency units.Ratio `yaml:"emergency"` // default 95%
}

// Validate applies the defaults and reports every mistake.
func (c *ThresholdsConfig) Validate(report func(key, format string, args ...any)) {
	set := func(r *units.Ratio, otherwise units.Ratio) {
		if *r == 0 {
			*r = otherwise
		}
	}
	set(&c.Warning, .70)
	set(&c.Critical, .85)
	set(&c.Emergency, .95)
	if c.Critical <= c.Warning {
		report("critical", "%s is not above warning, %s: write a larger share, such as 85%%", c.Critical, c.Warning)
	}
	if c.Emergency <= c.Critical {
		report("emergency", "%s is not above critical, %s: write a larger share, such as 95%%", c.Emergency, c.Critical)
	}
}

// Thresholds returns the thresholds in the form that levels are made with.
func (c *ThresholdsConfig) Thresholds() series.Thresholds {
	return series.Thresholds{Warning: float64(c.Warning), Critical: float64(c.Critical), Emergency: float64(c.Emergency)}
}

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
	b.Set(ThresholdRatio, t.Warning, target, "warning")
	b.Set(ThresholdRatio, t.Critical, target, "critical")
	b.Set(ThresholdRatio, t.Emergency, target, "emergency")
}
