package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A value is one byte for the state, a CRC-32C over the record and the key, and the record as
// JSON without its ID, which is the key. The sum finds what the tree of the file does not protect.
const (
	stateOpen   = 'o'
	stateClosed = 'c'
	headerBytes = 5
)

const (
	maxText    = 64 << 10 // of one text of a record
	maxReasons = 64       // of one record's skip reasons
)

var errDamaged = errors.New("a record is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func isOpen(v []byte) bool { return len(v) > 0 && v[0] == stateOpen }

// encode returns the value of a record, to be completed by seal once its key is known.
func encode(r Record) []byte {
	r.ID = ""
	text, err := json.Marshal(r)
	if err != nil {
		// A record holds texts, numbers and a map of numbers. Only a NaN could be refused.
		r.DurationSecs = 0
		text, _ = json.Marshal(r)
	}
	v := make([]byte, headerBytes, headerBytes+len(text))
	v[0] = stateClosed
	if r.Outcome == "" {
		v[0] = stateOpen
	}
	binary.LittleEndian.PutUint32(v[1:], crc32.Checksum(text, castagnoli))
	return append(v, text...)
}

// seal binds a value of encode to its key.
func seal(id string, v []byte) []byte {
	binary.LittleEndian.PutUint32(v[1:], crc32.Update(binary.LittleEndian.Uint32(v[1:]), castagnoli, []byte(id)))
	return v
}

// intact checks a value without reading it.
func intact(id string, v []byte) bool {
	if len(v) <= headerBytes || v[0] != stateOpen && v[0] != stateClosed {
		return false
	}
	sum := crc32.Update(crc32.Checksum(v[headerBytes:], castagnoli), castagnoli, []byte(id))
	return binary.LittleEndian.Uint32(v[1:]) == sum
}

func decode(id string, v []byte) (Record, error) {
	var r Record
	if !intact(id, v) {
		return r, fmt.Errorf("%q: %w", id, errDamaged)
	}
	if err := json.Unmarshal(v[headerBytes:], &r); err != nil {
		return r, fmt.Errorf("%q: %w: %w", id, errDamaged, err)
	}
	r.complete(strings.Clone(id))
	return r, nil
}

func (r *Record) complete(id string) {
	r.ID = id
	if r.RunID == "" {
		r.RunID = id
	}
}

func clipText(s string) string {
	if len(s) <= maxText {
		return s
	}
	cut := maxText - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// An id is a number of nanoseconds in 16 hexadecimal digits: it sorts by time as text.
func formatID(n uint64) string { return fmt.Sprintf("%016x", n) }

func parseID(id string) uint64 {
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return 0
	}
	return n
}
