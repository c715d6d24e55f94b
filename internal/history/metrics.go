package history

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// metrics say how the history is. A nil *metrics counts nothing.
type metrics struct {
	size, series      prometheus.Gauge
	damaged, failures prometheus.Counter
	written           *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		return nil
	}
	m := &metrics{
		size: metric.HistorySize.NewGauge(), series: metric.HistorySeries.NewGauge(),
		damaged: metric.HistoryDamaged.NewCounter(), failures: metric.HistoryFailures.NewCounter(),
		written: metric.HistoryWritten.NewGaugeVec(),
	}
	reg.MustRegister(m.size, m.series, m.damaged, m.failures, m.written)
	return m
}

func (m *metrics) dropped(n int) {
	if m != nil {
		m.damaged.Add(float64(n))
	}
}

func (m *metrics) failed() {
	if m != nil {
		m.failures.Inc()
	}
}

func (m *metrics) appended(series int, at time.Time) {
	if m != nil {
		m.series.Set(float64(series))
		m.written.WithLabelValues().Set(float64(at.UnixMilli()) / 1000)
	}
}

func (m *metrics) sized(bytes int64) {
	if m != nil {
		m.size.Set(float64(bytes))
	}
}
