package eval

import (
	"maps"
	"sync"
	"time"
)

const (
	// crossPause is the shortest time between two judgements that crossings cause, and crossShare the
	// part of one core that they may take: a host on which all levels change does not stop the rest.
	crossPause = 20 * time.Millisecond
	crossShare = 10
	// watchEvery is how often a target above normal, or with a pending alert, is judged again.
	watchEvery = time.Second
	crossLast  = 30 * time.Second
	never      = time.Hour // nothing is to be judged: look again then
)

// crossings are the targets that are to be judged before the next evaluation. It has a lock of its
// own, so that the sampler never waits for an evaluation.
type crossings struct {
	wake chan struct{}

	mu      sync.Mutex
	read    map[string]time.Time // of crossings that were not judged yet: the first reading
	watched map[string]bool      // that are judged at next
	next    time.Time
	rest    time.Time // before this time nothing is judged
}

func newCrossings() *crossings {
	return &crossings{wake: make(chan struct{}, 1), read: make(map[string]time.Time)}
}

// Cross says that a reading, taken at a moment and found in the store by now, changed the level of a
// target: Run judges the local rules for it at once. It never blocks, and takes any number of calls.
func (e *Evaluator) Cross(target string, at time.Time) {
	if !e.acts(target) {
		return
	}
	c := e.crossings
	c.mu.Lock()
	if first, waits := c.read[target]; !waits || at.Before(first) {
		c.read[target] = time.UnixMilli(at.UnixMilli()) // as samples have it
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// acts reports whether a target is judged between evaluations.
func (e *Evaluator) acts(target string) bool {
	return e.o.Store != nil && e.o.Acts != nil && e.o.Acts(target)
}

// until returns how long to wait for the next judgement.
func (c *crossings) until(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var next time.Time
	switch {
	case len(c.read) > 0:
		next = now
	case len(c.watched) > 0:
		next = c.next
	default:
		return never
	}
	if next.Before(c.rest) {
		next = c.rest
	}
	return min(max(next.Sub(now), 0), watchEvery) // the clock may be set meanwhile
}

// crossed returns the readings that crossed since they were judged last. Of one that is long ago, as
// after a time in which nothing ran, nobody knows what was in between: it counts as of unknown time.
func (c *crossings) crossed(now time.Time) map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	read := c.read
	c.read = make(map[string]time.Time)
	for name, at := range read {
		if now.Sub(at) > crossLast {
			read[name] = time.Time{}
		}
	}
	return read
}

// with returns the targets of some readings, and those that are watched.
func (c *crossings) with(read map[string]time.Time) map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	targets := make(map[string]bool, len(c.watched)+len(read))
	maps.Copy(targets, c.watched)
	for name := range read {
		targets[name] = true
	}
	return targets
}

// judged notes a judgement, and what is to be watched after it.
func (c *crossings) judged(now time.Time, took time.Duration, watched map[string]bool, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched, c.next = watched, next
	c.rest = now.Add(min(max(crossPause, took*crossShare), watchEvery))
}
