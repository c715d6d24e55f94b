package collector

import (
	"math"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	leastGap = 50 * time.Millisecond  // between two readings of a target
	calmGap  = 500 * time.Millisecond // the same, while nothing is known to grow
	// approach is the part of the time to the next threshold after which it is read again.
	approach = 4
	// suddenGrowth, in bytes per second, is what any target may begin to grow by at any time. One
	// that has little room is read more often for it; a service that fills 400 MB in a second is
	// noticed on its way.
	suddenGrowth = 200 << 20
	growthHalf   = 2 * time.Second       // after which the fastest growth counts for half
	slopeLeast   = 20 * time.Millisecond // between two readings that have a slope
	costsKept    = 8
)

// allowance is the part of a core that the readings of one target may cost: while it grows, and
// otherwise; 0 for none at all.
type allowance struct{ growing, calm float64 }

var (
	memoryAllowance = allowance{growing: 0.01, calm: 0.0025}
	// The target works for a reading of its heap too, and nothing is killed when a heap is full.
	heapAllowance = allowance{growing: 0.001}
)

// gap returns how far apart readings are for which a part of a core is allowed.
func gap(cost time.Duration, share float64) time.Duration {
	return time.Duration(float64(cost) / share)
}

// distance says when the next reading of a value is due: the nearer a threshold and the faster it
// was approached, the sooner. The zero value knows nothing.
type distance struct {
	value        float64 // the newest, exact or a bound
	exact, bound point   // the newest of each kind: a slope is one between two of a kind
	at           time.Time
	fastest      float64 // growth of the last readings, in bytes per second, fading

	costs  [costsKept]time.Duration // of the last readings
	costed int                      // readings whose cost was noted
}

type point struct {
	at    time.Time
	value float64
}

// reset forgets the readings; what they cost stays.
func (d *distance) reset() {
	d.exact, d.bound, d.at, d.fastest = point{}, point{}, time.Time{}, 0
}

// note takes a reading.
func (d *distance) note(at time.Time, r reading) {
	if !d.at.IsZero() && at.After(d.at) {
		d.fastest *= math.Exp2(-at.Sub(d.at).Seconds() / growthHalf.Seconds())
	}
	if !at.Before(d.at) {
		d.at = at
	}
	d.value = r.bound
	d.bound = d.grow(d.bound, point{at, r.bound})
	if r.exact {
		d.exact, d.value = d.grow(d.exact, point{at, r.used}), r.used
	}
}

// grow takes the growth from one reading to the next of its kind, and returns the one to go on from.
func (d *distance) grow(from, to point) point {
	if from.at.IsZero() {
		return to
	}
	since := to.at.Sub(from.at)
	if since < slopeLeast {
		return from
	}
	d.fastest = max(d.fastest, (to.value-from.value)/since.Seconds())
	return to
}

// spent notes what a reading took.
func (d *distance) spent(took time.Duration) {
	d.costs[d.costed%costsKept] = took
	d.costed++
}

// cost is the least of the last ones: more was time in which the core had something else to do.
func (d *distance) cost() time.Duration {
	if d.costed == 0 {
		return 0
	}
	return slices.Min(d.costs[:min(d.costed, costsKept)])
}

// due is when to read again.
type due struct {
	next  time.Duration // at the latest after the usual interval
	calm  bool          // only because any target might begin to grow
	share float64       // of a core, that it costs
}

// within returns how soon to read again. left is the way to the next threshold in bytes; rising says
// that the next reading will confirm a level.
func (d *distance) within(left float64, interval time.Duration, rising bool, may allowance) due {
	cost := d.cost()
	grown := interval
	if d.fastest > 0 {
		grown = durationOf(left / d.fastest / approach)
	}
	if rising {
		grown = 0
	}
	next := due{next: min(interval, max(leastGap, gap(cost, may.growing), grown))}
	if may.calm > 0 {
		if calm := max(calmGap, gap(cost, may.calm), durationOf(left/suddenGrowth/approach)); calm < next.next {
			next = due{next: calm, calm: true}
		}
	}
	next.share = cost.Seconds() / next.next.Seconds()
	return next
}

// wayTo returns how far a value is below the next threshold; beyond the last one, below the limit.
func wayTo(t series.Thresholds, value, limit float64) float64 {
	for _, next := range [...]float64{t.Warning, t.Critical, t.Emergency} {
		if value < next*limit {
			return next*limit - value
		}
	}
	return max(limit-value, 0)
}

// durationOf returns a number of seconds, however many, as at most an hour.
func durationOf(s float64) time.Duration {
	return time.Duration(min(s, time.Hour.Seconds()) * float64(time.Second))
}
