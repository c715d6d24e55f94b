package history

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"
	"time"
)

// view is what a query reads: it stays as it is while the store goes on.
type view struct {
	file     file
	blocks   []block
	gen      uint64
	end      int64
	count    int // rows
	names    []name
	from, to int64 // milliseconds
	*space
}

// space is what a query reads into. A refill is hundreds of queries one after another, and would otherwise leave
// as many times the memory behind as garbage.
type space struct {
	index, entry, frame []byte
	dec                 decoder
}

// look returns a view of a range, which does not begin before what is kept.
func (s *Store) look(from, to time.Time) (view, error) {
	if oldest := s.opts.Now().Add(-s.opts.Keep); from.Before(oldest) {
		from = oldest
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.file == nil {
		return view{}, ErrNotOpen
	}
	return view{
		file: s.file, blocks: s.blocks, gen: s.rows.gen, end: s.rows.end, count: s.rows.count, names: slices.Clip(s.rows.names),
		from: from.UnixMilli(), to: to.UnixMilli(),
	}, nil
}

// most is how many points of one series a view has room for in its range and its rows, at most.
func (v *view) most() int {
	n := v.count
	for i := range v.blocks {
		if b := &v.blocks[i]; v.holds(b) {
			n += blockRows
		}
	}
	return max(0, min(n, int((v.to-v.from)/Step.Milliseconds())+1))
}

// holds reports whether a block has points of the range.
func (v *view) holds(b *block) bool { return b.maxMS >= v.from && b.minMS < v.to }

// stale reports whether the rows of a view have become a block since.
func (s *Store) stale(v *view) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.file != nil && s.rows.gen != v.gen
}

// read calls visit with a view until its rows were those of one generation from begin to end.
func (s *Store) read(from, to time.Time, visit func(*view) error) error {
	sp, ok := s.spaces.Get().(*space)
	if !ok {
		sp = &space{}
	}
	defer s.spaces.Put(sp)
	for {
		v, err := s.look(from, to)
		if err != nil {
			return err
		}
		v.space = sp
		if err := visit(&v); err != nil || !s.stale(&v) {
			return err
		}
	}
}

// Series returns the points of a gauge from a time up to before another, in their order. A Step in which
// nothing was measured has none.
func (s *Store) Series(target, gauge string, from, to time.Time) ([]Point, error) {
	var out []Point
	err := s.read(from, to, func(v *view) error {
		out = make([]Point, 0, v.most())
		err := s.eachEntry(v, target, func(found string, values []byte) (err error) {
			if found == gauge {
				out, err = v.dec.append(out, values, v.from, v.to)
			}
			return err
		}, gauge)
		if err != nil {
			return err
		}
		id := slices.Index(v.names, name{target, gauge})
		if id < 0 {
			return nil
		}
		return v.eachRow(func(r *row) {
			if p, ok := r.find(uint32(id)); ok && r.ms >= v.from && r.ms < v.to {
				out = append(out, p)
			}
		})
	})
	return merged(out), err
}

// Gauges returns the gauges of a target that the history has, sorted.
func (s *Store) Gauges(target string) []string {
	found := make(map[string]struct{})
	err := s.read(time.Time{}, time.UnixMilli(math.MaxInt64), func(v *view) error {
		for i := range v.names {
			if v.names[i].target == target {
				found[v.names[i].gauge] = struct{}{}
			}
		}
		return s.eachEntry(v, target, func(gauge string, _ []byte) error {
			found[gauge] = struct{}{}
			return nil
		}, "")
	})
	if err != nil && !errors.Is(err, ErrNotOpen) {
		s.opts.Logger.Warn("the history cannot be read", "path", s.opts.Path, "err", err)
	}
	return slices.Sorted(maps.Keys(found))
}

// Marks returns the starts of a target's service from a time up to before another, in their order.
func (s *Store) Marks(target string, from, to time.Time) ([]Mark, error) {
	var out []Mark
	err := s.read(from, to, func(v *view) error {
		out = nil
		take := func(of []byte, at time.Time, p Program) {
			if ms := at.UnixMilli(); string(of) == target && ms >= v.from && ms < v.to {
				out = append(out, Mark{Target: target, Time: at, Program: p})
			}
		}
		for i := range v.blocks {
			marks, _, ok, err := s.indexOf(v, &v.blocks[i])
			if err != nil {
				return err
			}
			if ok {
				eachMark(marks, take)
			}
		}
		return v.eachRow(func(r *row) { eachMark(r.marks, take) })
	})
	return sortMarks(out), err
}

// eachRow calls f for each row.
func (v *view) eachRow(f func(*row)) error {
	sc := scanner{from: v.file, gen: v.gen, limit: v.end, buf: v.frame}
	defer func() { v.frame = sc.buf }()
	_, _, err := sc.scan(func(fr frame) {
		if fr.kind != kindRow {
			return
		}
		if r, ok := decodeRow(fr.payload); ok {
			f(&r)
		}
	})
	return err
}

// indexOf reads the marks and the index of a block. One that is damaged is dropped.
func (s *Store) indexOf(v *view, b *block) (marks, index []byte, ok bool, err error) {
	marks, index, ok, err = readIndex(v.file, b, &v.index)
	if err == nil && !ok && s.holds(b.seq) {
		s.damage(damage{seq: b.seq})
	}
	return marks, index, ok, err
}

// holds reports whether a block is still there.
func (s *Store) holds(seq uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := slices.BinarySearchFunc(s.blocks, seq, func(b block, seq uint64) int { return cmp.Compare(b.seq, seq) })
	return ok
}

// damage counts a part once.
func (s *Store) damage(d damage) {
	s.mu.Lock()
	_, known := s.damaged[d]
	s.damaged[d] = struct{}{}
	s.mu.Unlock()
	if !known {
		s.dropped(1, "found when it was read")
	}
}

// eachEntry calls f with the values of each gauge of a target in the blocks of a view, or only of one gauge.
func (s *Store) eachEntry(v *view, target string, f func(gauge string, values []byte) error, gauge string) error {
	for i := range v.blocks {
		b := &v.blocks[i]
		if !v.holds(b) {
			continue
		}
		_, index, ok, err := s.indexOf(v, b)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		first, last := entriesOf(index, target)
		for i := first; i < last; i++ {
			e := entryOf(index, i)
			if gauge != "" && e.gauge != hashOf(gauge) {
				continue
			}
			if v.entry, ok, err = readEntry(v.file, b, &e, v.entry); err != nil {
				return err
			}
			of, name, values, whole := splitEntry(v.entry)
			if ok = ok && whole; ok && string(of) == target {
				if err := f(string(name), values); errors.Is(err, errChunk) {
					ok = false
				} else if err != nil {
					return err
				}
			}
			if !ok && s.holds(b.seq) {
				s.damage(damage{b.seq, e.at})
			}
		}
	}
	return nil
}
