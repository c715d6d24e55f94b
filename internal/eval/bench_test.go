package eval

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/rules"
)

// targets50 exposes ten series for each of 50 targets, as the exporter does, through a real
// registry. One target in ten is under pressure.
type targets50 struct{ descs []*prometheus.Desc }

func newTargets50() *targets50 {
	c := &targets50{}
	for _, name := range []string{"spillway_memory_used_ratio", "spillway_memory_limit_bytes", "spillway_memory_exhaustion_seconds", "spillway_memory_growth_bytes_per_second", "spillway_processes", "spillway_process_oldest_start_time_seconds", "spillway_cache_used_ratio"} {
		c.descs = append(c.descs, prometheus.NewDesc(name, name, []string{"target"}, nil))
	}
	c.descs = append(c.descs, prometheus.NewDesc("spillway_threshold_ratio", "thresholds", []string{"target", "signal", "level"}, nil))
	return c
}

func (c *targets50) Describe(chan<- *prometheus.Desc) {}

func (c *targets50) Collect(ch chan<- prometheus.Metric) {
	for i := range 50 {
		target := fmt.Sprintf("target-%02d", i)
		value := 0.5
		if i%10 == 0 {
			value = 0.97
		}
		for _, d := range c.descs[:7] {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, target)
		}
		for level, ratio := range map[string]float64{"warning": 0.7, "critical": 0.85, "emergency": 0.95} {
			ch <- prometheus.MustNewConstMetric(c.descs[7], prometheus.GaugeValue, ratio, target, "memory", level)
		}
	}
}

// rules40 is the bundle, and as many rules of its pressure group again as make 40.
func rules40(b *testing.B) *Ruleset {
	b.Helper()
	content, err := rules.Read(rules.Bundle)
	if err != nil {
		b.Fatal(err)
	}
	bundle := loadBundle(b)
	var more strings.Builder
	more.WriteString("groups:\n  - name: more\n    rules:\n")
	i := bundle.Len()
	for i < 40 {
		for _, level := range []string{"warning", "critical", "emergency"} {
			if i++; i > 40 {
				break
			}
			fmt.Fprintf(&more, "      - alert: More%d\n        expr: spillway_memory_used_ratio >= on (job, instance, target) group_left () spillway_threshold_ratio{signal=\"memory\",level=%q}\n        for: 1m\n        annotations: {summary: '{{ $labels.target }} at {{ $value | humanizePercentage }}'}\n", i, level)
		}
	}
	r, err := Load(LoadOptions{Bundle: []File{{Name: "a.yml", Content: content}, {Name: "b.yml", Content: []byte(more.String())}}})
	if err != nil {
		b.Fatal(err)
	}
	if r.Len() != 40 {
		b.Fatalf("%d rules", r.Len())
	}
	return r
}

// BenchmarkEvaluate40Rules500Series is one evaluation: 40 rules over 500 series, gathering from a
// registry included, five targets of 50 under pressure.
func BenchmarkEvaluate40Rules500Series(b *testing.B) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newTargets50())
	g := newRig(b, rules40(b), func(o *Options) { o.Gatherer = reg })
	now := epoch
	firing := 0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(15 * time.Second)
		if err := g.Evaluate(b.Context(), now); err != nil {
			b.Fatal(err)
		}
		g.inbox.batches = nil
	}
	b.StopTimer()
	firing = len(g.Alerts())
	b.ReportMetric(float64(firing), "alerts")
	b.ReportMetric(float64(g.mem.series), "series")
	if !slices.ContainsFunc(g.Alerts(), func(a AlertState) bool { return a.Name == "SpillwayMemoryEmergency" }) {
		b.Fatal("nothing fires")
	}
}

// BenchmarkGather is the part of an evaluation that reads the registry into the rings.
func BenchmarkGather(b *testing.B) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newTargets50())
	families, err := reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	m := newMemory(loadBundle(b).needs, defaultMaxSeries)
	var w writer
	ms := epoch.UnixMilli()
	b.ReportAllocs()
	for b.Loop() {
		ms += 15000
		s := scrape{mem: m, w: &w, ms: ms}
		if err := s.families(families, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		loadBundle(b)
	}
}
