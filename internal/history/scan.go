package history

import (
	"errors"
	"io"
)

const searchSize = 64 << 10

// scanner reads the frames of one generation.
type scanner struct {
	from  io.ReaderAt
	gen   uint64 // 0: that of the first frame above least
	least uint64
	limit int64 // where the rows end at the latest
	buf   []byte
}

// frame is one that was read; its payload is valid until the next one.
type frame struct {
	gen     uint64
	kind    uint32
	payload []byte
	next    int64
}

// matches reports whether a header may be that of a frame that is looked for.
func (s *scanner) matches(h []byte) bool {
	if order.Uint32(h) != frameMagic {
		return false
	}
	gen := order.Uint64(h[8:])
	return gen == s.gen || s.gen == 0 && gen > s.least
}

// read reads the frame at an offset. ours says that there is one of the generation; ok that it is whole.
func (s *scanner) read(at int64) (f frame, ours, ok bool, err error) {
	var h [frameHeader]byte
	if at+frameHeader > s.limit {
		return f, false, false, nil
	}
	if err := readFull(s.from, h[:], at); err != nil {
		return f, false, false, unlessShort(err)
	}
	if !s.matches(h[:]) {
		return f, false, false, nil
	}
	n := int64(order.Uint32(h[4:]))
	if n > s.limit-at-frameHeader {
		return f, true, false, nil
	}
	if int64(cap(s.buf)) < n {
		s.buf = make([]byte, n+n/8)
	}
	p := s.buf[:n]
	if err := readFull(s.from, p, at+frameHeader); err != nil {
		return f, true, false, unlessShort(err)
	}
	if checksum(h[:20], p) != order.Uint32(h[20:]) {
		return f, true, false, nil
	}
	return frame{order.Uint64(h[8:]), order.Uint32(h[16:]), p, at + aligned(frameHeader+n, frameAlign)}, true, true, nil
}

// search returns the next whole frame behind a place where none is.
func (s *scanner) search(at int64) (int64, bool, error) {
	at += frameAlign
	if at+frameHeader > s.limit {
		return 0, false, nil
	}
	window := make([]byte, searchSize)
	for at+frameHeader <= s.limit {
		n, err := s.from.ReadAt(window[:min(searchSize, s.limit-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, false, err
		}
		for i := 0; i+frameHeader <= n; i += frameAlign {
			if !s.matches(window[i:]) {
				continue
			}
			if _, _, ok, err := s.read(at + int64(i)); ok || err != nil {
				return at + int64(i), ok, err
			}
		}
		if n < searchSize {
			return 0, false, nil
		}
		at += searchSize
	}
	return 0, false, nil
}

// scan calls visit for each whole frame and returns where the last one ends, and how many places were damaged.
func (s *scanner) scan(visit func(frame)) (end int64, damaged int, err error) {
	for at := int64(rowsStart); ; {
		f, ours, ok, err := s.read(at)
		if err != nil {
			return at, damaged, err
		}
		if !ok {
			next, found, err := s.search(at)
			if err != nil || !found {
				if ours {
					damaged++ // the last one: it was not written whole, or is damaged
				}
				return at, damaged, err
			}
			damaged++
			at = next
			continue
		}
		s.gen = f.gen
		visit(f)
		at = f.next
		if at >= s.limit {
			return at, damaged, nil
		}
	}
}

// readFull reads all of b.
func readFull(from io.ReaderAt, b []byte, at int64) error {
	if n, err := from.ReadAt(b, at); n < len(b) {
		return err
	}
	return nil
}

// unlessShort is nil for a file that ends too early, which is a damage and no failure.
func unlessShort(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
