package history

import (
	"cmp"
	"io"
	"math"
	"slices"
	"sort"
)

// A block holds the series of the rows of one generation, each compressed by itself. It begins at a page with
// its header; then come the series in the order of their hashes, the marks, and the index.
const (
	blockMagic  = 0x314b4c4248575053 // "SPWHBLK1"
	blockHeader = 80
	entrySize   = 5 * 4
)

// block is where a block is, and what it holds.
type block struct {
	seq, gen     uint64
	at, size     int64 // in the file; size is not rounded to pages
	minMS, maxMS int64 // of the points
	index        int64 // offset of the marks and the index after them
	marks        int64 // bytes of the marks
	entries      int
	sum          uint32 // of marks and index
}

// end is where the next block can begin.
func (b *block) end() int64 { return b.at + aligned(b.size, pageSize) }

func (b *block) header() []byte {
	h := make([]byte, blockHeader)
	for i, v := range []uint64{blockMagic, b.seq, b.gen, uint64(b.at), uint64(b.minMS), uint64(b.maxMS), uint64(b.size), uint64(b.index)} {
		order.PutUint64(h[8*i:], v)
	}
	order.PutUint32(h[64:], uint32(b.marks))
	order.PutUint32(h[68:], uint32(b.entries))
	order.PutUint32(h[72:], b.sum)
	order.PutUint32(h[76:], checksum(h[:76]))
	return h
}

// decodeBlock reads a header; ours says that there is one, ok that it can be believed.
func decodeBlock(h []byte, at int64) (b block, ours, ok bool) {
	if order.Uint64(h) != blockMagic {
		return b, false, false
	}
	if order.Uint32(h[76:]) != checksum(h[:76]) {
		return b, true, false
	}
	u := func(i int) int64 { return int64(order.Uint64(h[8*i:])) }
	b = block{
		seq: uint64(u(1)), gen: uint64(u(2)), at: u(3), minMS: u(4), maxMS: u(5), size: u(6), index: u(7),
		marks: int64(order.Uint32(h[64:])), entries: int(order.Uint32(h[68:])), sum: order.Uint32(h[72:]),
	}
	whole := b.at == at && b.index >= blockHeader && b.size > b.index && b.size <= int64(maxMaxBytes) &&
		b.entries <= maxSeries && b.size-b.index == b.marks+int64(b.entries)*entrySize
	return b, true, whole
}

// entry is a line of the index: where a series is.
type entry struct {
	target, gauge uint32 // hashes
	at, size, sum uint32
}

func (e *entry) append(b []byte) []byte {
	for _, v := range []uint32{e.target, e.gauge, e.at, e.size, e.sum} {
		b = order.AppendUint32(b, v)
	}
	return b
}

func entryOf(b []byte, i int) entry {
	u := func(k int) uint32 { return order.Uint32(b[i*entrySize+4*k:]) }
	return entry{u(0), u(1), u(2), u(3), u(4)}
}

// buildBlock makes the body of a block, which follows its header, of rows in the order of their time. names
// are the series by their number.
func buildBlock(list []row, names []name) (block, []byte) {
	b := block{minMS: math.MaxInt64, maxMS: math.MinInt64}
	lines := make([]entry, len(names))
	ids := make([]int, len(names))
	for i, n := range names {
		lines[i] = entry{target: hashOf(n.target), gauge: hashOf(n.gauge)}
		ids[i] = i
	}
	slices.SortFunc(ids, func(x, y int) int {
		return cmp.Or(cmp.Compare(lines[x].target, lines[y].target), cmp.Compare(lines[x].gauge, lines[y].gauge), cmp.Compare(x, y))
	})
	var index, marks []byte
	body := make([]byte, 0, 64<<10)
	enc := newEncoder()
	var points []Point
	for _, id := range ids {
		points = points[:0]
		for i := range list {
			if p, ok := list[i].find(uint32(id)); ok {
				points = append(points, p)
			}
		}
		if len(points) == 0 || names[id].target == "" {
			continue
		}
		points = merged(points)
		b.minMS, b.maxMS = min(b.minMS, points[0].Time.UnixMilli()), max(b.maxMS, points[len(points)-1].Time.UnixMilli())
		from := len(body)
		body = appendText(appendText(body, names[id].target), names[id].gauge)
		body = enc.append(body, points)
		e := &lines[id]
		e.at, e.size, e.sum = uint32(blockHeader+from), uint32(len(body)-from), checksum(body[from:])
		index = e.append(index)
		b.entries++
	}
	for i := range list {
		marks = append(marks, list[i].marks...)
		b.minMS, b.maxMS = min(b.minMS, list[i].ms), max(b.maxMS, list[i].ms)
	}
	b.index, b.marks = int64(blockHeader+len(body)), int64(len(marks))
	b.sum = checksum(marks, index)
	body = append(append(body, marks...), index...)
	b.size = int64(blockHeader + len(body))
	return b, body
}

// readIndex reads the marks and the index of a block into space, which grows as need be; ok is false where
// they are damaged.
func readIndex(from io.ReaderAt, b *block, space *[]byte) (marks, index []byte, ok bool, err error) {
	*space = slices.Grow((*space)[:0], int(b.size-b.index))
	buf := (*space)[:b.size-b.index]
	if err := readFull(from, buf, b.at+b.index); err != nil {
		return nil, nil, false, unlessShort(err)
	}
	if checksum(buf) != b.sum {
		return nil, nil, false, nil
	}
	return buf[:b.marks], buf[b.marks:], true, nil
}

// entriesOf returns the lines of a target in an index, from the first to before the last.
func entriesOf(index []byte, target string) (first, last int) {
	hash, n := hashOf(target), len(index)/entrySize
	at := func(i int) uint32 { return order.Uint32(index[i*entrySize:]) }
	first = sort.Search(n, func(i int) bool { return at(i) >= hash })
	for last = first; last < n && at(last) == hash; last++ {
	}
	return first, last
}

// splitEntry takes the names off an entry.
func splitEntry(b []byte) (target, gauge, values []byte, ok bool) {
	target, b, ok = takeText(b)
	if !ok {
		return nil, nil, nil, false
	}
	gauge, b, ok = takeText(b)
	return target, gauge, b, ok
}

// readEntry reads an entry into buf; ok is false where it is damaged.
func readEntry(from io.ReaderAt, b *block, e *entry, buf []byte) (_ []byte, ok bool, err error) {
	if int64(e.at)+int64(e.size) > b.index {
		return buf[:0], false, nil
	}
	buf = slices.Grow(buf[:0], int(e.size))[:e.size]
	if err := readFull(from, buf, b.at+int64(e.at)); err != nil {
		return buf[:0], false, unlessShort(err)
	}
	return buf, checksum(buf) == e.sum, nil
}
