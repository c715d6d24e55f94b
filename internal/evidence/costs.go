package evidence

import (
	"math"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// What a measured price is multiplied with, as the next one may be worse, and the least that is reckoned with.
const (
	caution     = 1.5
	leastBytes  = units.Bytes(1 << 20)
	leastPaused = time.Millisecond
)

// How long what a capture has cost stands for what the next one may cost.
const (
	measuredFor = 24 * time.Hour
	newestFor   = 15 * time.Minute // at least, whatever the ones before it have cost
	lostFor     = time.Hour        // at least, where its end was not seen
	mostCosts   = 8                // that are kept: newestFor doubles to a day within them
	mostTypical = 5                // of which the median is the typical one
)

// Measured is what a capture of a target has cost.
type Measured struct {
	Pause time.Duration
	Bytes units.Bytes
	Used  units.Bytes // of its heap then
	At    time.Time
	Lost  bool // its end was not seen: it took at least so long
}

// PriceOf returns what a rung may cost on a target. The typical one of its last captures within a day counts, or what the table
// assumes where that is less; without any, the table alone. A moment at which the host is busy makes one capture slow, and that moment
// may last: so for a quarter of an hour the newest counts too, where it was worse, and held says until when. If it was worse
// than the table, as were those right before it, each of them doubles that time, up to a day. What is in use since a capture counts
// in proportion.
func (r *Rung) PriceOf(used units.Bytes, now time.Time, past []Measured) (price Price, held time.Time) {
	table := r.Worst.At(used)
	var pauses, sizes []float64
	worse, counting := 0, true
	for _, m := range slices.Backward(past) {
		p := r.scaled(used, &m)
		counting = counting && p.over(table)
		if counting {
			worse++
		}
		if len(pauses) < mostTypical && now.Sub(m.At) <= measuredFor {
			pauses, sizes = append(pauses, float64(p.Pause)), append(sizes, float64(p.Bytes))
		}
	}
	if len(pauses) == 0 {
		return table, time.Time{}
	}
	newest, typical := &past[len(past)-1], Price{Pause: time.Duration(median(pauses)), Bytes: units.Bytes(median(sizes))}
	if until := newest.At.Add(newest.holds(worse)); !now.After(until) {
		last := r.scaled(used, newest)
		if last.over(table) {
			held = until
		}
		return Price{Pause: max(last.Pause, typical.Pause), Bytes: max(last.Bytes, typical.Bytes)}, held
	}
	return Price{Pause: min(typical.Pause, table.Pause), Bytes: min(typical.Bytes, table.Bytes)}, time.Time{}
}

// holds returns how long a capture counts in any case, if it and the ones right before it, so many together, were worse than the table.
func (m *Measured) holds(worse int) time.Duration {
	least := newestFor
	if m.Lost {
		least = lostFor
	}
	return min(least<<max(worse-1, 0), measuredFor)
}

// over reports whether a price is above another in anything.
func (p Price) over(o Price) bool { return p.Pause > o.Pause || p.Bytes > o.Bytes }

// scaled returns what a capture that has cost so much may cost now, in proportion to what is in use since then, or by what the
// table has for that.
func (r *Rung) scaled(used units.Bytes, m *Measured) Price {
	more := Price{Pause: max(m.Pause, leastPaused), Bytes: max(m.Bytes, leastBytes)}
	if grown := used - m.Used; grown > 0 {
		by := r.Worst.At(grown)
		byTable := Price{Pause: more.Pause + by.Pause - r.Worst.Pause, Bytes: more.Bytes + by.Bytes - r.Worst.Bytes}
		ratio := math.Inf(1)
		if m.Used > 0 {
			ratio = float64(used) / float64(m.Used)
		}
		more.Pause = time.Duration(min(ratio*float64(more.Pause), float64(byTable.Pause)))
		more.Bytes = units.Bytes(min(ratio*float64(more.Bytes), float64(byTable.Bytes)))
	}
	return Price{Pause: time.Duration(caution * float64(more.Pause)), Bytes: units.Bytes(caution * float64(more.Bytes))}
}

// unread returns what memory is reckoned to have cost where it could not be read: the price, with what it is multiplied with taken off.
func unread(p Price) units.Bytes { return units.Bytes(float64(p.Bytes) / caution) }

// median returns the middle one, of two the smaller: one that is far off does not count.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
