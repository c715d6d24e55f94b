package folderlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The file: one page of two equal headers, then frames up to its bound, which begin at multiples of frameAlign. When
// the next frame does not fit, it goes to the start, over the oldest ones: of those the beginning is overwritten first,
// so that what is left of one is not taken for a frame. Numbers are little endian.
const (
	version     = 1
	pageSize    = 4096
	headerSize  = 24
	headerTwin  = pageSize / 2
	headerMagic = "SPILLWAY FOLDERS"
	frameMagic  = 0x31465753 // "SWF1"
	frameHeader = 40
	frameAlign  = 64
	maxPayload  = 1 << 20
	maxBits     = 32
	searchSize  = 256 << 10
)

var (
	order      = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func checksum(parts ...[]byte) uint32 {
	var sum uint32
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

func aligned(n int64) int64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// encodeHeader returns the first page.
func encodeHeader() []byte {
	page := make([]byte, pageSize)
	for _, at := range []int{0, headerTwin} {
		h := page[at : at+headerSize]
		copy(h, headerMagic)
		order.PutUint32(h[16:], version)
		order.PutUint32(h[20:], checksum(h[:20]))
	}
	return page
}

// checkHeader judges the first page. One of zeros is fresh, and so is one of which only the beginning was written.
func checkHeader(page []byte) (fresh bool, err error) {
	if bytes.Equal(page, make([]byte, len(page))) || len(page) < headerSize && bytes.HasPrefix(encodeHeader(), page) {
		return true, nil
	}
	for _, at := range []int{0, headerTwin} {
		if len(page) < at+headerSize {
			continue
		}
		h := page[at : at+headerSize]
		if string(h[:16]) != headerMagic || order.Uint32(h[20:]) != checksum(h[:20]) {
			continue
		}
		if v := order.Uint32(h[16:]); v != version {
			return false, fmt.Errorf("%w: it has version %d and this one reads %d: start the later program, or move the file away", ErrVersion, v, version)
		}
		return false, nil
	}
	return false, fmt.Errorf("%w: move it away", ErrForeign)
}

// frame is a group of events of one folder, in the order in which they were recorded.
type frame struct {
	seq    uint64
	bits   uint  // the sample
	base   int64 // what the time of the first event counts from
	folder []byte
	events []byte
}

// encode returns a frame, padded to where the next one begins.
func (f *frame) encode() []byte {
	payload := append(binary.AppendUvarint(nil, uint64(len(f.folder))), f.folder...)
	payload = append(payload, f.events...)
	var h [frameHeader]byte
	order.PutUint32(h[0:], frameMagic)
	order.PutUint64(h[8:], f.seq)
	order.PutUint64(h[16:], uint64(f.base))
	order.PutUint32(h[24:], uint32(len(payload)))
	order.PutUint32(h[28:], uint32(f.bits))
	order.PutUint32(h[4:], checksum(h[8:], payload))
	b := append(h[:], payload...)
	return append(b, make([]byte, aligned(int64(len(b)))-int64(len(b)))...)
}

// decode takes a frame off b; ours says that there is one, ok that it is whole.
func decode(b []byte) (f frame, size int64, ours, ok bool) {
	if len(b) < frameHeader || order.Uint32(b) != frameMagic {
		return f, 0, false, false
	}
	n := int64(order.Uint32(b[24:]))
	if n > maxPayload || frameHeader+n > int64(len(b)) {
		return f, 0, true, false
	}
	payload := b[frameHeader : frameHeader+n]
	if checksum(b[8:frameHeader], payload) != order.Uint32(b[4:]) {
		return f, 0, true, false
	}
	name, k := binary.Uvarint(payload)
	if k <= 0 || name > uint64(len(payload)-k) {
		return f, 0, true, false
	}
	f = frame{
		seq: order.Uint64(b[8:]), base: int64(order.Uint64(b[16:])), bits: min(uint(order.Uint32(b[28:])), maxBits),
		folder: payload[k : k+int(name)], events: payload[k+int(name):],
	}
	return f, aligned(frameHeader + n), true, true
}

// each calls visit for every event of a frame; ok is false where the bytes end otherwise than they should.
func (f *frame) each(visit func(Event)) (ok bool) {
	last := f.base
	for b := f.events; len(b) > 0; {
		e, rest, ok := takeEvent(b, last)
		if !ok {
			return false
		}
		last, b = e.Time.UnixMilli(), rest
		visit(e)
	}
	return true
}

// scan calls visit for each whole frame, in the order of the file, and returns how many were damaged.
func scan(from io.ReaderAt, visit func(at int64, f *frame)) (damaged int, err error) {
	buf := make([]byte, searchSize+maxPayload+frameHeader)
	for at := int64(pageSize); ; {
		n, err := from.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return damaged, err
		}
		i := int64(0)
		for i < searchSize && i+frameHeader <= int64(n) {
			f, size, ours, ok := decode(buf[i:n])
			if ok {
				visit(at+i, &f)
				i += size
				continue
			}
			if ours {
				damaged++
			}
			i += frameAlign
		}
		if n < len(buf) && i+frameHeader > int64(n) {
			return damaged, nil
		}
		at += i
	}
}
