package eval

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// scrape reads the registry into the memory, as a Prometheus would scrape it: only what some rule
// reads, at one moment, with the labels that are given to every series.
type scrape struct {
	mem   *memory
	w     *writer
	ms    int64
	extra []labels.Label // sorted by name
	pairs []labels.Label // scratch
	err   error
}

// families writes all samples of the families, and `up` as a Prometheus does. The first error is
// returned after the rest.
func (s *scrape) families(all []*dto.MetricFamily, up float64) error {
	s.mem.begin(s.w)
	for _, f := range all {
		s.family(f)
	}
	s.sample(seriesUp, nil, "", "", up)
	s.mem.end(s.w, s.ms)
	return s.err
}

func (s *scrape) family(f *dto.MetricFamily) {
	name := f.GetName()
	switch f.GetType() {
	case dto.MetricType_HISTOGRAM:
		if !s.mem.wants(name+"_bucket") && !s.mem.wants(name+"_sum") && !s.mem.wants(name+"_count") {
			return
		}
		for _, m := range f.GetMetric() {
			s.histogram(name, m)
		}
	case dto.MetricType_SUMMARY:
		if !s.mem.wants(name) && !s.mem.wants(name+"_sum") && !s.mem.wants(name+"_count") {
			return
		}
		for _, m := range f.GetMetric() {
			for _, q := range m.GetSummary().GetQuantile() {
				s.sample(name, m.GetLabel(), "quantile", number(q.GetQuantile()), q.GetValue())
			}
			s.sample(name+"_sum", m.GetLabel(), "", "", m.GetSummary().GetSampleSum())
			s.sample(name+"_count", m.GetLabel(), "", "", float64(m.GetSummary().GetSampleCount()))
		}
	default:
		if !s.mem.wants(name) {
			return
		}
		for _, m := range f.GetMetric() {
			s.sample(name, m.GetLabel(), "", "", plainValue(m))
		}
	}
}

func plainValue(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.GetGauge().GetValue()
	case m.Counter != nil:
		return m.GetCounter().GetValue()
	}
	return m.GetUntyped().GetValue()
}

func (s *scrape) histogram(name string, m *dto.Metric) {
	h := m.GetHistogram()
	count := float64(h.GetSampleCount())
	if s.mem.wants(name + "_bucket") {
		infinite := false
		for _, b := range h.GetBucket() {
			infinite = infinite || math.IsInf(b.GetUpperBound(), 1)
			s.sample(name+"_bucket", m.GetLabel(), "le", number(b.GetUpperBound()), float64(b.GetCumulativeCount()))
		}
		if !infinite {
			s.sample(name+"_bucket", m.GetLabel(), "le", "+Inf", count)
		}
	}
	s.sample(name+"_sum", m.GetLabel(), "", "", h.GetSampleSum())
	s.sample(name+"_count", m.GetLabel(), "", "", count)
}

// number writes a bound as Prometheus 3 stores it: 1 is "1.0".
func number(f float64) string {
	if math.IsInf(f, 1) {
		return "+Inf"
	}
	out := strconv.FormatFloat(f, 'g', -1, 64)
	for _, c := range out {
		if c == '.' || c == 'e' || c == 'N' || c == 'I' {
			return out
		}
	}
	return out + ".0"
}

func (s *scrape) sample(name string, pairs []*dto.LabelPair, extraName, extraValue string, v float64) {
	if !s.mem.wants(name) {
		return
	}
	// Sorted by name, so that the key is that of writeLabels. A label of the exporter's own wins
	// over one that is given to all, as with honor_labels: what a rule reads is what it exposes.
	s.pairs = s.pairs[:0]
	for _, p := range pairs {
		if p.GetValue() != "" {
			s.pairs = append(s.pairs, labels.Label{Name: p.GetName(), Value: p.GetValue()})
		}
	}
	if extraName != "" {
		s.pairs = append(s.pairs, labels.Label{Name: extraName, Value: extraValue})
	}
	s.write(name, v)
}

// write writes the series of a name with the labels in pairs.
func (s *scrape) write(name string, v float64) {
	own := len(s.pairs)
	for _, e := range s.extra {
		if !slices.ContainsFunc(s.pairs[:own], func(l labels.Label) bool { return l.Name == e.Name }) {
			s.pairs = append(s.pairs, e)
		}
	}
	slices.SortFunc(s.pairs, func(a, b labels.Label) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	key := s.mem.key[:0]
	for _, l := range s.pairs {
		key = appendKey(key, l.Name, l.Value)
	}
	s.mem.key = key
	err := s.mem.write(s.w, s.mem.family(name), key, func() labels.Labels {
		return labels.New(append(slices.Clone(s.pairs), labels.Label{Name: model.MetricNameLabel, Value: name})...)
	}, s.ms, v)
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("gather: %w", err)
	}
}
