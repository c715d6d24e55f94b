package setup

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// clockKey is where the journal keeps when ages were judged last.
const clockKey = "clock"

// NewClock returns the clock that all clean-ups of a process share. Its mark is kept in the
// journal, so that a jump between two processes is noticed too.
func NewClock(now func() time.Time, j func() *journal.Journal) *action.Clock {
	return action.NewClock(action.ClockOptions{
		Now:  now,
		Load: func() ([]byte, error) { return j().State(clockKey) },
		Save: func(mark []byte) error { return j().PutState(context.Background(), clockKey, mark) },
	})
}
