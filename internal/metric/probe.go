package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series of a probe.
var (
	ProbeSuccess       = series.NewGauge("spillway_probe_success", "Whether the last probe got an answer with a status of 2xx, or one of valid_status, in time.", "target").Windowed()
	ProbeDuration      = series.NewGauge("spillway_probe_duration_seconds", "Time from the last probe's request until its answer was read; absent when none came.", "target").Windowed()
	ProbeStatus        = series.NewGauge("spillway_probe_http_status_code", "HTTP status of the last probe's answer; absent when none came.", "target")
	ProbeMaxDuration   = series.NewGauge("spillway_probe_max_duration_seconds", "Configured time within which the service should answer its probe.", "target")
	StartupDuration    = series.NewGauge("spillway_startup_duration_seconds", "Time from the start of the target's oldest process to its first good probe; absent when that start was not watched.", "target")
	StartupMaxDuration = series.NewGauge("spillway_startup_max_duration_seconds", "Configured time within which the service should be ready after its start.", "target")
)
