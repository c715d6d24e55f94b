package simulate

import (
	"maps"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// registry is what the evaluator gathers: the metrics of the services that the shipped rules with a
// playbook read.
type registry struct{ w *world }

// Gather implements prometheus.Gatherer.
func (r registry) Gather() ([]*dto.MetricFamily, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	now := r.w.now()
	var g gathering
	for _, name := range slices.Sorted(maps.Keys(r.w.services)) {
		s := r.w.services[name]
		if s.blind || r.w.config.targets[name].Name == "" {
			continue
		}
		g.service(s, now)
	}
	return g.families, nil
}

type gathering struct{ families []*dto.MetricFamily }

func (g *gathering) service(s *service, now time.Time) {
	ratio := func(what subject.Name) float64 { v, _ := s.ratio(what); return v }
	target := label("target", s.name)
	g.gauge("spillway_memory_used_ratio", ratio(subject.Memory), target)
	g.gauge("spillway_heap_used_ratio", ratio(subject.Heap), target, label("runtime", "nodejs"))
	g.gauge("spillway_cache_used_ratio", ratio(subject.Cache), target, label("cache", cacheName))
	g.gauge("spillway_temp_files", float64(len(s.temp)), target, label("dir", tempName))
	g.gauge("spillway_temp_max_files", tempMax, target, label("dir", tempName))
	g.gauge("spillway_temp_expired_files", float64(s.temp.expired(now)), target, label("dir", tempName))
	for level, at := range []float64{0, thresholds.Warning, thresholds.Critical, thresholds.Emergency} {
		if level := series.Level(level); level > series.LevelNormal {
			for _, signal := range []string{metric.SignalMemory, metric.SignalHeap} {
				g.gauge("spillway_threshold_ratio", at, label("level", level.String()), label("signal", signal), target)
			}
		}
	}
}

func label(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

func (g *gathering) gauge(name string, v float64, labels ...*dto.LabelPair) {
	m := &dto.Metric{Label: labels, Gauge: &dto.Gauge{Value: &v}}
	for _, f := range g.families {
		if f.GetName() == name {
			f.Metric = append(f.Metric, m)
			return
		}
	}
	g.families = append(g.families, &dto.MetricFamily{Name: &name, Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{m}})
}
