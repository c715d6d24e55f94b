package dispatch

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// guardMetrics are what holds back what begins by itself, as of each scrape: time alone changes it.
type guardMetrics struct {
	d                            *Dispatcher
	paused, remaining, proposals *prometheus.Desc
}

func newGuardMetrics(d *Dispatcher) *guardMetrics {
	return &guardMetrics{d: d, paused: metric.Paused.NewDesc(), remaining: metric.BudgetRemaining.NewDesc(), proposals: metric.Proposals.NewDesc()}
}

// Describe implements prometheus.Collector.
func (g *guardMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- g.paused
	ch <- g.remaining
	ch <- g.proposals
}

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
	for key, n := range s.proposals {
		ch <- prometheus.MustNewConstMetric(g.proposals, prometheus.GaugeValue, float64(n), key.target, key.playbook)
	}
}

type guardState struct {
	paused    map[string]bool
	budgets   []BudgetStatus
	proposals map[playbookKey]int // of all that may propose
}

// guards returns what holds at present.
func (d *Dispatcher) guards() guardState {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := guardState{paused: make(map[string]bool, len(d.targets))}
	s.proposals = make(map[playbookKey]int)
	for name, t := range d.targets {
		s.paused[name] = d.pausedBy(name) != nil
		for _, playbook := range t.proposing(d.modeOf(&t)) {
			s.proposals[playbookKey{name, playbook}] = 0
		}
	}
	for _, p := range d.openProposals() {
		s.proposals[playbookKey{p.Target, p.Playbook}]++
	}
	s.budgets = d.budgets()
	return s
}
