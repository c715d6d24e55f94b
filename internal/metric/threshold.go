package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// ThresholdRatio is where the levels begin: the shipped rules join on it, so that a threshold
// stands in one place, the config.
var ThresholdRatio = series.NewGauge("spillway_threshold_ratio", "Share of the limit at which a level begins.", "target", "level")

var thresholdDescs = []*series.Desc{
	ThresholdRatio,
}
