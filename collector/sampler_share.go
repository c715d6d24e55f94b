package collector

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Share is what several lanes have in common: together they keep within one budget, and only so
// many of them are busy at the same time. It outlives reloads. A nil *Share bounds nothing.
type Share struct {
	budget float64
	turns  chan struct{}

	mu    sync.Mutex
	costs map[*lane]cost
}

// cost is what one sweep of a lane takes, and how often it would like to.
type cost struct{ busy, interval time.Duration }

// load is the share of wall time that a lane would be busy.
func (c cost) load() float64 { return float64(c.busy) / float64(c.interval) }

// NewShare returns a Share: budget is the part of wall time that all lanes together may be busy,
// atOnce how many of them at the same time.
func NewShare(budget float64, atOnce int) *Share {
	return &Share{budget: budget, turns: make(chan struct{}, atOnce), costs: make(map[*lane]cost)}
}

// take waits for a turn. It is false when ctx ended before.
func (s *Share) take(ctx context.Context) bool {
	if s == nil {
		return true
	}
	select {
	case s.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Share) give() {
	if s != nil {
		<-s.turns
	}
}

// interval notes what the last sweep of a lane took and returns the interval that it may have, and
// the longest of all lanes. Each lane may use as much as any other; what those that need less
// leave over is divided among those that need more. So one huge folder does not make the small
// ones stale.
func (s *Share) interval(l *lane, want, busy time.Duration) (own, longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.costs[l] = cost{busy, want}
	loads := make([]float64, 0, len(s.costs))
	for _, c := range s.costs {
		loads = append(loads, c.load())
	}
	slices.Sort(loads)
	left, most := s.budget, s.budget
	for i, load := range loads {
		most = left / float64(len(loads)-i)
		if load > most {
			break
		}
		left -= load
	}
	for other, c := range s.costs {
		d := max(c.interval, time.Duration(float64(c.busy)/most))
		longest = max(longest, d)
		if other == l {
			own = d
		}
	}
	return own, longest
}

// forget takes a lane that has ended out of the budget.
func (s *Share) forget(l *lane) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.costs, l)
}
