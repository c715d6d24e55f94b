package journal

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked says that another process has the journal open for writing.
	ErrLocked = errors.New("the journal is in use")
	// ErrCorrupt says that the file cannot be trusted and was moved aside; see CorruptError.
	ErrCorrupt = errors.New("the journal is corrupt")
	// ErrUnwritable says that a write failed, so that nothing was recorded and nothing may be
	// done. The next call tries again.
	ErrUnwritable = errors.New("the journal cannot be written")
	// ErrNoAnswer says that the disk has not answered in time, as one that hangs. While it does not,
	// nothing is recorded or read. What was written nevertheless becomes interrupted.
	ErrNoAnswer = errors.New("the disk of the journal does not answer")
	// ErrDamaged says that the file was damaged while it was open. It is given up: nothing is read
	// or recorded until Reopen or the next start.
	ErrDamaged = errors.New("the journal is damaged")
	// ErrMoved says that the open file was removed, moved or replaced, so that nothing is recorded.
	// The next call looks again, and Reopen begins with what is at its place.
	ErrMoved = errors.New("the journal's file is no longer in its place")
	// ErrNotOpen says that Finish was called for an intent that does not exist or is finished.
	ErrNotOpen = errors.New("no such open intent")
	// ErrClosed says that the journal was closed.
	ErrClosed = errors.New("the journal is closed")
	// ErrReadOnly says that the journal was opened by OpenReadOnly.
	ErrReadOnly = errors.New("the journal is open for reading only")
	// ErrTooLarge says that a key or value of the state is over its limit.
	ErrTooLarge = errors.New("too large for the journal")
)

// CorruptError says where a corrupt journal was moved to. It is an ErrCorrupt.
type CorruptError struct {
	Path  string // where the journal is expected
	Moved string // where the corrupt file is now
	Cause error  // what is wrong with it; nil when an earlier start has found it
}

// Error says what happened and how a person confirms.
func (e *CorruptError) Error() string {
	why := "was found corrupt by an earlier start"
	if e.Cause != nil {
		why = fmt.Sprintf("is corrupt (%v)", e.Cause)
	}
	return fmt.Sprintf("%s %s and is now %s: nothing is done until you look at that file and move it elsewhere, or write journal: {on_corrupt: recreate}", e.Path, why, e.Moved)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Cause }
