package web

import (
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// History is what the page asks of the history on the disk.
type History interface {
	Series(target, gauge string, from, to time.Time) ([]history.Point, error)
	Marks(target string, from, to time.Time) ([]history.Mark, error)
}

// past is a value over a short time.
type past struct {
	at             time.Time
	min, mean, max float64
	step           time.Duration // how far apart such values usually are
}

// pastOf returns what is known of a gauge since a time, the oldest first: from the rings, the finest first,
// and before them from the history.
func (s *server) pastOf(from time.Time, desc *series.Desc, values ...string) []past {
	var layers [][]past
	first := s.Now().Add(time.Hour)
	var points []series.Point
	for _, tier := range []series.Tier{series.TierSample, series.TierMedium, series.TierLong} {
		points = s.Store.Points(points[:0], tier, desc, values...)
		layer := make([]past, 0, len(points))
		for _, p := range points {
			if p.Time.Before(first) && !p.Time.Before(from) {
				layer = append(layer, past{at: p.Time, min: p.Min, mean: p.Last, max: p.Max})
			}
		}
		if len(layer) > 0 {
			first = layer[0].at
			layers = append(layers, usual(layer))
		}
	}
	if s.History != nil && first.Sub(from) > history.Step {
		layers = append(layers, s.recorded(from, first, history.GaugeOf(desc, values), values[0]))
	}
	slices.Reverse(layers)
	return slices.Concat(layers...)
}

// recorded returns what the history has of a gauge. What it cannot read it has logged.
func (s *server) recorded(from, to time.Time, gauge, target string) []past {
	points, err := s.History.Series(target, gauge, from, to)
	if err != nil {
		return nil
	}
	out := make([]past, 0, len(points))
	for _, p := range points {
		if at := p.Time.Add(history.Step / 2); at.Before(to) && !at.Before(from) {
			out = append(out, past{at: at, min: p.Min, mean: p.Mean, max: p.Max, step: history.Step})
		}
	}
	return out
}

// usual sets the step of values to the median of the times between them.
func usual(layer []past) []past {
	var between []time.Duration
	for i := 1; i < len(layer); i++ {
		between = append(between, layer[i].at.Sub(layer[i-1].at))
	}
	if len(between) == 0 {
		return layer
	}
	slices.Sort(between)
	for i := range layer {
		layer[i].step = between[len(between)/2]
	}
	return layer
}

// thinned makes one value of all that lie in the same of n equal parts of the time.
func thinned(in []past, from time.Time, span time.Duration, n int) []past {
	if len(in) <= n {
		return in
	}
	var out []past
	last, count := -1, 0.0
	for _, p := range in {
		at := int(int64(n) * int64(p.at.Sub(from)/time.Millisecond) / max(int64(span/time.Millisecond), 1))
		if at != last || len(out) == 0 || gap(&out[len(out)-1], &p) {
			out, last, count = append(out, p), at, 1
			continue
		}
		o := &out[len(out)-1]
		count++
		o.at, o.min, o.max, o.mean = p.at, min(o.min, p.min), max(o.max, p.max), o.mean+(p.mean-o.mean)/count
		o.step = max(o.step, p.step)
	}
	for i := range out {
		out[i].step = max(out[i].step, span/time.Duration(n))
	}
	return out
}

// gap reports whether values are missing between two.
func gap(a, b *past) bool {
	const usually = 3
	return b.at.Sub(a.at) > usually*max(a.step, b.step)+time.Second
}
