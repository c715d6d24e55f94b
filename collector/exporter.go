package collector

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Exporter is the prometheus.Collector over the store. Collecting reads memory only: how long a
// scrape takes does not depend on how many processes or files there are.
type Exporter struct {
	store         *series.Store
	held, dropped *prometheus.Desc

	mu       sync.Mutex
	descs    map[*series.Desc]*prometheus.Desc
	snapshot []series.Sample
}

// NewExporter returns the collector of everything in store.
func NewExporter(store *series.Store) *Exporter {
	return &Exporter{store: store, held: metric.StoreSeries.NewDesc(), dropped: metric.StoreDropped.NewDesc(), descs: make(map[*series.Desc]*prometheus.Desc)}
}

// Describe sends nothing: which series exist depends on the targets, so the exporter is an
// unchecked collector in the sense of prometheus.Collector.
func (e *Exporter) Describe(chan<- *prometheus.Desc) {}

// Collect sends the newest value of every series that is present.
func (e *Exporter) Collect(ch chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.snapshot = e.store.Snapshot(e.snapshot[:0])
	for i := range e.snapshot {
		s := &e.snapshot[i]
		kind := prometheus.GaugeValue
		if s.Desc.Kind == series.Counter {
			kind = prometheus.CounterValue
		}
		m, err := prometheus.NewConstMetric(e.desc(s.Desc), kind, s.Value, s.Values...)
		if err != nil {
			m = prometheus.NewInvalidMetric(e.desc(s.Desc), err)
		}
		ch <- m
	}
	held, dropped := e.store.Len()
	ch <- prometheus.MustNewConstMetric(e.held, prometheus.GaugeValue, float64(held))
	ch <- prometheus.MustNewConstMetric(e.dropped, prometheus.CounterValue, float64(dropped))
}

func (e *Exporter) desc(d *series.Desc) *prometheus.Desc {
	p := e.descs[d]
	if p == nil {
		p = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
		e.descs[d] = p
	}
	return p
}
