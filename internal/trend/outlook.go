package trend

import (
	"math"
	"sync"
	"time"
)

// Outlook is what is known of the growth of one target.
type Outlook struct {
	Estimate
	Forecast
	Judged time.Time
	Limit  float64 // that the forecast is of
	Signal string  // what grows: memory, or the heap of a runtime after its collections
	Build  Build
}

// Build compares the present build of a service with the one before.
type Build struct {
	Since       time.Time // of its first start; zero: no other one was seen
	Now, Before Rate
}

// Rate is the growth of one build.
type Rate struct {
	Known, Growing bool
	PerSecond      float64
}

func rateOf(e *Estimate) Rate {
	return Rate{Known: e.Known && e.Confidence >= Sure, Growing: e.Growing, PerSecond: e.PerSecond}
}

const (
	soon        = time.Hour     // what reaches the limit sooner counts as it is, whatever the rhythm
	near        = 6 * time.Hour // what reaches it sooner counts if no rhythm explains it
	unexplained = 2             // times the steepest rise of the rhythm

	unproven  = 0.3 // confidence in the growth of two hours that the rhythm of the day may explain
	leastSure = 0.1
)

// Growth is what counts at one moment.
type Growth struct {
	PerSecond  float64
	Confidence float64
	Exhaustion float64 // seconds; +Inf: never
}

// Combine says what counts at a moment: the growth between days, or that of the last two hours, where it would be too late for
// days to show it. short is that of the last hours, where ok says that it is known. used and limit are of now; a limit of 0 is
// none. The result is false where neither is known.
func (o *Outlook) Combine(now time.Time, short float64, ok bool, used, limit float64) (Growth, bool) {
	if !o.Known && !ok {
		return Growth{}, false
	}
	left := math.Inf(1)
	if limit > 0 {
		left = max(limit-used, 0)
	}
	g := Growth{PerSecond: short, Confidence: leastSure + (unproven-leastSure)*min(o.Days/2, 1)}
	if o.Known {
		within := math.Inf(1)
		if ok && short > 0 {
			within = left / short
		}
		beyond := short > unexplained*max(o.steepest, math.Abs(o.PerSecond))
		switch {
		case within < near.Seconds() && beyond:
			g.Confidence = Sure
		case within < soon.Seconds():
		default:
			g = Growth{PerSecond: o.Growth(), Confidence: o.Confidence}
			if at := o.At; !at.IsZero() && limit == o.Limit {
				g.Exhaustion = max(at.Sub(now).Seconds(), 0)
			}
		}
	}
	switch {
	case left == 0:
		g.Exhaustion = 0
	case g.PerSecond <= 0:
		g.Exhaustion = math.Inf(1)
	case g.Exhaustion == 0:
		g.Exhaustion = left / g.PerSecond
	}
	return g, true
}

// Board is where the outlooks of all targets stand. It is safe for concurrent use. A nil Board has none.
type Board struct {
	mu  sync.RWMutex
	all map[string]Outlook
}

// NewBoard returns an empty Board.
func NewBoard() *Board { return &Board{all: make(map[string]Outlook)} }

// Of returns the outlook of a target; the zero value where none is known.
func (b *Board) Of(target string) Outlook {
	if b == nil {
		return Outlook{}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.all[target]
}

// Put replaces the outlook of a target.
func (b *Board) Put(target string, o *Outlook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all[target] = *o
}

func (b *Board) drop(target string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, target)
}
