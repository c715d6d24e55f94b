package ledger

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

const (
	// MostRecords are read at most, the newest.
	MostRecords = 20000

	pageRecords = 100 // of up to some 100 KiB each
)

// Journal is where records are read from; *journal.Journal is one.
type Journal interface {
	Query(f journal.Filter) (records []journal.Record, next string, err error)
}

// Read adds up the records since a time, MostRecords at most. The error is that of the journal, with what was read
// before it.
func Read(j Journal, since time.Time, o Options) (*Book, error) {
	b := New(o)
	f := journal.Filter{Since: since, Limit: pageRecords}
	for n := 0; n < MostRecords; {
		records, next, err := j.Query(f)
		for i := range records {
			b.Add(&records[i])
		}
		if err != nil || next == "" {
			return b, err
		}
		n, f.After = n+len(records), next
	}
	return b, nil
}
