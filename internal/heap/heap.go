package heap

import (
	"context"
	"errors"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The errors of readers and collectors, to be tested with errors.Is.
var (
	// ErrBusy says that the runtime is there but did not answer in time: its event loop is blocked
	// or it is paused. What was read before is stale; nothing was asked of it that still runs,
	// apart from what ErrUnknown says.
	ErrBusy = errors.New("target is busy")
	// ErrUnreachable says that nothing answers at the address: the target does not run, or was
	// started without its inspector or profiler.
	ErrUnreachable = errors.New("target is unreachable")
	// ErrNoProcess says that the target has no processes by which it could be found; it is an
	// ErrUnreachable too.
	ErrNoProcess = fmt.Errorf("%w: it has no processes", ErrUnreachable)
	// ErrUnknown says that a collection was asked for and its end was not seen: it may or may not
	// have happened, or may still happen.
	ErrUnknown = errors.New("outcome of the collection is unknown")
	// ErrCannotCollect says that the provider reads only.
	ErrCannotCollect = errors.New("no collection can be asked for")
	// ErrNotSent says that a process was not asked to open its inspector.
	ErrNotSent = errors.New("nothing was sent")
	// ErrNotConfigured says that the target has no heap provider.
	ErrNotConfigured = errors.New("no heap provider is configured")
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("heap client is closed")
)

// Amount is a number of bytes that may be absent. Absent is not 0.
type Amount struct {
	Bytes units.Bytes
	OK    bool
}

// Some returns an Amount that is present.
func Some(n units.Bytes) Amount { return Amount{Bytes: n, OK: true} }

// Usage is one reading of a heap.
type Usage struct {
	Used      Amount // by objects, garbage that was not collected yet included
	Live      Amount // what the last collection left, where the runtime says so: by this the heap is judged
	Committed Amount // memory that the runtime holds for the heap
	Limit     Amount // what the runtime would die or thrash at; never Committed

	// Read is of how many processes this is the heap, and Running how many of the target run the same
	// program; both are 0 where that is not known, and where every process is read.
	Read, Running int
}

// Ratio returns used as a share of the limit; ok is false when either is absent.
func (u Usage) Ratio() (ratio float64, ok bool) {
	if !u.Used.OK || !u.Limit.OK || u.Limit.Bytes <= 0 {
		return 0, false
	}
	return float64(u.Used.Bytes) / float64(u.Limit.Bytes), true
}

// Judged returns the amount by which the heap is judged: what is live, where that is known. A heap that
// goes up to its limit before each collection is full of garbage, not in need.
func (u Usage) Judged() Amount {
	if u.Live.OK && u.Used.OK {
		return u.Live
	}
	return u.Used
}

// JudgedRatio returns what Judged is of the limit; ok is false when either is absent.
func (u Usage) JudgedRatio() (ratio float64, ok bool) {
	u.Used = u.Judged()
	return u.Ratio()
}

// String returns the reading for people: "heap 211.4MiB of 256MiB"; "" when nothing was read.
func (u Usage) String() string {
	switch {
	case !u.Used.OK:
		return ""
	case !u.Limit.OK:
		return "heap " + u.Used.Bytes.String()
	}
	return "heap " + u.Used.Bytes.String() + " of " + u.Limit.Bytes.String()
}

// Reader reads a heap. Read may be called by several goroutines; it returns soon after ctx is
// done, with ErrBusy when the deadline passed without an answer.
type Reader interface {
	Read(ctx context.Context) (Usage, error)
}

// Collector is a Reader that can also ask for a full collection. Collect returns what was read
// just before and just after it; before is set even when err is not nil, if it was read. The error
// is ErrUnknown when the collection was asked for and its end was not seen; any other error says
// that no collection took place. With a nil error, after may be absent: the collection ended but
// could not be followed by a reading.
type Collector interface {
	Reader
	Collect(ctx context.Context) (before, after Usage, err error)
}
