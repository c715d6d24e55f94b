package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series that the frame keeps for every source.
var (
	SourceSuccess     = series.NewGauge("spillway_source_success", "Whether the last sample of the source succeeded; name is that of the policy whose folder the source scans.", "source", "target", "name")
	SourceDuration    = series.NewGauge("spillway_source_duration_seconds", "Duration of the last sample of the source.", "source", "target", "name")
	SourceLastSuccess = series.NewGauge("spillway_source_last_success_timestamp_seconds", "Unix time of the last successful sample of the source.", "source", "target", "name")
	LaneStuck         = series.NewGauge("spillway_lane_stuck", "1 while a sample of the source does not return, such as from a folder whose file server is gone; absent otherwise.", "lane", "source", "target", "name")
)

var sourceDescs = []*series.Desc{
	SourceSuccess, SourceDuration, SourceLastSuccess, LaneStuck,
}
