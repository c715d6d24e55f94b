package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series of a probe.
var (
	ProbeSuccess       = series.NewGauge("spillway_probe_success", "Whether the last probe was answered in time with a 2xx status or one of valid_status.", "target").Windowed()
	ProbeDuration      = series.NewGauge("spillway_probe_duration_seconds", "Time from the last probe's request until its answer was read; absent without an answer.", "target").Windowed()
	ProbeStatus        = series.NewGauge("spillway_probe_http_status_code", "HTTP status of the last probe's answer; absent without an answer.", "target")
	ProbeMaxDuration   = series.NewGauge("spillway_probe_max_duration_seconds", "Configured maximum time for the service to answer its probe.", "target")
	StartupDuration    = series.NewGauge("spillway_startup_duration_seconds", "Time from the start of the target's oldest process to its first successful probe, exact to 2 % or 50 ms; absent if that start was not observed.", "target")
	StartupMaxDuration = series.NewGauge("spillway_startup_max_duration_seconds", "Configured maximum time for the service to become ready after it starts.", "target")
)

var probeDescs = []*series.Desc{
	ProbeSuccess, ProbeDuration, ProbeStatus, ProbeMaxDuration, StartupDuration, StartupMaxDuration,
}
