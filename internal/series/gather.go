package series

import (
	"math"
	"time"
)

// mostHeld is for how long a reading counts towards a mean at the most.
const mostHeld = 60 * 1000

// Gathered is what was read of a series within one step of time.
type Gathered struct {
	Desc           *Desc
	Values         []string  // as in Sample
	Time           time.Time // where the step begins
	Min, Mean, Max float64   // Mean is weighted by time
}

// sum gathers the readings of one step.
type sum struct {
	step             int64 // its number; 0 = nothing was read
	min, max         float64
	weighted, weight float64
	last             int64 // milliseconds of the newest reading
}

// gathering is the step of a series that is under way, and the one before until it is taken.
type gathering struct {
	step      int64 // milliseconds
	now, done sum
	known     bool // Fresh has returned it
}

// add takes a reading into the step of its time.
func (g *gathering) add(ms int64, v float64) {
	step := ms / g.step
	before := g.now.last
	if g.now.step != step {
		if g.now.step != 0 {
			g.done = g.now
		}
		g.now = sum{step: step, min: v, max: v}
	}
	s := &g.now
	weight := 1.0
	if before > 0 {
		weight = float64(min(max(ms-before, 1), mostHeld))
	}
	s.min, s.max = min(s.min, v), max(s.max, v)
	s.weighted, s.weight = s.weighted+weight*v, s.weight+weight
	s.last = ms
}

func (e *entry) gathered(s *sum) Gathered {
	mean := s.weighted / s.weight
	if math.IsNaN(mean) { // infinite readings
		mean = s.max
	}
	return Gathered{
		Desc: e.desc, Values: e.values, Time: time.UnixMilli(s.step * e.sums.step),
		Min: s.min, Mean: min(max(mean, s.min), s.max), Max: s.max,
	}
}

// GatherEvery makes the store gather, from now on, the extremes and the mean of the series that want is
// true for, for each step of time. A nil want ends that.
func (s *Store) GatherEvery(step time.Duration, want func(*Desc) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gatherStep, s.gatherWant = step.Milliseconds(), want
	for _, e := range s.order {
		s.gatherFor(e)
	}
}

func (s *Store) gatherFor(e *entry) {
	e.sums = nil
	if s.gatherWant != nil && s.gatherWant(e.desc) {
		e.sums = &gathering{step: s.gatherStep}
	}
}

// Gather appends what was gathered in steps that have ended before now, and with all what the present one
// has so far, to dst. Each is returned once.
func (s *Store) Gather(dst []Gathered, now time.Time, all bool) []Gathered {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.order {
		g := e.sums
		if g == nil {
			continue
		}
		if g.done.step != 0 {
			dst = append(dst, e.gathered(&g.done))
			g.done = sum{}
		}
		if g.now.step != 0 && (all || g.now.step != now.UnixMilli()/g.step) {
			dst = append(dst, e.gathered(&g.now))
			g.now = sum{last: g.now.last}
		}
	}
	return dst
}

// Fresh appends the gathered series that are present and that Fresh has not returned before to dst: their
// rings hold nothing from before this process.
func (s *Store) Fresh(dst []Sample) []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.order {
		if e.sums != nil && !e.hidden && !e.sums.known {
			e.sums.known = true
			dst = append(dst, e.sample())
		}
	}
	return dst
}

// Reach returns how far back the rings go.
func (s *Store) Reach() time.Duration {
	return time.Duration(s.opts.Window*spans[TierLong]) * s.opts.Interval
}

// Past puts points of before the first slot of a series into its rings of the longer tiers, oldest first, each
// at its own time. Trends do not reach back over cut. A series that is not there takes none.
func (s *Store) Past(points []Point, cut time.Time, d *Desc, values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.series[KeyOf(d, values)]
	if e == nil {
		return
	}
	for tier := TierMedium; tier < tiers; tier++ {
		if r := e.rings[tier]; r != nil {
			e.rings[tier] = r.after(points)
		}
	}
	ms := cut.UnixMilli()
	if r := e.rings[TierSample]; r != nil && r.len() > 0 {
		ms = min(ms, r.at(0).ms) // what this process has read is of the present population
	}
	e.cutMS = max(e.cutMS, ms)
}

// after returns a ring that holds points before what r holds.
func (r *ring) after(points []Point) *ring {
	out := newRing(len(r.slots), 0)
	out.span = r.span
	first := int64(math.MaxInt64)
	if r.len() > 0 {
		first = r.at(0).ms
	}
	for _, p := range points {
		if ms := p.Time.UnixMilli(); ms < first {
			out.merge(slot{ms, p.Min, p.Max, p.Last})
		}
	}
	for i := range r.len() {
		out.merge(*r.at(i))
	}
	return out
}

// merge adds a slot, into the newest where they share a span.
func (r *ring) merge(s slot) {
	if last := r.newest(); last != nil && r.span > 0 && s.ms/r.span == last.ms/r.span {
		last.ms, last.last = s.ms, s.last
		last.min, last.max = min(last.min, s.min), max(last.max, s.max)
		return
	}
	r.append(s)
}
