package journal

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// metrics say whether intents can be recorded. A nil *metrics counts nothing.
type metrics struct {
	reg    prometheus.Registerer
	all    []prometheus.Collector
	commit prometheus.Histogram
	size   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, j *Journal) *metrics {
	if reg == nil {
		return nil
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	m := &metrics{
		reg: reg,
		commit: metric.JournalCommitDuration.NewHistogram(prometheus.HistogramOpts{
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .1, .5, 2.5}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 40,
		}),
		size: metric.JournalSize.NewGauge(),
	}
	m.all = []prometheus.Collector{
		m.commit, m.size,
		metric.JournalWritable.NewGaugeFunc(func() float64 { return flag(j.Writable()) }),
		metric.JournalDurable.NewGaugeFunc(func() float64 { return flag(j.Durable()) }),
	}
	for _, c := range m.all {
		reg.MustRegister(c)
	}
	return m
}

func (m *metrics) unregister() {
	if m == nil {
		return
	}
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}

func (m *metrics) committed(took time.Duration) {
	if m != nil {
		m.commit.Observe(took.Seconds())
	}
}

func (m *metrics) sized(bytes int64) {
	if m != nil {
		m.size.Set(float64(bytes))
	}
}
