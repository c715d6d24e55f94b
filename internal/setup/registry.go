package setup

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const maxScrapes = 40 // at once

// NewRegistry returns the registry of the process, with the collectors of the runtime.
func NewRegistry(store *series.Store) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collector.NewExporter(store),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.NewCollector("spillway_exporter"),
	)
	return reg
}

// MetricsHandler serves a registry at /metrics.
func MetricsHandler(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes, ErrorHandling: promhttp.ContinueOnError, Registry: reg,
	})
}

// foreignMetrics are the families of /metrics that libraries define: of the runtime, the process and
// the handler.
func foreignMetrics() []string {
	reg := NewRegistry(series.NewStore(series.Options{}))
	MetricsHandler(reg)
	families, _ := reg.Gather() // what cannot be gathered is not a family to rely on
	names := make([]string, len(families))
	for i, f := range families {
		names[i] = f.GetName()
	}
	return names
}
