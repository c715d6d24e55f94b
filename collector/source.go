package collector

import (
	"context"
	"errors"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Source reads one subject of one target.
//
// Sample sets what it could read in b, whose Time the frame has set. It is called by one
// goroutine at a time, never concurrently with itself, and must return soon after ctx is done.
// What is not set becomes absent at once; values set before an error are published all the same.
// An error marks the source as failed in spillway_source_success and is logged when it changes.
// ErrAbsent, alone or wrapped, says that there was nothing to read (the target does not run, the
// process that has the folder is away): not a failure, nothing is logged.
//
// A source that holds descriptors or connections also implements io.Closer.
type Source interface {
	Sample(ctx context.Context, b *series.Batch) error
}

// ErrAbsent says that there is nothing to read at present, which is not a failure.
var ErrAbsent = errors.New("nothing to read")
