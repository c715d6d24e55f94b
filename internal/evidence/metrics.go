package evidence

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// Metrics count captures.
type Metrics struct {
	captures *prometheus.CounterVec
	pause    *prometheus.HistogramVec
}

// NewMetrics registers the metrics; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		captures: metric.EvidenceCaptures.NewCounterVec(),
		pause:    metric.EvidencePause.NewHistogramVec(prometheus.HistogramOpts{Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
	}
	if reg != nil {
		reg.MustRegister(m.captures, m.pause)
	}
	return m
}

// Born makes the counters of a target exist before its first capture.
func (m *Metrics) Born(target, provider string) {
	if m == nil {
		return
	}
	for _, r := range Of(provider) {
		for _, outcome := range []string{Captured, Skipped, Failed, Unknown} {
			m.captures.WithLabelValues(target, r.Runtime, outcome)
		}
	}
}

func (m *Metrics) ended(target string, t *Taken) {
	if m == nil || t.Runtime == "" {
		return
	}
	m.captures.WithLabelValues(target, t.Runtime, t.Outcome).Inc()
	if t.Profile != nil {
		m.pause.WithLabelValues(t.Runtime).Observe(t.Profile.Pause.Seconds())
	}
}
