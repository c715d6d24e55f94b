package collector

import (
	"context"
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// thresholdsSource publishes the thresholds of the targets that are known by the config.
type thresholdsSource struct {
	memory, heap []thresholdsOf
}

type thresholdsOf struct {
	target string
	levels series.Thresholds
}

// NewThresholdsSource returns the source "thresholds" of the memory of the configured targets and the
// host, and of the heaps that are read. Discovered groups publish their own.
func NewThresholdsSource(memory, heap map[string]series.Thresholds) Source {
	sorted := func(of map[string]series.Thresholds) (out []thresholdsOf) {
		for _, target := range slices.Sorted(maps.Keys(of)) {
			out = append(out, thresholdsOf{target, of[target]})
		}
		return out
	}
	return &thresholdsSource{memory: sorted(memory), heap: sorted(heap)}
}

// Sample implements Source.
func (s *thresholdsSource) Sample(_ context.Context, b *series.Batch) error {
	for _, t := range s.memory {
		setThresholds(b, t.target, SignalMemory, t.levels)
	}
	for _, t := range s.heap {
		setThresholds(b, t.target, SignalHeap, t.levels)
	}
	return nil
}

func setThresholds(b *series.Batch, target, signal string, t series.Thresholds) {
	b.Set(metric.ThresholdRatio, t.Warning, target, signal, "warning")
	b.Set(metric.ThresholdRatio, t.Critical, target, signal, "critical")
	b.Set(metric.ThresholdRatio, t.Emergency, target, signal, "emergency")
}
