package series

import "time"

const (
	recentSlots  = 64
	recentWindow = 5 * time.Second        // what the growth of the last seconds looks back
	recentLeast  = 100 * time.Millisecond // below it, three readings say nothing about a growth
	recentEnd    = 500 * time.Millisecond // after which a rise that has ended is not growth
	recentPoints = 3
)

// Recent is the short ring: the readings of the last seconds of one value, which are taken as often
// as need be while the rings of the Store keep their cadence. The zero value is empty. It is not
// safe for concurrent use.
type Recent struct {
	base   time.Time // times are kept relative to it, by the monotonic clock where there is one
	at     [recentSlots]time.Duration
	values [recentSlots]float64
	next   int
	n      int
}

// Push adds a reading. One that is not newer than the last is left out.
func (r *Recent) Push(at time.Time, v float64) {
	if r.n == 0 {
		r.base = at
	}
	since := at.Sub(r.base)
	if r.n > 0 && since <= r.at[r.slot(r.n-1)] {
		return
	}
	r.at[r.next], r.values[r.next] = since, v
	r.next = (r.next + 1) % recentSlots
	r.n = min(r.n+1, recentSlots)
}

// Reset forgets all readings: they were of another population, or the clock was set.
func (r *Recent) Reset() { r.next, r.n = 0, 0 }

// slot returns the index of reading i, 0 being the oldest.
func (r *Recent) slot(i int) int { return (r.next - r.n + i + recentSlots) % recentSlots }

// Growth returns the growth of the last 5 s in units per second: the smallest of the slope of all
// readings, that of the newer half of their time and that of the last half second, by least squares. So
// a rise that has ended half a second ago is not growth any more. ok is false with fewer than 3 readings, or
// where they span less than 100 ms.
func (r *Recent) Growth() (perSecond float64, ok bool) {
	if r.n < recentPoints {
		return 0, false
	}
	newest := r.at[r.slot(r.n-1)]
	first := r.since(newest - recentWindow)
	span := newest - r.at[r.slot(first)]
	if r.n-first < recentPoints || span < recentLeast {
		return 0, false
	}
	half := min(r.since(newest-span/2), r.n-2)
	last := r.n - recentPoints
	for last > first && newest-r.at[r.slot(last)] < recentEnd {
		last--
	}
	return min(r.slope(first), r.slope(half), r.slope(last)), true
}

// since returns the oldest reading at or after a time.
func (r *Recent) since(at time.Duration) int {
	for i := range r.n {
		if r.at[r.slot(i)] >= at {
			return i
		}
	}
	return r.n - 1
}

// slope is the least-squares slope of the readings from one on.
func (r *Recent) slope(from int) float64 {
	var sumT, sumV float64
	origin := r.at[r.slot(from)]
	for i := from; i < r.n; i++ {
		sumT += (r.at[r.slot(i)] - origin).Seconds()
		sumV += r.values[r.slot(i)]
	}
	n := float64(r.n - from)
	meanT, meanV := sumT/n, sumV/n
	var up, down float64
	for i := from; i < r.n; i++ {
		dt := (r.at[r.slot(i)] - origin).Seconds() - meanT
		up += dt * (r.values[r.slot(i)] - meanV)
		down += dt * dt
	}
	return up / down
}
