package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series that a service tells about itself.
var (
	AppValue  = series.NewGauge("spillway_app_value", "Value that the service tells about itself, by the name that the config gives it.", "target", "name").Windowed()
	AppEvents = series.NewCounter("spillway_app_events_total", "Counter that the service keeps, by the name that the config gives it; a restart of the service does not set it back.", "target", "name")
)
