package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series that a service reports about itself.
var (
	AppValue  = series.NewGauge("spillway_app_value", "Value reported by the service under its configured name.", "target", "name").Windowed()
	AppEvents = series.NewCounter("spillway_app_events_total", "Counter reported by the service under its configured name; monotonic across restarts of the service.", "target", "name")
)

var appDescs = []*series.Desc{
	AppValue, AppEvents,
}
