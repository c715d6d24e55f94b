package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series that the frame keeps for every source.
var (
	SourceSuccess     = series.NewGauge("spillway_source_success", "Whether the last sample of the source succeeded.", "source", "target")
	SourceDuration    = series.NewGauge("spillway_source_duration_seconds", "Duration of the last sample of the source.", "source", "target")
	SourceLastSuccess = series.NewGauge("spillway_source_last_success_timestamp_seconds", "Unix time of the last successful sample of the source.", "source", "target")
)
