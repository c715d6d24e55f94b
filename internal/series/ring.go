package series

import "time"

// Point summarises one slot of a ring: the smallest, largest and newest value seen in it.
type Point struct {
	Time           time.Time // of the newest value
	Min, Max, Last float64
}

// slot is a Point with its time in milliseconds, a third smaller than a Point.
type slot struct {
	ms             int64
	min, max, last float64
}

// ring is a fixed number of slots of equal span; the oldest is overwritten. Its memory is
// constant from the first value on. The zero value is not usable; see newRing.
type ring struct {
	span  int64 // milliseconds that one slot gathers; 0 = every value has its own slot
	slots []slot
	next  int // where the next slot goes
	full  bool
}

func newRing(size int, span time.Duration) *ring {
	return &ring{span: span.Milliseconds(), slots: make([]slot, size)}
}

// push adds a value. Within the span of the newest slot it is merged into it; a value that is
// older than the newest slot (the clock was set back) starts a new slot as well, so that nothing
// is attributed to a time at which it was not seen.
func (r *ring) push(ms int64, v float64) {
	if last := r.newest(); last != nil && r.span > 0 && ms/r.span == last.ms/r.span {
		last.ms = ms
		last.min = min(last.min, v)
		last.max = max(last.max, v)
		last.last = v
		return
	}
	r.append(slot{ms: ms, min: v, max: v, last: v})
}

// append makes a slot the newest.
func (r *ring) append(s slot) {
	r.slots[r.next] = s
	r.next++
	if r.next == len(r.slots) {
		r.next, r.full = 0, true
	}
}

// widen adds a value that was read between two of the cadence: a ring of single samples takes its
// extremes only, into the newest slot, so that it spans as much time as ever.
func (r *ring) widen(ms int64, v float64) {
	last := r.newest()
	if r.span > 0 || last == nil || ms < last.ms {
		r.push(ms, v)
		return
	}
	last.min = min(last.min, v)
	last.max = max(last.max, v)
}

func (r *ring) newest() *slot {
	if r.len() == 0 {
		return nil
	}
	return &r.slots[(r.next+len(r.slots)-1)%len(r.slots)]
}

func (r *ring) len() int {
	if r.full {
		return len(r.slots)
	}
	return r.next
}

// at returns slot i, 0 being the oldest.
func (r *ring) at(i int) *slot {
	if r.full {
		return &r.slots[(r.next+i)%len(r.slots)]
	}
	return &r.slots[i]
}

// appendTo appends the slots, oldest first.
func (r *ring) appendTo(dst []Point) []Point {
	for i := range r.len() {
		s := r.at(i)
		dst = append(dst, Point{Time: time.UnixMilli(s.ms), Min: s.min, Max: s.max, Last: s.last})
	}
	return dst
}

// extent returns the smallest and largest value held.
func (r *ring) extent() (lowest, highest float64, ok bool) {
	n := r.len()
	if n == 0 {
		return 0, 0, false
	}
	lowest, highest = r.at(0).min, r.at(0).max
	for i := 1; i < n; i++ {
		lowest = min(lowest, r.at(i).min)
		highest = max(highest, r.at(i).max)
	}
	return lowest, highest, true
}
