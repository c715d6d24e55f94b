package series

import (
	"math"
	"slices"
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
	var at, low [growthBuckets]float64
	for b := range growthBuckets {
		part := points[b*len(points)/growthBuckets : (b+1)*len(points)/growthBuckets]
		lowest := slices.MinFunc(part, func(x, y Point) int {
			switch {
			case x.Min < y.Min:
				return -1
			case x.Min > y.Min:
				return 1
			}
			return 0
		})
		at[b] = lowest.Time.Sub(points[0].Time).Seconds()
		low[b] = lowest.Min
	}
	slopes := make([]float64, 0, growthBuckets*(growthBuckets-1)/2)
	concordant, pairs := 0, 0
	for i := range growthBuckets {
		for j := i + 1; j < growthBuckets; j++ {
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
	tau := float64(concordant) / float64(pairs)
	if len(slopes) == 0 || math.Abs(tau) < growthMinTau {
		return 0, true
	}
	slices.Sort(slopes)
	n := len(slopes)
	return (slopes[(n-1)/2] + slopes[n/2]) / 2, true
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
