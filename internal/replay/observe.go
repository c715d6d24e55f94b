package replay

import (
	"fmt"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Refresh implements dispatch.Observer.
func (w *world) Refresh(string, dispatch.Subject) {}

// Observe implements dispatch.Observer: the highest pressure of the present five minutes.
func (w *world) Observe(name string, s dispatch.Subject) dispatch.Reading {
	return w.read(name, s, func(g *gauge) (float64, bool) {
		p, ok := pointOf(g, w.at)
		return p.Max, ok
	})
}

// later returns what was read of a subject once a step had had its time: the mean of the next five minutes. Of a folder it is
// what the step has left.
func (w *world) later(name string, s dispatch.Subject) dispatch.Reading {
	return w.read(name, s, func(g *gauge) (float64, bool) {
		if g == nil {
			return 0, false
		}
		p, ok := g.after(w.at)
		return p.Mean, ok
	})
}

func (w *world) read(name string, s dispatch.Subject, value func(*gauge) (float64, bool)) dispatch.Reading {
	t := w.targets[name]
	switch {
	case t == nil || s == "":
		return dispatch.Reading{}
	case s == subject.Memory:
		return reading("memory", t.memory(value), w.cfg.Thresholds.Memory.Of())
	case s == subject.Heap:
		return reading("heap", t.heap(value, w.at), w.cfg.Thresholds.Heap.Of())
	}
	return t.folderReading(string(s), w.at)
}

// reading makes a reading of a ratio, which is negative where it is not known.
func reading(what string, ratio float64, levels series.Thresholds) dispatch.Reading {
	if ratio < 0 {
		return dispatch.Reading{}
	}
	return dispatch.Reading{Known: true, Ratio: ratio, Peak: ratio, Level: levels.Of(ratio), Text: fmt.Sprintf("%s %s", what, units.Ratio(ratio))}
}

func (t *target) memory(value func(*gauge) (float64, bool)) float64 {
	if t.limit > 0 {
		if used, ok := value(t.find(metric.MemoryUsed)); ok {
			return used / t.limit
		}
		return -1
	}
	if ratio, ok := value(t.find(metric.MemoryUsedRatio)); ok {
		return ratio
	}
	return -1
}

// heap is what the rules judge: what a collection has left, where the runtime says so.
func (t *target) heap(value func(*gauge) (float64, bool), at time.Time) float64 {
	ratio, known := value(t.find(metric.HeapUsedRatio))
	if live, ok := value(t.find(metric.HeapLive)); ok {
		full, used := pointAt(t.find(metric.HeapUsedRatio), at), pointAt(t.find(metric.HeapUsed), at)
		if full.Max > 0 && used.Max > 0 {
			return live * full.Max / used.Max
		}
	}
	if !known {
		return -1
	}
	return ratio
}

func pointAt(g *gauge, at time.Time) history.Point {
	p, _ := pointOf(g, at)
	return p
}

// folderReading reads the folder of a kind that is furthest over its limits.
func (t *target) folderReading(kind string, at time.Time) (worst dispatch.Reading) {
	for _, f := range t.folders {
		if f.kind != kind {
			continue
		}
		state, ok := f.state(at, func(p history.Point) float64 { return p.Max })
		if !ok {
			continue
		}
		r := dispatch.Reading{Known: true, Ratio: state.ratio, Peak: state.ratio, Text: fmt.Sprintf("%s %s: %.0f files", f.kind, f.name, state.files)}
		if state.ratio > 1 || state.due > 0 {
			r.Level = series.LevelWarning
		}
		if !worst.Known || r.Level > worst.Level || r.Level == worst.Level && r.Ratio > worst.Ratio {
			worst = r
		}
	}
	return worst
}
