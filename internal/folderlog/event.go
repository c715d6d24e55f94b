package folderlog

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// Kind is what became of a file.
type Kind uint8

// The kinds of events.
const (
	Listed  Kind = iota + 1 // all files follow as Found: one that does not has gone before. It has no hash
	Found                   // it was there when all were listed
	Written                 // it was made, or written anew
	Opened                  // it was read
	Deleted                 // it was seen to be gone
	kinds
)

// Event is what became of one file of a folder.
type Event struct {
	Kind Kind
	Time time.Time // in milliseconds
	Hash uint64    // of its path below the folder
	Size int64     // in bytes, as its policy counts it; 0 for an empty file only

	Written, Used time.Time // of one that was Found: when it was last written and used, as its policy measures ages
}

// Folder names the folder of a policy for a Log.
func Folder(target, kind, policy string) string {
	return strings.Join([]string{target, kind, policy}, "/")
}

// Errors of a Log. Each is wrapped with what to do.
var (
	ErrVersion = errors.New("the log of folders was written by a later version of this program")
	ErrForeign = errors.New("the file is not a log of folders")
	ErrLocked  = errors.New("another process writes the log of folders")
)

// Sampled reports whether a hash is in the sample of one in 2^bits.
func Sampled(hash uint64, bits uint) bool { return hash&(1<<bits-1) == 0 }

// appendEvent appends an event; last is the time of the one before it.
func appendEvent(b []byte, e *Event, last int64) []byte {
	b = append(b, byte(e.Kind))
	b = binary.AppendVarint(b, e.Time.UnixMilli()-last)
	b = order.AppendUint64(b, e.Hash)
	b = binary.AppendUvarint(b, uint64(max(e.Size, 0)))
	if e.Kind == Found {
		b = binary.AppendVarint(b, e.Time.UnixMilli()-e.Written.UnixMilli())
		b = binary.AppendVarint(b, e.Time.UnixMilli()-e.Used.UnixMilli())
	}
	return b
}

// takeEvent undoes appendEvent; ok is false where the bytes are none.
func takeEvent(b []byte, last int64) (e Event, rest []byte, ok bool) {
	if len(b) == 0 || b[0] == 0 || Kind(b[0]) >= kinds {
		return e, nil, false
	}
	e.Kind = Kind(b[0])
	after, n := binary.Varint(b[1:])
	if n <= 0 || len(b) < 1+n+8 {
		return e, nil, false
	}
	b = b[1+n:]
	e.Time, e.Hash = time.UnixMilli(last+after), order.Uint64(b)
	size, n := binary.Uvarint(b[8:])
	if n <= 0 {
		return e, nil, false
	}
	e.Size, b = int64(size), b[8+n:]
	if e.Kind != Found {
		return e, b, true
	}
	for _, t := range []*time.Time{&e.Written, &e.Used} {
		ago, n := binary.Varint(b)
		if n <= 0 {
			return e, nil, false
		}
		*t, b = time.UnixMilli(e.Time.UnixMilli()-ago), b[n:]
	}
	return e, b, true
}
