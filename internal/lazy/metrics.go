package lazy

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// Metrics are the counters of all providers of a process, by kind. They are made once and outlive
// reloads. A nil *Metrics counts nothing.
type Metrics struct {
	open     *prometheus.GaugeVec
	opens    *prometheus.CounterVec
	failures *prometheus.CounterVec
}

// NewMetrics makes and registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		open:     metric.ProviderOpen.NewGaugeVec(),
		opens:    metric.ProviderOpens.NewCounterVec(),
		failures: metric.ProviderFailures.NewCounterVec(),
	}
	reg.MustRegister(m.open, m.opens, m.failures)
	return m
}

// declare makes the series of a kind visible at 0 before anything happens.
func (m *Metrics) declare(kind string) {
	if m != nil {
		m.open.WithLabelValues(kind)
		m.opens.WithLabelValues(kind)
		m.failures.WithLabelValues(kind)
	}
}

func (m *Metrics) opened(kind string) {
	if m != nil {
		m.open.WithLabelValues(kind).Inc()
		m.opens.WithLabelValues(kind).Inc()
	}
}

func (m *Metrics) gone(kind string) {
	if m != nil {
		m.open.WithLabelValues(kind).Dec()
	}
}

func (m *Metrics) failed(kind string) {
	if m != nil {
		m.failures.WithLabelValues(kind).Inc()
	}
}
