package history

import (
	"errors"
	"time"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

var errChunk = errors.New("the values of a series cannot be decoded")

// encoder compresses the points of a series: a chunk of samples for each of min, mean and max.
type encoder struct {
	chunk *chunkenc.XORChunk
	buf   []byte
}

func newEncoder() *encoder { return &encoder{chunk: chunkenc.NewXORChunk()} }

// append appends points, of which there are at most blockRows.
func (e *encoder) append(b []byte, points []Point) []byte {
	for k := range 3 {
		e.buf = append(e.buf[:0], 0, 0) // no samples yet
		e.chunk.Reset(e.buf)
		a, err := e.chunk.Appender()
		if err != nil { // only samples that are there already can be wrong
			return b
		}
		for i := range points {
			p := &points[i]
			a.Append(0, p.Time.UnixMilli(), [...]float64{p.Min, p.Mean, p.Max}[k])
		}
		e.buf = e.chunk.Bytes()
		b = appendText(b, e.buf)
	}
	return b
}

// decoder undoes what encoder does.
type decoder struct {
	chunk chunkenc.XORChunk
	it    chunkenc.Iterator
}

// append appends the points from a time up to before another, in milliseconds, to dst.
func (d *decoder) append(dst []Point, b []byte, from, to int64) ([]Point, error) {
	first := len(dst)
	for k := range 3 {
		text, rest, ok := takeText(b)
		if !ok || len(text) < 2 {
			return dst[:first], errChunk
		}
		b = rest
		d.chunk.Reset(text)
		d.it = d.chunk.Iterator(d.it)
		i := first
		for d.it.Next() != chunkenc.ValNone {
			ms, v := d.it.At()
			if ms < from || ms >= to {
				continue
			}
			switch {
			case k == 0:
				dst = append(dst, Point{Time: time.UnixMilli(ms), Min: v})
			case i >= len(dst) || dst[i].Time.UnixMilli() != ms:
				return dst[:first], errChunk
			case k == 1:
				dst[i].Mean = v
			default:
				dst[i].Max = v
			}
			i++
		}
		if d.it.Err() != nil || i != len(dst) {
			return dst[:first], errChunk
		}
	}
	return dst, nil
}
