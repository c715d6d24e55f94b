package series

import (
	"math"
	"slices"
	"time"
)

const (
	growthBuckets    = 10  // the ring is cut into this many parts, the minimum of each counts
	growthMinSamples = 50  // fewer points say nothing about a trend
	growthMinTau     = 0.5 // Kendall's tau of the minima below which nothing is reported
)

// Growth estimates the trend of a series in units per second: the Theil-Sen slope over the
// minima of 10 buckets of the points (oldest first), reported only when Kendall's tau of those
// minima is at least 0.5 and otherwise 0. The minima follow what survives a collection, so a
// garbage collector's sawtooth has no trend. ok is false with fewer than 50 points.
//
// Sources: Theil (1950), Sen (1968), Kendall (1938).
func Growth(points []Point) (perSecond float64, ok bool) {
	if len(points) < growthMinSamples {
		return 0, false
	}
	return trend(points), true
}

// GrowthOver is Growth for points that each summarise some time, longer the older ones: they have to span
// least and to be 10.
func GrowthOver(points []Point, least time.Duration) (perSecond float64, ok bool) {
	if len(points) < growthBuckets || points[len(points)-1].Time.Sub(points[0].Time) < least {
		return 0, false
	}
	return trend(points), true
}

// trend is Growth without a least number of points. The buckets are of equal time, so that the minimum of
// points that stand closer together is not one of less.
func trend(points []Point) float64 {
	var at, low [growthBuckets]float64
	filled := 0
	first := points[0].Time
	width := points[len(points)-1].Time.Sub(first)/growthBuckets + 1
	for i := 0; i < len(points); filled++ {
		bucket := points[i].Time.Sub(first) / width
		lowest := points[i]
		for i++; i < len(points) && points[i].Time.Sub(first)/width == bucket; i++ {
			if points[i].Min < lowest.Min {
				lowest = points[i]
			}
		}
		if filled == growthBuckets { // the clock was set back within the points
			return 0
		}
		at[filled], low[filled] = lowest.Time.Sub(first).Seconds(), lowest.Min
	}
	return theilSen(at[:filled], low[:filled])
}

// theilSen returns the median slope of points, 0 where they are not in one order.
func theilSen(at, low []float64) float64 {
	slopes := make([]float64, 0, growthBuckets*(growthBuckets-1)/2)
	concordant, pairs := 0, 0
	for i := range at {
		for j := i + 1; j < len(at); j++ {
			pairs++
			switch {
			case low[j] > low[i]:
				concordant++
			case low[j] < low[i]:
				concordant--
			}
			if dt := at[j] - at[i]; dt > 0 {
				slopes = append(slopes, (low[j]-low[i])/dt)
			}
		}
	}
	tau := float64(concordant) / float64(max(pairs, 1))
	if len(slopes) == 0 || math.Abs(tau) < growthMinTau {
		return 0
	}
	slices.Sort(slopes)
	n := len(slopes)
	return (slopes[(n-1)/2] + slopes[n/2]) / 2
}

// Exhaustion returns the seconds until used reaches limit at the given growth: +Inf when it is
// not growing, 0 when the limit is reached already.
func Exhaustion(used, limit, perSecond float64) float64 {
	if used >= limit {
		return 0
	}
	if perSecond <= 0 {
		return math.Inf(1)
	}
	return (limit - used) / perSecond
}
