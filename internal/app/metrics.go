package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// reloadMetrics say how the last load of the configuration went, and where alerts link to since.
type reloadMetrics struct {
	success, at prometheus.Gauge
	dashboard   *prometheus.GaugeVec
}

func newReloadMetrics(reg prometheus.Registerer) *reloadMetrics {
	m := &reloadMetrics{
		success:   metric.ConfigSuccess.NewGauge(),
		at:        metric.ConfigLastSuccess.NewGauge(),
		dashboard: metric.DashboardInfo.NewGaugeVec(),
	}
	reg.MustRegister(m.success, m.at, m.dashboard)
	return m
}

func (m *reloadMetrics) link(l setup.Links) {
	m.dashboard.Reset()
	m.dashboard.WithLabelValues(l.Home, l.Target, l.Page("")).Set(1)
}

// instance is the label of the alerts that are evaluated here.
func (a *App) instance() string { return setup.Instance(a.graph.Load().cfg, a.listeners[0].Addr()) }

// links are the addresses that alerts link to.
func (a *App) links() setup.Links {
	return setup.NewLinks(a.graph.Load().cfg, a.instance(), a.auth.TLS)
}
