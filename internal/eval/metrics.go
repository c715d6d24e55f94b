package eval

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics tell how the evaluator itself is doing.
type metrics struct {
	evaluations   prometheus.Counter
	missed        prometheus.Counter
	failures      prometheus.Counter
	notifications prometheus.Counter
	refused       prometheus.Counter
	dropped       prometheus.Counter
	duration      prometheus.Gauge
	series        prometheus.Gauge

	droppedBefore uint64
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		evaluations:   counter("spillway_evaluator_evaluations_total", "Evaluations of the rules by the exporter itself."),
		missed:        counter("spillway_evaluator_evaluations_missed_total", "Evaluations left out because the one before took longer than the interval."),
		failures:      counter("spillway_evaluator_rule_failures_total", "Evaluations of single rules that failed."),
		notifications: counter("spillway_evaluator_notifications_total", "Alerts handed to the dispatcher, repeats included."),
		refused:       counter("spillway_evaluator_notifications_refused_total", "Alerts that the dispatcher did not take and that are told again."),
		dropped:       counter("spillway_evaluator_series_dropped_total", "Samples dropped because the limit of series was reached."),
		duration:      gauge("spillway_evaluator_evaluation_duration_seconds", "Duration of the last evaluation, gathering included."),
		series:        gauge("spillway_evaluator_series", "Series held for the rules."),
	}
	reg.MustRegister(m.evaluations, m.missed, m.failures, m.notifications, m.refused, m.dropped, m.duration, m.series)
	return m
}

func (m *metrics) evaluated(took time.Duration, series int, dropped uint64) {
	m.evaluations.Inc()
	m.duration.Set(took.Seconds())
	m.series.Set(float64(series))
	m.dropped.Add(float64(dropped - m.droppedBefore))
	m.droppedBefore = dropped
}

// late counts the evaluations that should have been between two.
func (m *metrics) late(between, interval time.Duration) {
	if n := int(between/interval) - 1; n > 0 {
		m.missed.Add(float64(n))
	}
}

func (m *metrics) told(alerts int, err error) {
	if err != nil {
		m.refused.Add(float64(alerts))
		return
	}
	m.notifications.Add(float64(alerts))
}
