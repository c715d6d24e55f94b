package history

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// A frame is a piece of the rows: the names of series, or one row. It begins at a multiple of frameAlign, so
// that the next one is found behind a damaged one. The rows of one generation follow one another from
// rowsStart on; what follows them is left over from an earlier one.
const (
	frameMagic  = 0x31525753 // "SWR1"
	frameHeader = 24
	frameAlign  = 64
	kindNames   = 1
	kindRow     = 2
	sampleSize  = 4 + 3*8
	rowHeader   = 8 + 4 + 4
	maxMarks    = 1000 // in one row
)

// name is a series.
type name struct{ target, gauge string }

// rows is the state of the rows: the series by their number, and where the next frame goes.
type rows struct {
	gen   uint64
	end   int64
	count int
	ids   map[name]uint32
	names []name
}

func newRows(gen uint64) *rows {
	return &rows{gen: gen, end: rowsStart, ids: make(map[name]uint32)}
}

// appendFrame appends a frame, padded to where the next one begins.
func appendFrame(b []byte, gen uint64, kind uint32, payload []byte) []byte {
	var h [frameHeader]byte
	order.PutUint32(h[0:], frameMagic)
	order.PutUint32(h[4:], uint32(len(payload)))
	order.PutUint64(h[8:], gen)
	order.PutUint32(h[16:], kind)
	order.PutUint32(h[20:], checksum(h[:20], payload))
	b = append(append(b, h[:]...), payload...)
	return append(b, make([]byte, aligned(int64(len(b)), frameAlign)-int64(len(b)))...)
}

// frames is the encoding of one append: new names, and the row.
type frames struct {
	bytes []byte
	added []name
}

// encode makes the frames of a row; samples and marks that are too many are left out.
func (r *rows) encode(at time.Time, samples []Sample, marks []Mark) (frames, error) {
	var out frames
	first := len(r.names)
	type numbered struct {
		id uint32
		s  *Sample
	}
	list := make([]numbered, 0, len(samples))
	fresh := make(map[name]uint32)
	var err error
	for i := range samples {
		key := name{samples[i].Target, samples[i].Gauge}
		id, known := r.ids[key]
		if !known {
			id, known = fresh[key]
		}
		if !known {
			if first+len(out.added) >= maxSeries {
				err = ErrTooMany
				continue
			}
			id = uint32(first + len(out.added))
			fresh[key] = id
			out.added = append(out.added, key)
		}
		list = append(list, numbered{id, &samples[i]})
	}
	slices.SortStableFunc(list, func(a, b numbered) int { return cmp.Compare(a.id, b.id) })
	list = slices.CompactFunc(list, func(a, b numbered) bool { return a.id == b.id })
	if len(out.added) > 0 {
		p := order.AppendUint32(nil, uint32(first))
		for _, n := range out.added {
			p = appendText(appendText(p, n.target), n.gauge)
		}
		out.bytes = appendFrame(out.bytes, r.gen, kindNames, p)
	}
	marks = marks[:min(len(marks), maxMarks)]
	p := make([]byte, 0, rowHeader+len(list)*sampleSize)
	p = order.AppendUint64(p, uint64(at.UnixMilli()))
	p = order.AppendUint32(p, uint32(len(list)))
	p = order.AppendUint32(p, uint32(len(marks)))
	for _, n := range list {
		p = order.AppendUint32(p, n.id)
		for _, v := range []float64{n.s.Min, rounded(n.s.Mean), n.s.Max} {
			p = order.AppendUint64(p, math.Float64bits(v))
		}
	}
	for i := range marks {
		p = appendMark(p, &marks[i])
	}
	out.bytes = appendFrame(out.bytes, r.gen, kindRow, p)
	return out, err
}

// row is one row as it stands in the file.
type row struct {
	ms      int64
	samples []byte // sampleSize each, by number
	marks   []byte
}

func decodeRow(p []byte) (row, bool) {
	if len(p) < rowHeader {
		return row{}, false
	}
	n := uint64(order.Uint32(p[8:])) * sampleSize
	if n > uint64(len(p)-rowHeader) {
		return row{}, false
	}
	end := rowHeader + int(n)
	return row{ms: int64(order.Uint64(p)), samples: p[rowHeader:end], marks: p[end:]}, true
}

// find returns the point of a series.
func (r *row) find(id uint32) (Point, bool) {
	n := len(r.samples) / sampleSize
	i := sort.Search(n, func(i int) bool { return order.Uint32(r.samples[i*sampleSize:]) >= id })
	if i == n || order.Uint32(r.samples[i*sampleSize:]) != id {
		return Point{}, false
	}
	v := func(k int) float64 { return math.Float64frombits(order.Uint64(r.samples[i*sampleSize+4+8*k:])) }
	return Point{Time: time.UnixMilli(r.ms), Min: v(0), Mean: v(1), Max: v(2)}, true
}

// learn adds the series of a frame of names.
func (r *rows) learn(p []byte) bool {
	if len(p) < 4 {
		return false
	}
	first := int(order.Uint32(p))
	if first > maxSeries || first < len(r.names) {
		return false
	}
	r.names = append(r.names, make([]name, first-len(r.names))...) // those of a frame that was lost
	for p = p[4:]; len(p) > 0; {
		target, rest, ok := takeText(p)
		if !ok {
			return false
		}
		gauge, rest, ok := takeText(rest)
		if !ok || len(r.names) >= maxSeries {
			return false
		}
		p = rest
		r.add(name{string(target), string(gauge)})
	}
	return true
}

func (r *rows) add(n name) {
	r.ids[n] = uint32(len(r.names))
	r.names = append(r.names, n)
}
