package history

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Append adds a row: what was measured over the Step that holds at. It returns once the row is on the disk.
// After a failure, such as that of a full disk, the next one writes in the same place.
func (s *Store) Append(at time.Time, samples []Sample, marks []Mark) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.file == nil || s.opts.ReadOnly {
		return ErrNotOpen
	}
	err := s.append(stepOf(at), samples, marks)
	if err != nil {
		s.metrics.failed()
	} else {
		s.metrics.appended(len(samples), s.opts.Now())
	}
	s.metrics.sized(s.size())
	s.report(err)
	return err
}

// report logs when appends begin to fail, and when they succeed again.
func (s *Store) report(err error) {
	s.mu.Lock()
	was := s.failing
	s.failing = err != nil
	s.mu.Unlock()
	switch {
	case err != nil && !was:
		s.opts.Logger.Warn("the history cannot be written: nothing else depends on it, and it goes on once it can", "path", s.opts.Path, "err", err)
	case err == nil && was:
		s.opts.Logger.Info("the history is written again", "path", s.opts.Path)
	}
}

// append is called with writing held, so that rows and blocks are changed by no one else.
func (s *Store) append(at time.Time, samples []Sample, marks []Mark) error {
	var failed error
	if s.rows.count >= blockRows {
		failed = s.compact() // the row may have room all the same
	}
	added, err := s.rows.encode(at, samples, marks)
	if s.rows.end+int64(len(added.bytes)) > blocksStart || err != nil && s.rows.count >= blockRows/4 { // names that are gone make room
		if failed == nil {
			failed = s.compact()
		}
		if failed != nil {
			return failed
		}
		if added, err = s.rows.encode(at, samples, marks); s.rows.end+int64(len(added.bytes)) > blocksStart {
			return fmt.Errorf("%w: %d do not fit", ErrTooMany, len(samples))
		}
	}
	if _, werr := s.file.WriteAt(added.bytes, s.rows.end); werr != nil {
		return errors.Join(failed, werr)
	}
	if serr := s.file.Sync(); serr != nil {
		return errors.Join(failed, serr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range added.added {
		s.rows.add(n)
	}
	s.rows.count++
	s.rows.end += int64(len(added.bytes))
	return errors.Join(failed, err)
}

// compact makes a block of the rows and begins a new generation of them. What was written before stays
// readable until the block is on the disk.
func (s *Store) compact() error {
	if s.rows.end == rowsStart {
		return nil
	}
	list, err := s.allRows()
	if err != nil {
		return err
	}
	next := newRows(s.rows.gen + 1)
	if len(list) == 0 {
		s.exchange(next, nil)
		return nil
	}
	b, body := buildBlock(list, s.rows.names)
	b.gen, b.seq = s.rows.gen, 1
	if n := len(s.blocks); n > 0 {
		b.seq = s.blocks[n-1].seq + 1
	}
	if b.at, err = s.room(aligned(b.size, pageSize)); err != nil {
		return err
	}
	// The header goes last, so that no one believes a block that is not whole.
	if _, err := s.file.WriteAt(body, b.at+blockHeader); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(b.header(), b.at); err != nil {
		return errors.Join(err, s.clear(b.at))
	}
	if err := s.file.Sync(); err != nil {
		return errors.Join(err, s.clear(b.at))
	}
	s.exchange(next, &b)
	return nil
}

// exchange begins new rows, with the block that was made of the old ones.
func (s *Store) exchange(next *rows, b *block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = next
	if b != nil {
		s.blocks = append(slices.Clone(s.blocks), *b) // readers keep the old list
	}
}

// allRows reads the rows in the order of their time.
func (s *Store) allRows() ([]row, error) {
	sc := scanner{from: s.file, gen: s.rows.gen, limit: s.rows.end}
	list := make([]row, 0, blockRows)
	_, _, err := sc.scan(func(f frame) {
		if f.kind != kindRow {
			return
		}
		if r, ok := decodeRow(f.payload); ok {
			list = append(list, r)
			sc.buf = nil // the row keeps it
		}
	})
	slices.SortStableFunc(list, func(a, b row) int { return cmp.Compare(a.ms, b.ms) })
	return list, err
}

// room returns where so many bytes can be written: where nothing is, else in the place of the oldest blocks,
// which are dropped one by one. What is older than Keep goes first.
func (s *Store) room(size int64) (int64, error) {
	for {
		at, used := gap(s.blocks, size)
		expired := len(s.blocks) > 0 && s.blocks[0].maxMS < s.opts.Now().Add(-s.opts.Keep).UnixMilli()
		switch {
		case at < used, !expired && at+size <= s.limit():
			return at, nil
		case len(s.blocks) == 0:
			return 0, fmt.Errorf("%w: write a larger max_bytes", ErrTooMany)
		}
		if err := s.drop(); err != nil {
			return 0, err
		}
	}
}

// gap returns the first place among blocks, or behind them, that holds so many bytes, and where they end.
func gap(blocks []block, size int64) (at, used int64) {
	byPlace := slices.Clone(blocks)
	slices.SortFunc(byPlace, func(a, b block) int { return cmp.Compare(a.at, b.at) })
	at, used = -1, blocksStart
	for i := range byPlace {
		if at < 0 && byPlace[i].at-used >= size {
			at = used
		}
		used = byPlace[i].end()
	}
	if at < 0 {
		at = used
	}
	return at, used
}

// drop gives up the oldest block. Its header is gone before anything is written in its place.
func (s *Store) drop() error {
	if err := s.clear(s.blocks[0].at); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks = slices.Clone(s.blocks[1:])
	return nil
}

// clear removes the header of a block.
func (s *Store) clear(at int64) error {
	if _, err := s.file.WriteAt(make([]byte, blockHeader), at); err != nil {
		return err
	}
	return s.file.Sync()
}
