package dispatch

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// guardMetrics are what holds back what begins by itself, as of each scrape: time alone changes it.
type guardMetrics struct {
	d                 *Dispatcher
	paused, remaining *prometheus.Desc
}

func newGuardMetrics(d *Dispatcher) *guardMetrics {
	return &guardMetrics{d: d, paused: metric.Paused.NewDesc(), remaining: metric.BudgetRemaining.NewDesc()}
}

// Describe implements prometheus.Collector.
func (g *guardMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- g.paused; ch <- g.remaining }

// Collect implements prometheus.Collector.
func (g *guardMetrics) Collect(ch chan<- prometheus.Metric) {
	s := g.d.guards()
	for target, paused := range s.paused {
		value := 0.0
		if paused {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(g.paused, prometheus.GaugeValue, value, target)
	}
	for _, b := range s.budgets {
		ch <- prometheus.MustNewConstMetric(g.remaining, prometheus.GaugeValue, float64(b.Remaining), b.Target, b.Playbook)
	}
}

type guardState struct {
	paused  map[string]bool
	budgets []BudgetStatus
}

// guards returns what holds at present.
func (d *Dispatcher) guards() guardState {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := guardState{paused: make(map[string]bool, len(d.targets))}
	for name := range d.targets {
		s.paused[name] = d.pausedBy(name) != nil
	}
	s.budgets = d.budgets()
	return s
}
