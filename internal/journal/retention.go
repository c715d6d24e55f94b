package journal

import (
	"fmt"

	bolt "go.etcd.io/bbolt"
)

const (
	retainStep  = 5000 // records removed in one transaction
	retainShare = 10   // a journal over its size loses this part of it
)

// retain removes what is too old, then the oldest tenth while the journal is over its size. Open
// intents stay.
func (f *file) retain() {
	for {
		removed, err := f.removeOld(false, retainStep)
		if err != nil {
			f.j.opts.Logger.Warn("the journal could not forget old records", "path", f.j.path, "err", err)
			return
		}
		if removed < retainStep {
			break
		}
	}
	used := f.used()
	for used > f.j.opts.MaxBytes {
		removed, err := f.removeOld(true, retainStep)
		if err != nil {
			f.j.opts.Logger.Warn("the journal is over its size and could not forget old records", "path", f.j.path, "bytes", used, "max", f.j.opts.MaxBytes, "err", err)
		}
		if removed == 0 {
			break
		}
		used = f.used()
	}
	f.j.metrics.sized(used)
}

// used returns the bytes of the pages that hold something. It reads none of them.
func (f *file) used() int64 {
	defer f.c.enter()()
	if f.c.trusted() != nil {
		return 0
	}
	var used int64
	err := f.c.inMemory(func() error {
		t, err := f.db.Begin(true) // an unused transaction that writes brings the counts up to date
		if err != nil {
			return err
		}
		size := t.Size()
		if err := t.Rollback(); err != nil {
			return err
		}
		s := f.db.Stats()
		used = size - int64(s.FreePageN+s.PendingPageN)*int64(f.db.Info().PageSize)
		return nil
	})
	if err != nil {
		return 0
	}
	return used
}

// scan is view for the writer itself.
func (f *file) scan(read func(tx) error) error {
	defer f.c.enter()()
	return f.view(read)
}

// removeOld removes up to limit records that have a result: with oldest set, the oldest up to a
// part of the size, else those that are older than Keep. A record from the future, written while the clock was wrong, does not shield
// those behind it.
func (f *file) removeOld(oldest bool, limit int) (removed int, err error) {
	now := f.j.opts.Now()
	cutoff := now.Add(-f.j.opts.Keep)
	var (
		ids   []string
		bytes int64
	)
	err = f.scan(func(t tx) error {
		t.up(func(id string, v []byte) bool {
			if isOpen(v) {
				return true
			}
			if !oldest {
				r, err := decode(id, v)
				switch {
				case err != nil: // reported by Query; its age is that of its id
				case r.Time.After(now):
					return true
				case !r.Time.Before(cutoff):
					return false
				}
			}
			ids = append(ids, id)
			bytes += int64(len(v))
			return len(ids) < limit && (!oldest || bytes < f.j.opts.MaxBytes/retainShare)
		})
		return nil
	})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	err = f.change(func(t *bolt.Tx) error {
		b := newBoltTx(t)
		for _, id := range ids {
			b.del(id)
		}
		return b.err
	})
	if err != nil {
		return 0, fmt.Errorf("remove %d records: %w", len(ids), err)
	}
	return len(ids), nil
}
