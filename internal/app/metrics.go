package app

import (
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const maxScrapes = 40 // at once

// newRegistry returns the registry of the process, with the collectors of the runtime.
func newRegistry(store *series.Store) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collector.NewExporter(store),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.NewCollector("spillway_exporter"),
	)
	return reg
}

func metricsHandler(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes, ErrorHandling: promhttp.ContinueOnError, Registry: reg,
	})
}

// reloadMetrics say how the last load of the configuration went.
type reloadMetrics struct{ success, at prometheus.Gauge }

func newReloadMetrics(reg prometheus.Registerer) *reloadMetrics {
	m := &reloadMetrics{
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spillway_config_last_reload_successful", Help: "Whether the last load of the configuration succeeded.",
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spillway_config_last_reload_success_timestamp_seconds", Help: "Unix time of the last successful load of the configuration.",
		}),
	}
	reg.MustRegister(m.success, m.at)
	return m
}

// registered are the metrics that are not series of the store. A test compares them with what the
// registry gathers.
var registered = []string{
	"spillway_alertmanager_alerts", "spillway_alertmanager_last_success_timestamp_seconds", "spillway_alertmanager_requests_total", "spillway_alertmanager_up",
	"spillway_action_duration_seconds", "spillway_action_freed_bytes_total", "spillway_action_last_run_timestamp_seconds",
	"spillway_action_removed_files_total", "spillway_action_runs_total", "spillway_action_skipped_files_total", "spillway_action_skips_total",
	"spillway_config_last_reload_success_timestamp_seconds", "spillway_config_last_reload_successful",
	"spillway_evaluator_evaluation_duration_seconds", "spillway_evaluator_evaluations_missed_total", "spillway_evaluator_evaluations_total",
	"spillway_evaluator_notifications_refused_total", "spillway_evaluator_notifications_total", "spillway_evaluator_rule_failures_total",
	"spillway_evaluator_series", "spillway_evaluator_series_dropped_total",
	"spillway_dispatch_queue_length", "spillway_exporter_build_info", "spillway_playbook_runs_total",
	"spillway_journal_commit_duration_seconds", "spillway_journal_durable", "spillway_journal_size_bytes", "spillway_journal_writable",
	"spillway_provider_failures_total", "spillway_provider_open", "spillway_provider_opens_total",
	"spillway_sampler_interval_seconds", "spillway_sampler_tick_duration_seconds", "spillway_sampler_ticks_missed_total", "spillway_sampler_ticks_total",
	"spillway_series", "spillway_series_dropped_total", "spillway_webhook_alerts_total", "spillway_webhook_requests_total",
	"spillway_watcher_notifications_total", "spillway_watcher_superseded_total",
}

// metricNames returns every metric that the exporter can publish.
func metricNames() []string {
	out := slices.Clone(registered)
	for _, d := range metric.Descs() {
		out = append(out, d.Name)
	}
	slices.Sort(out)
	return out
}
