package dirscan

import (
	"cmp"
	"hash/maphash"
	"slices"
)

// Bounds of a Shapes.
const (
	mostShapes     = 128
	mostShapeBytes = 96
	mostFolderPart = 40      // of the folder in a shape
	shapeUnit      = 4 << 10 // bytes that weigh as much as a file
	largeFile      = 1 << 20
	spread         = 0x9e3779b97f4a7c15 // spreads inodes, which are often in a row
	leastHex       = 8                  // characters of a hexadecimal number with digits in it
	leastLetterHex = 16                 // and of one without
)

// Shapes keeps the shapes of names that have the most files and bytes of a folder, in bounded memory: a space-saving
// sketch of 128 of them. A shape is the first folder below the root and the name, with digits, hexadecimal numbers and UUIDs
// replaced by *, such as "tts/line-*.wav". One whose share of files and bytes together is above 1/128 is never lost. It
// is not safe for concurrent use; the zero value is ready.
type Shapes struct {
	// Files is how many files the folder had the last time: of more than 2,000, each fourth is looked at, and of more than
	// 50,000 each sixteenth, the same ones at each scan. Files of 1 MiB and more are all looked at.
	Files int64

	slots  []shapeSlot
	at     map[uint64]uint8 // slot by hash
	quick  [256]uint8       // the slot of such a hash, mostly
	seed   maphash.Seed
	least  int64 // no slot weighs less
	cursor int   // of the search for one that does not weigh more

	buf    [mostShapeBytes]byte
	prefix int // bytes of the folder in buf
	in     *Folder
	serial uint64
}

type shapeSlot struct {
	hash   uint64
	weight int64 // with what the shapes weighed that were in this slot before
	Shape
	name [mostShapeBytes]byte
	n    uint8
}

// Shape is what files with names alike come to.
type Shape struct {
	Name  string
	Files int64
	Bytes int64 // apparent
	// AtLeast says that there may have been more: it is rare, and its first files were not counted.
	AtLeast bool
}

// Reset forgets everything, and keeps the memory.
func (s *Shapes) Reset() {
	s.slots, s.least, s.cursor, s.in = s.slots[:0], 0, 0, nil
	clear(s.at)
}

// Add counts a file.
func (s *Shapes) Add(e *Entry) {
	every := s.Every()
	if e.SizeBytes >= largeFile {
		every = 1
	} else if every > 1 && e.Ino*spread>>32%uint64(every) != 0 {
		return
	}
	if s.at == nil {
		s.at, s.seed = make(map[uint64]uint8, mostShapes), maphash.MakeSeed()
	}
	if e.Parent != s.in || e.Parent.serial != s.serial {
		s.in, s.serial = e.Parent, e.Parent.serial
		s.prefix = len(appendFirstFolder(s.buf[:0], e.Parent))
	}
	name := appendShape(s.buf[:s.prefix], e.Name)
	s.count(name, maphash.Bytes(s.seed, name), every, every*e.SizeBytes, every*(1+e.SizeBytes/shapeUnit))
}

// Every returns how many files one that is looked at stands for, unless it is large.
func (s *Shapes) Every() int64 {
	switch {
	case s.Files > 50_000:
		return 16
	case s.Files > 2_000:
		return 4
	}
	return 1
}

func (s *Shapes) count(name []byte, hash uint64, files, size, weight int64) {
	quick := &s.quick[hash%uint64(len(s.quick))]
	if int(*quick) >= len(s.slots) || s.slots[*quick].hash != hash {
		i, known := s.at[hash]
		if !known {
			i = s.take(name, hash)
		}
		*quick = i
	}
	slot := &s.slots[*quick]
	slot.Files += files
	slot.Bytes += size
	slot.weight += weight
}

// take returns a slot for a new shape: a free one, or that of the shape that weighs the least.
func (s *Shapes) take(name []byte, hash uint64) uint8 {
	i := len(s.slots)
	if i < mostShapes {
		s.slots = append(s.slots, shapeSlot{})
	} else {
		i = s.lightest()
		delete(s.at, s.slots[i].hash)
	}
	slot := &s.slots[i]
	slot.hash, slot.Shape, slot.n = hash, Shape{AtLeast: slot.weight > 0}, uint8(copy(slot.name[:], name))
	s.at[hash] = uint8(i)
	return uint8(i)
}

// lightest returns a slot that weighs the least. Weights only grow, so the search goes on where the last one found one.
func (s *Shapes) lightest() int {
	for range 2 {
		for range s.slots {
			s.cursor = (s.cursor + 1) % len(s.slots)
			if s.slots[s.cursor].weight <= s.least {
				return s.cursor
			}
		}
		s.least = s.slots[0].weight
		for i := range s.slots {
			s.least = min(s.least, s.slots[i].weight)
		}
	}
	return s.cursor
}

// Top returns the shapes, those that weigh the most first.
func (s *Shapes) Top() []Shape {
	order := make([]int, len(s.slots))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := &s.slots[a], &s.slots[b]
		return cmp.Or(cmp.Compare(y.Bytes/shapeUnit+y.Files, x.Bytes/shapeUnit+x.Files), slices.Compare(x.name[:x.n], y.name[:y.n]))
	})
	out := make([]Shape, len(order))
	for i, at := range order {
		slot := &s.slots[at]
		out[i] = slot.Shape
		out[i].Name = string(slot.name[:slot.n])
	}
	return out
}

// merge adds what another walker saw, with the same seed.
func (s *Shapes) merge(o *Shapes) {
	for i := range o.slots {
		slot := &o.slots[i]
		if s.at == nil {
			s.at, s.seed = make(map[uint64]uint8, mostShapes), o.seed
		}
		name := slot.name[:slot.n]
		hash := maphash.Bytes(s.seed, name)
		s.count(name, hash, slot.Files, slot.Bytes, slot.weight)
		if slot.AtLeast {
			s.slots[s.at[hash]].AtLeast = true
		}
	}
}

// appendFirstFolder appends the shape of the first folder below the root that a folder lies in, with a slash; nothing for the
// root.
func appendFirstFolder(dst []byte, f *Folder) []byte {
	var first []byte
	for ; f.parent != nil; f = f.parent {
		first = f.name
	}
	if len(f.name) > 0 { // a walker that was given a part of the tree: a path from the root
		first = f.name
	}
	for i, c := range first {
		if c == '/' {
			first = first[:i]
			break
		}
	}
	if len(first) == 0 {
		return dst
	}
	dst = appendShape(dst, first)
	return append(dst[:min(len(dst), mostFolderPart)], '/')
}

// What a character of a name is.
const (
	isDigit  = 1 << iota
	isHex    // a to f, of either case
	isLetter // any other letter, and any byte beyond ASCII
)

var classOf = func() (out [256]uint8) {
	for c := range out {
		switch {
		case c >= '0' && c <= '9':
			out[c] = isDigit
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			out[c] = isHex
		case c >= 'g' && c <= 'z' || c >= 'G' && c <= 'Z' || c >= 0x80:
			out[c] = isLetter
		}
	}
	return out
}()

// appendShape appends a name with its numbers replaced by *, cut where dst is full. What stands between two numbers of one
// name stays but for a single - or _, so that a UUID and a date are one *.
func appendShape(dst, name []byte) []byte {
	from := len(dst)
	for i := 0; i < len(name) && len(dst) < cap(dst); {
		if classOf[name[i]] == 0 {
			dst = append(dst, name[i])
			i++
			continue
		}
		end, kinds := i, uint8(0)
		for end < len(name) && classOf[name[end]] != 0 {
			kinds |= classOf[name[end]]
			end++
		}
		if end-i == 8 && uuid(name[i:]) {
			end = i + uuidBytes
			kinds = isDigit
		}
		if number(kinds, end-i) && !extension(name, i, end) {
			dst = appendStar(dst, from)
		} else {
			dst = appendWord(dst, from, name[i:end], kinds)
		}
		i = end
	}
	return dst
}

// number reports whether a word of such characters is a number as a whole.
func number(kinds uint8, n int) bool {
	switch kinds {
	case isDigit:
		return true
	case isDigit | isHex:
		return n >= leastHex
	case isHex:
		return n >= leastLetterHex
	}
	return false
}

const uuidBytes = 36

// uuid reports whether a name goes on with a UUID.
func uuid(name []byte) bool {
	if len(name) < uuidBytes || len(name) > uuidBytes && classOf[name[uuidBytes]] != 0 {
		return false
	}
	for i, c := range name[:uuidBytes] {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if classOf[c]&(isDigit|isHex) == 0 {
			return false
		}
	}
	return true
}

// extension reports whether a word is what follows the last dot of a name, and short, as mp4.
func extension(name []byte, from, to int) bool {
	return from > 1 && name[from-1] == '.' && to == len(name) && to-from <= 4 && classOf[name[from]] != isDigit
}

// appendWord appends a word with each run of digits in it replaced.
func appendWord(dst []byte, from int, word []byte, kinds uint8) []byte {
	room := cap(dst) - len(dst)
	if kinds&isDigit == 0 || len(word) <= 4 && len(dst) > from && dst[len(dst)-1] == '.' {
		return append(dst, word[:min(len(word), room)]...)
	}
	for i := 0; i < len(word) && len(dst) < cap(dst); i++ {
		if classOf[word[i]] != isDigit {
			dst = append(dst, word[i])
		} else if i == 0 || classOf[word[i-1]] != isDigit {
			dst = append(dst, '*')
		}
	}
	return dst
}

func appendStar(dst []byte, from int) []byte {
	if n := len(dst); n >= from+2 && (dst[n-1] == '-' || dst[n-1] == '_') && dst[n-2] == '*' {
		return dst[:n-1]
	}
	return append(dst, '*')
}
