package eval

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// metrics say how the evaluator itself is doing.
type metrics struct {
	evaluations   prometheus.Counter
	judged        prometheus.Counter
	missed        prometheus.Counter
	failures      prometheus.Counter
	failing       *prometheus.GaugeVec
	notifications prometheus.Counter
	refused       prometheus.Counter
	dropped       prometheus.Counter
	duration      prometheus.Gauge
	series        prometheus.Gauge

	droppedBefore uint64
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		evaluations:   metric.Evaluations.NewCounter(),
		judged:        metric.TargetEvaluations.NewCounter(),
		missed:        metric.EvaluationsMissed.NewCounter(),
		failures:      metric.RuleFailures.NewCounter(),
		failing:       metric.RuleFailing.NewGaugeVec(),
		notifications: metric.Notifications.NewCounter(),
		refused:       metric.NotificationsRefused.NewCounter(),
		dropped:       metric.EvaluatorDropped.NewCounter(),
		duration:      metric.EvaluationDuration.NewGauge(),
		series:        metric.EvaluatorSeries.NewGauge(),
	}
	reg.MustRegister(m.evaluations, m.judged, m.missed, m.failures, m.failing, m.notifications, m.refused, m.dropped, m.duration, m.series)
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
