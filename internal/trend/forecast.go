package trend

import (
	"math"
	"slices"
	"time"
)

const (
	horizon  = 60 * day // a limit that is reached later has no forecast
	highDays = 3        // of which the height of an hour of the day is taken
)

// Forecast is when a limit is reached, by the growth and the rhythm of the day. Zero times are beyond the horizon of 60 days.
type Forecast struct {
	At, Earliest, Latest time.Time
}

// Reaches says when a limit is reached. It is in some hour of the day in which the service is at its height.
func (e *Estimate) Reaches(limit float64, now time.Time) Forecast {
	if !e.Growing || e.PerSecond <= 0 || len(e.hours) == 0 {
		return Forecast{}
	}
	slope, bound := e.PerSecond*3600, e.Bound*3600
	at := func(slope float64, pick func([]float64) float64) time.Time {
		return e.crossing(limit, slope, e.heights(slope, pick), now)
	}
	f := Forecast{
		At:       at(slope, middle),
		Earliest: at(slope+bound, func(v []float64) float64 { return slices.Max(v) }),
		Latest:   at(slope-bound, func(v []float64) float64 { return slices.Min(v) }),
	}
	if !f.At.IsZero() && f.Earliest.After(f.At) {
		f.Earliest = f.At
	}
	return f
}

// heights returns what each hour of the day reaches at the last hour, by the last days. An hour that has no value is -Inf.
func (e *Estimate) heights(slope float64, pick func([]float64) float64) [day]float64 {
	last := e.hours[len(e.hours)-1].Number
	var at [day][highDays]float64
	var n [day]int
	for i := len(e.hours) - 1; i >= 0 && last-e.hours[i].Number < highDays*day; i-- {
		h := &e.hours[i]
		c := h.Number % day
		at[c][n[c]] = h.High + slope*float64(last-h.Number)
		n[c]++
	}
	var out [day]float64
	for c := range at {
		if out[c] = math.Inf(-1); n[c] > 0 {
			out[c] = pick(at[c][:n[c]])
		}
	}
	return out
}

// crossing returns the first time from now on at which the line of an hour of the day is above the limit. Within the hour it lies
// where it would on a line from the hour before.
func (e *Estimate) crossing(limit, slope float64, heights [day]float64, now time.Time) time.Time {
	last := e.hours[len(e.hours)-1].Number
	first := now.Unix() / 3600
	height := func(n int64) float64 { return heights[n%day] + slope*float64(n-last) }
	for n := first; n < first+horizon; n++ {
		over := height(n)
		if over < limit {
			continue
		}
		part := 0.0
		if before := height(n - 1); before < limit && !math.IsInf(before, 0) {
			part = (limit - before) / (over - before)
		}
		at := time.Unix(n*3600, 0).Add(time.Duration(part * float64(time.Hour)))
		if at.Before(now) {
			at = now
		}
		return at
	}
	return time.Time{}
}
