package collector

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// SamplerMetrics are the counters of the sampler itself. They are made once per process and
// outlive reloads.
type SamplerMetrics struct {
	ticks    prometheus.Counter
	missed   prometheus.Counter
	duration prometheus.Histogram
	interval *prometheus.GaugeVec
	wakes    map[string]prometheus.Counter // by reason
}

// NewSamplerMetrics makes and registers the sampler's metrics.
func NewSamplerMetrics(reg prometheus.Registerer) *SamplerMetrics {
	m := &SamplerMetrics{
		ticks:  metric.SamplerTicks.NewCounter(),
		missed: metric.SamplerMissed.NewCounter(),
		duration: metric.SamplerDuration.NewHistogram(prometheus.HistogramOpts{
			Buckets: []float64{.0001, .001, .01, .1, 1, 10, 60}, NativeHistogramBucketFactor: 1.1,
			NativeHistogramMaxBucketNumber: 100,
		}),
		interval: metric.SamplerInterval.NewGaugeVec(),
	}
	wakes := metric.SamplerWakes.NewCounterVec()
	m.wakes = make(map[string]prometheus.Counter, len(wakeReasons))
	for _, reason := range wakeReasons {
		m.wakes[reason] = wakes.WithLabelValues(reason)
	}
	reg.MustRegister(m.ticks, m.missed, m.duration, m.interval, wakes)
	return m
}

// woken counts a reading between two sweeps; "" is by distance.
func (m *SamplerMetrics) woken(reason string) {
	if reason == "" {
		reason = WakeDistance
	}
	c := m.wakes[reason]
	if c == nil {
		c = m.wakes[WakeOther]
	}
	c.Inc()
}
