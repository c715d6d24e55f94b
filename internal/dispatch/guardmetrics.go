package dispatch

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// guardMetrics are what holds back what begins by itself, and what runs in spite of it, as of each scrape: time alone
// changes it.
type guardMetrics struct {
	d                                         *Dispatcher
	paused, remaining, window, run, proposals *prometheus.Desc
}

func newGuardMetrics(d *Dispatcher) *guardMetrics {
	return &guardMetrics{
		d: d, paused: metric.Paused.NewDesc(), remaining: metric.BudgetRemaining.NewDesc(), window: metric.WindowOpen.NewDesc(), run: metric.PlaybookRunning.NewDesc(),
		proposals: metric.Proposals.NewDesc(),
	}
}

// Describe implements prometheus.Collector.
func (g *guardMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- g.paused
	ch <- g.remaining
	ch <- g.window
	ch <- g.run
	ch <- g.proposals
}

// Collect implements prometheus.Collector.
func (g *guardMetrics) Collect(ch chan<- prometheus.Metric) {
	s := g.d.guards()
	for target, paused := range s.paused {
		ch <- prometheus.MustNewConstMetric(g.paused, prometheus.GaugeValue, zeroOrOne(paused), target)
	}
	for _, b := range s.budgets {
		ch <- prometheus.MustNewConstMetric(g.remaining, prometheus.GaugeValue, float64(b.Remaining), b.Target, b.Playbook)
	}
	for key, n := range s.proposals {
		ch <- prometheus.MustNewConstMetric(g.proposals, prometheus.GaugeValue, float64(n), key.target, key.playbook)
	}
	for key, open := range s.windows {
		ch <- prometheus.MustNewConstMetric(g.window, prometheus.GaugeValue, zeroOrOne(open), key.target, key.playbook)
	}
	for key := range s.running {
		ch <- prometheus.MustNewConstMetric(g.run, prometheus.GaugeValue, 1, key.target, key.playbook)
	}
}

func zeroOrOne(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

type guardState struct {
	paused    map[string]bool
	budgets   []BudgetStatus
	windows   map[playbookKey]bool // whether it is open, of playbooks that have one
	running   map[playbookKey]bool
	proposals map[playbookKey]int // of all that may propose
}

// guards returns what holds at present.
func (d *Dispatcher) guards() guardState {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := guardState{paused: make(map[string]bool, len(d.targets)), windows: make(map[playbookKey]bool), running: make(map[playbookKey]bool), proposals: make(map[playbookKey]int)}
	now := d.opts.Now()
	for name, t := range d.targets {
		s.paused[name] = d.pausedBy(name) != nil
		for _, playbook := range t.proposing(d.modeOf(&t)) {
			s.proposals[playbookKey{name, playbook}] = 0
		}
		for book, p := range t.Playbooks {
			if p.timed() {
				s.windows[playbookKey{name, book}] = p.closed(series.LevelEmergency, now) == ""
			}
		}
	}
	for r := range d.open {
		if !r.quiet && d.modeNow(r) == enforce { // a schedule's run is none yet: it may find nothing to do
			s.running[playbookKey{r.target, r.playbook}] = true
		}
	}
	for _, p := range d.openProposals() {
		s.proposals[playbookKey{p.Target, p.Playbook}]++
	}
	s.budgets = d.budgets()
	return s
}
