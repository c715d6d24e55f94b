package metric

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// The kinds of an Own, as Prometheus calls them.
const (
	Counter   = "counter"
	Gauge     = "gauge"
	Histogram = "histogram"
)

// Own defines a metric that the exporter keeps about itself, outside the store. Each New method
// makes one from the definition and panics where the kind is another: that is a mistake in the code.
type Own struct {
	Name   string
	Help   string // one sentence for /metrics and the metrics reference
	Kind   string
	Labels []string
}

// NewCounter returns the metric as a counter without labels.
func (o *Own) NewCounter() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts(o.opts(Counter, false)))
}

// NewCounterVec returns the metric as a counter with its labels.
func (o *Own) NewCounterVec() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts(o.opts(Counter, true)), o.Labels)
}

// NewGauge returns the metric as a gauge without labels.
func (o *Own) NewGauge() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts(o.opts(Gauge, false)))
}

// NewGaugeVec returns the metric as a gauge with its labels; without labels, one that is absent
// until it is set.
func (o *Own) NewGaugeVec() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts(o.opts(Gauge, true)), o.Labels)
}

// NewGaugeFunc returns the metric as a gauge whose value is read at each scrape.
func (o *Own) NewGaugeFunc(value func() float64) prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts(o.opts(Gauge, false)), value)
}

// NewHistogram returns the metric as a histogram without labels. Its buckets are those of opts.
func (o *Own) NewHistogram(opts prometheus.HistogramOpts) prometheus.Histogram {
	return prometheus.NewHistogram(o.histogram(opts, false))
}

// NewHistogramVec returns the metric as a histogram with its labels. Its buckets are those of opts.
func (o *Own) NewHistogramVec(opts prometheus.HistogramOpts) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(o.histogram(opts, true), o.Labels)
}

// NewDesc returns the metric for a collector that makes its values at each scrape.
func (o *Own) NewDesc() *prometheus.Desc {
	return prometheus.NewDesc(o.Name, o.Help, o.Labels, nil)
}

func (o *Own) histogram(opts prometheus.HistogramOpts, vec bool) prometheus.HistogramOpts {
	own := o.opts(Histogram, vec)
	opts.Name, opts.Help = own.Name, own.Help
	return opts
}

func (o *Own) opts(kind string, vec bool) prometheus.Opts {
	if o.Kind != kind || len(o.Labels) > 0 && !vec {
		panic(fmt.Sprintf("metric: %s is a %s with the labels %q", o.Name, o.Kind, o.Labels))
	}
	return prometheus.Opts{Name: o.Name, Help: o.Help}
}
