package verdict

import (
	"math"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// low is a value at a moment.
type low struct {
	at    time.Time
	value float64
}

// What is a fall of a heap, and the end of one, as shares of the value.
const (
	leastFall = 0.05
	leastRise = 0.01
)

// collections returns what each collection left, as the falls of what is used show it. A point may stand for many
// values whose order is not known: as few and as small falls as possible are read from it.
func collections(points []series.Point) []low {
	var out []low
	peak, lowest, falling := math.Inf(-1), low{}, false
	see := func(at time.Time, v float64) {
		switch {
		case falling && v > lowest.value*(1+leastRise):
			out = append(out, lowest)
			peak, falling = v, false
		case falling && v < lowest.value:
			lowest = low{at, v}
		case !falling && v < peak*(1-leastFall):
			lowest, falling = low{at, v}, true
		case !falling:
			peak = max(peak, v)
		}
	}
	for i := range points {
		p := &points[i]
		see(p.Time, p.Min)
		see(p.Time, p.Max)
		see(p.Time, p.Last)
	}
	return out
}

// leftovers returns each value that a runtime gives for what its last full collection left. Before the first one it
// gives what may be garbage: that ends with a fall.
func leftovers(points []series.Point) []low {
	var out []low
	first := slices.IndexFunc(points, func(p series.Point) bool { return p.Min < points[0].Max*(1-leastFall) || p.Min < p.Max*(1-leastFall) })
	for i := max(first, 0); first >= 0 && i < len(points); i++ {
		if v := points[i].Last; len(out) == 0 || out[len(out)-1].value != v {
			out = append(out, low{points[i].Time, v})
		}
	}
	return out
}

// readings returns the smallest value of each point.
func readings(points []series.Point) []low {
	out := make([]low, len(points))
	for i := range points {
		out[i] = low{at: points[i].Time, value: points[i].Min}
	}
	return out
}

// between returns the median of what a heap fills from one reading to the next. By so much a reading may be higher than what
// the collection before it left.
func between(points []series.Point) float64 {
	var all []float64
	for i := 1; i < len(points); i++ {
		if p := &points[i]; p.Min == p.Max && p.Last > points[i-1].Last {
			all = append(all, p.Last-points[i-1].Last)
		}
	}
	return median(all)
}

// after returns the points from a moment on.
func after(points []series.Point, from time.Time) []series.Point {
	i := slices.IndexFunc(points, func(p series.Point) bool { return !p.Time.Before(from) })
	if i < 0 {
		return nil
	}
	return points[i:]
}

// change returns by how much the last quarter of points is higher than the first, by their smallest or by their largest
// values, whichever is more.
func change(points []series.Point) float64 {
	n := len(points) / 4
	lowest := func(p []series.Point) float64 {
		return slices.MinFunc(p, func(a, b series.Point) int { return compare(a.Min, b.Min) }).Min
	}
	highest := func(p []series.Point) float64 {
		return slices.MaxFunc(p, func(a, b series.Point) int { return compare(a.Max, b.Max) }).Max
	}
	if n == 0 {
		return 0
	}
	first, last := points[:n], points[len(points)-n:]
	return max(lowest(last)-lowest(first), highest(last)-highest(first))
}

// grown reports whether the last quarter of points lies above the first.
func grown(points []series.Point) bool {
	n := len(points) / 4
	if n == 0 {
		return false
	}
	first, last := math.Inf(1), math.Inf(1)
	for i := range n {
		first, last = min(first, points[i].Min), min(last, points[len(points)-1-i].Min)
	}
	return last > first*(1+leastGrown)
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
