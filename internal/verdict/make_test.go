package verdict

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const mib = float64(1 << 20)

var begin = time.Date(2026, 1, 2, 18, 2, 0, 0, time.UTC)

// curve is a value by the share of the time that has gone by, from 0 to 1.
type curve func(x float64) float64

func flat(v float64) curve        { return func(float64) float64 { return v } }
func ramp(from, to float64) curve { return func(x float64) float64 { return from + (to-from)*x } }
func step(a, b, at float64) curve {
	return func(x float64) float64 { return map[bool]float64{false: a, true: b}[x >= at] }
}

func warm(from, to, tau float64) curve {
	return func(x float64) float64 { return to - (to-from)*math.Exp(-x/tau) }
}

func wave(low, high, times float64) curve {
	return func(x float64) float64 { return low + (high-low)*(1-math.Cos(2*math.Pi*times*x))/2 }
}

// later holds the first value until a share of the time, and then goes the whole way.
func later(c curve, at float64) curve {
	return func(x float64) float64 { return c(max(0, (x-at)/(1-at))) }
}

// points are n samples over a span.
func points(n int, span time.Duration, c curve) []series.Point {
	out := make([]series.Point, n)
	for i := range out {
		x := float64(i) / float64(n-1)
		v := c(x)
		out[i] = series.Point{Time: begin.Add(time.Duration(x * float64(span))), Min: v, Max: v, Last: v}
	}
	return out
}

// saw is what is used of a heap: what lives, and garbage that a collection takes each time that it has the given size.
func saw(live curve, garbage float64, times float64) curve {
	return func(x float64) float64 { _, part := math.Modf(x * times); return live(x) + garbage*part }
}

// young is a heap of which each collection takes a little, and a full one the rest, as often as full says.
func young(live curve, garbage, old, times, full float64) curve {
	return func(x float64) float64 {
		_, part := math.Modf(x * times)
		_, tenured := math.Modf(math.Floor(x*times) / times * full)
		return live(x) + garbage*part + old*tenured
	}
}

func noisy(c curve, r *rand.Rand, by float64) curve {
	return func(x float64) float64 { return max(0, c(x)+by*r.NormFloat64()) }
}

// coarse merges points as a ring of longer slots does.
func coarse(in []series.Point, by int) []series.Point {
	var out []series.Point
	for i, p := range in {
		if i%by == 0 {
			out = append(out, p)
			continue
		}
		last := &out[len(out)-1]
		last.Time, last.Last = p.Time, p.Last
		last.Min, last.Max = min(last.Min, p.Min), max(last.Max, p.Max)
	}
	return out
}

// heapOf is a target that is known by a heap only, of which each collection is a full one.
func heapOf(c curve) Input {
	return Input{Start: begin, Heaps: []Heap{{Runtime: "go", Used: points(400, 2*time.Hour, c)}}}
}

// youngOf is a heap with generations.
func youngOf(c curve) Input {
	in := heapOf(c)
	in.Heaps[0].Runtime, in.Heaps[0].Used = "node", points(1600, 2*time.Hour, c)
	return in
}

var culprit = &Evidence{From: begin, To: begin.Add(2 * time.Hour), Captures: 6, Full: true, Culprit: "rememberSession src/server.js:42", Bytes: 30 << 20, Share: .71}

// liveOf is a heap whose runtime says what the last full collection left.
func liveOf(live []series.Point) Input {
	return Input{Start: begin, Heaps: []Heap{{Runtime: "jvm", Used: points(400, 2*time.Hour, flat(300*mib)), Live: live}}}
}
