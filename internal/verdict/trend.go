package verdict

import (
	"math"
	"slices"
	"time"
)

// What a rise has to be. The test of Mann and Kendall at three standard deviations passes by chance once in 700 times. It
// passes for a step and for a start too, and so no single jump may be most of the growth, and the newer half has to
// rise by itself, nearly as fast as the whole.
const (
	buckets    = 24
	leastLows  = leastCollections
	leastZ     = 3.0
	mostJump   = 0.5 // of the growth
	newerSlope = 0.4 // of the slope of the whole
	newerTau   = 0.4
	parts      = 4 // the whole past, its newer half, and so on
)

// trend is a rise that holds.
type trend struct {
	from, to    time.Time
	first, last float64 // on the line
	growth      float64 // last less first
	perSecond   float64
	points      int
}

// windows returns the whole past and its newer parts, each half as long. In a part only what is higher than ever before
// counts: a value that comes back is not growth.
func windows(lows []low) [][]low {
	if len(lows) < leastLows {
		return nil
	}
	out := [][]low{lows}
	end, span := lows[len(lows)-1].at, lows[len(lows)-1].at.Sub(lows[0].at)
	for range parts - 1 {
		span /= 2
		i := slices.IndexFunc(lows, func(l low) bool { return !l.at.Before(end.Add(-span)) })
		part := lows[i:]
		if len(part) < leastLows {
			break
		}
		before := highest(envelope(lows[:i]))
		newer := part[len(part)/2:]
		if !slices.ContainsFunc(newer, func(l low) bool { return l.value <= before }) {
			out = append(out, part)
		}
	}
	return out
}

func highest(lows []low) float64 {
	out := math.Inf(-1)
	for _, l := range lows {
		out = max(out, l.value)
	}
	return out
}

// envelope returns the lowest of each of 24 equal parts of the time.
func envelope(lows []low) []low {
	if len(lows) == 0 {
		return nil
	}
	begin := lows[0].at
	span := lows[len(lows)-1].at.Sub(begin)
	if span <= 0 {
		return lows[:1]
	}
	var out []low
	last := -1
	for _, l := range lows {
		b := min(int(int64(l.at.Sub(begin))*buckets/int64(span)), buckets-1)
		switch {
		case b != last:
			out, last = append(out, l), b
		case l.value < out[len(out)-1].value:
			out[len(out)-1] = l
		}
	}
	return out
}

// faster is how much faster a newer part has to rise than the whole, so that it is what is said.
const faster = 1.5

// trendOf returns the trend of the whole past where it rises, and that of a newer part where that rises faster. Growth up to
// least is none.
func trendOf(lows []low, least float64) (best trend, ok bool) {
	for _, part := range windows(lows) {
		if t, rising := rises(part); rising && t.growth >= least && (!ok || t.perSecond >= faster*best.perSecond) {
			best, ok = t, true
		}
	}
	return best, ok
}

// rises returns the trend of lows where they rise.
func rises(lows []low) (trend, bool) {
	e := envelope(lows)
	if len(e) < leastLows {
		return trend{}, false
	}
	s, pairs := concordance(e)
	n := float64(len(e))
	if z := (s - 1) / math.Sqrt(n*(n-1)*(2*n+5)/18); s <= 0 || z < leastZ || pairs == 0 {
		return trend{}, false
	}
	per := slope(e)
	t := trend{from: lows[0].at, to: lows[len(lows)-1].at, perSecond: per, points: len(lows)}
	t.growth = per * t.to.Sub(t.from).Seconds()
	middle := median(values(e))
	t.first = max(middle-per*e[0].at.Add(e[len(e)-1].at.Sub(e[0].at)/2).Sub(t.from).Seconds(), 0)
	t.last = t.first + t.growth
	newer := e[len(e)/2:]
	s, pairs = concordance(newer)
	jump := 0.0
	for i := 1; i < len(e); i++ {
		jump = max(jump, e[i].value-e[i-1].value)
	}
	holds := per > 0 && t.growth >= leastGrown*middle && jump <= mostJump*t.growth &&
		s >= newerTau*pairs && slope(newer) >= newerSlope*per
	return t, holds
}

// concordance returns Kendall's S, and the number of pairs.
func concordance(lows []low) (s, pairs float64) {
	for i := range lows {
		for j := i + 1; j < len(lows); j++ {
			s += float64(compare(lows[j].value, lows[i].value))
			pairs++
		}
	}
	return s, pairs
}

// slope is the median of the slopes of all pairs, in units per second (Theil 1950, Sen 1968).
func slope(lows []low) float64 {
	all := make([]float64, 0, len(lows)*(len(lows)-1)/2)
	for i := range lows {
		for j := i + 1; j < len(lows); j++ {
			if dt := lows[j].at.Sub(lows[i].at).Seconds(); dt > 0 {
				all = append(all, (lows[j].value-lows[i].value)/dt)
			}
		}
	}
	return median(all)
}

func values(lows []low) []float64 {
	out := make([]float64, len(lows))
	for i := range lows {
		out[i] = lows[i].value
	}
	return out
}

// median sorts what it is given.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
