package collector

import "github.com/prometheus/client_golang/prometheus"

// SamplerMetrics are the counters of the sampler itself. They are made once per process and
// outlive reloads.
type SamplerMetrics struct {
	ticks    prometheus.Counter
	missed   prometheus.Counter
	duration prometheus.Histogram
	interval *prometheus.GaugeVec
}

// NewSamplerMetrics makes and registers the sampler's metrics.
func NewSamplerMetrics(reg prometheus.Registerer) *SamplerMetrics {
	m := &SamplerMetrics{
		ticks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "spillway_sampler_ticks_total", Help: "Sweeps of the sampler over the sources of a lane.",
		}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "spillway_sampler_ticks_missed_total", Help: "Sweeps left out because the sweep before took longer than the interval.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "spillway_sampler_tick_duration_seconds", Help: "Duration of the sampler's sweeps.",
			Buckets: []float64{.0001, .001, .01, .1, 1, 10, 60}, NativeHistogramBucketFactor: 1.1,
			NativeHistogramMaxBucketNumber: 100,
		}),
		interval: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "spillway_sampler_interval_seconds", Help: "Present interval of a lane: shorter while a target is under pressure, longer to keep a scan within its budget.",
		}, []string{"lane"}),
	}
	reg.MustRegister(m.ticks, m.missed, m.duration, m.interval)
	return m
}
