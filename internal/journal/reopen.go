package journal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reopen begins anew with the file that is at the journal's path, after the open one was given up,
// or was removed, moved or replaced, and a person has put that right. Results that could not be
// written are written to it; cooldowns stay in the memory of whoever asked. It does nothing to a
// journal that is well, or whose trouble ends by itself. Without success all stays as it was, and
// the error says why.
func (j *Journal) Reopen() error {
	f, ok := j.store().(*file)
	if !ok {
		return nil
	}
	if f.c.given() == nil {
		if err := f.c.silent(); err != nil {
			return err
		}
	}
	_, err := inTime(patience, j.path, func() (struct{}, error) { return struct{}{}, j.reopen() })
	return err
}

func (j *Journal) reopen() error {
	if !j.reopening.TryLock() {
		return fmt.Errorf("%w: it is being opened already", ErrNoAnswer)
	}
	defer j.reopening.Unlock()
	old, ok := j.store().(*file)
	if !ok {
		return nil
	}
	if old.c.given() != nil {
		select { // what still runs in bbolt could write to the file of another
		case <-old.ended:
		case <-time.After(closePatience):
			return fmt.Errorf("%w: a write to the damaged file has not ended: restart the exporter", ErrDamaged)
		}
		if err := old.c.abandon(); err != nil {
			j.opts.Logger.Warn("the damaged journal was not closed", "path", j.path, "err", err)
		}
	} else if old.c.inPlace() == nil {
		return nil // it is back
	}
	f, err := j.openFile()
	if err != nil {
		j.stillAstray(err)
		return err
	}
	if err := j.recover(f); err != nil {
		return errors.Join(fmt.Errorf("read the journal %s: %w", j.path, err), f.close())
	}
	return j.exchange(old, f)
}

// exchange goes on with f, and writes what the old file is owed where that still can be written.
func (j *Journal) exchange(old, f *file) error {
	j.mu.Lock()
	closed := j.closed
	if !closed {
		j.held, j.damage = f, nil
	}
	j.mu.Unlock()
	if closed {
		return errors.Join(ErrClosed, f.close())
	}
	if err := old.close(); err != nil && !errors.Is(err, ErrDamaged) {
		j.opts.Logger.Warn("the journal's former file was not closed as it should be", "path", j.path, "err", err)
	}
	//nolint:errcheck // noted and logged by the writer; what is owed stays
	f.update(context.Background(), func(tx) error { return nil }, nil)
	j.opts.Logger.Warn("the journal was opened anew: what the former file holds is not in it", "path", j.path)
	return nil
}

// stillAstray lets the page say why a damaged journal was not opened anew.
func (j *Journal) stillAstray(why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.damage != nil {
		j.damage = fmt.Errorf("%w: %w", ErrDamaged, why)
	}
}

// inTime runs f, which uses the disk of path, and leaves it behind when it does not return in time.
func inTime[T any](limit time.Duration, path string, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		v, err := f()
		done <- answer{v, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.value, a.err
	case <-timer.C:
		var none T
		return none, fmt.Errorf("%w: %s has not answered for %s: check the disk or the server of its mount", ErrNoAnswer, path, limit)
	}
}
