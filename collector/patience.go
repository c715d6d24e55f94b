package collector

import (
	"fmt"
	"time"
)

// busyGrace is how long a target may leave readings unanswered before that is a failure of the
// source: a blocked event loop or a paused process is absent at first, not an error.
const busyGrace = 30 * time.Second

// patience remembers since when a target has been busy.
type patience struct{ since time.Time }

// busy returns what a reading that was not answered in time amounts to: an ErrAbsent for the first
// 30 s, then a failure.
func (p *patience) busy(now time.Time, err error) error {
	if p.since.IsZero() {
		p.since = now
	}
	if now.Sub(p.since) < busyGrace {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return fmt.Errorf("no reading for over %s: %w", busyGrace, err)
}

// end forgets that the target was busy.
func (p *patience) end() { p.since = time.Time{} }
