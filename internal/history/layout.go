package history

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/fnv"
)

// The file: one page of two equal headers, the rows, and the blocks up to its bound. Numbers are little endian.
const (
	version     = 1
	pageSize    = 4096
	rowsStart   = pageSize
	rowsSize    = 2 << 20
	blocksStart = rowsStart + rowsSize
	blockRows   = 48 // four hours: rows that make a block
	maxSeries   = 8000
	headerSize  = 24
	headerTwin  = pageSize / 2
	headerMagic = "SPILLWAY HISTORY"
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

// hashOf places a name in the index of a block.
func hashOf(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32()
}

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

// decodeHeader judges the first page: damaged is the number of the two headers that cannot be read. A
// page of zeros is fresh, and so is one of which only the beginning was written.
func decodeHeader(page []byte) (fresh bool, damaged int, err error) {
	zero := make([]byte, len(page))
	if bytes.Equal(page, zero) || len(page) < headerSize && bytes.HasPrefix(encodeHeader(), page) {
		return true, 0, nil
	}
	read := 0
	for _, at := range []int{0, headerTwin} {
		if len(page) < at+headerSize {
			damaged++
			continue
		}
		h := page[at : at+headerSize]
		if string(h[:16]) != headerMagic || order.Uint32(h[20:]) != checksum(h[:20]) {
			damaged++
			continue
		}
		if v := order.Uint32(h[16:]); v != version {
			return false, 0, fmt.Errorf("%w: it has version %d and this one reads %d: start the later program, or move the file away", ErrVersion, v, version)
		}
		read++
	}
	if read == 0 {
		return false, damaged, fmt.Errorf("%w: move it away", ErrForeign)
	}
	return false, damaged, nil
}

// aligned rounds up to a multiple of a power of two.
func aligned(n, to int64) int64 { return (n + to - 1) &^ (to - 1) }

// appendText appends a text with its length before it.
func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// takeText undoes appendText; ok is false where the bytes are too few.
func takeText(b []byte) (text, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	end := size + int(n)
	return b[size:end], b[end:], true
}
