package lazy

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the counters of all providers of a process, by kind. They are made once and outlive
// reloads. A nil *Metrics counts nothing.
type Metrics struct {
	open     *prometheus.GaugeVec
	opens    *prometheus.CounterVec
	failures *prometheus.CounterVec
}

// NewMetrics makes and registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	labels := []string{"provider"}
	m := &Metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "spillway_provider_open", Help: "Providers of a kind that are open at present; they open on first need and close when idle.",
		}, labels),
		opens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spillway_provider_opens_total", Help: "Openings of providers of a kind that succeeded.",
		}, labels),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spillway_provider_failures_total", Help: "Openings of providers of a kind that failed, and open ones that broke.",
		}, labels),
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
