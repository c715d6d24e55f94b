package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// mostUnpacked is how much memory a profile of Go may take. A sample of two bytes takes a hundred times as much.
const mostUnpacked = 64 << 20

// What the parts of a profile of Go take in memory, as the library keeps them, rounded up.
const (
	partTakes   = 200 // a sample, location, function, mapping or type
	labelTakes  = 160
	lineTakes   = 64
	numberTakes = 32 // one of a list, where it has one byte
	textTakes   = 40 // and its bytes
)

// The numbers of fields (https://github.com/google/pprof/blob/main/proto/profile.proto).
const (
	fieldSample   = 2
	fieldLocation = 4
	fieldTexts    = 6
	fieldComments = 13

	fieldSampleLabel  = 3
	fieldLocationLine = 4
)

var errCut = errors.New("it ends in the middle, or is not of protocol buffers")

// weigh refuses a profile of Go that would take too much memory, before anything of it is kept.
func weigh(data []byte) error {
	takes := 0
	add := func(n int) error {
		if takes += n; takes > mostUnpacked {
			return fmt.Errorf("it would take more than %d MiB of memory", mostUnpacked>>20)
		}
		return nil
	}
	return fields(data, func(number uint64, part []byte) error {
		switch number {
		case fieldTexts:
			return add(textTakes + len(part))
		case fieldComments:
			return add(numberTakes * max(len(part), 1))
		}
		if err := add(partTakes); err != nil || number != fieldSample && number != fieldLocation {
			return err
		}
		return fields(part, func(inner uint64, value []byte) error {
			switch {
			case number == fieldSample && inner == fieldSampleLabel:
				return add(labelTakes)
			case number == fieldSample:
				return add(numberTakes * max(len(value), 1))
			case inner == fieldLocationLine:
				return add(lineTakes)
			}
			return nil
		})
	})
}

// fields calls f for each field of a message of protocol buffers; value is nil but for fields that have a length.
func fields(data []byte, f func(number uint64, value []byte) error) error {
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return errCut
		}
		data = data[n:]
		var value []byte
		switch tag & 7 {
		case 0:
			_, n = binary.Uvarint(data)
		case 1:
			n = 8
		case 2:
			var size uint64
			if size, n = binary.Uvarint(data); n <= 0 || size > uint64(len(data)-n) {
				return errCut
			}
			value = data[n : n+int(size)]
			n += int(size)
		case 5:
			n = 4
		default:
			return errCut
		}
		if n <= 0 || n > len(data) {
			return errCut
		}
		data = data[n:]
		if err := f(tag>>3, value); err != nil {
			return err
		}
	}
	return nil
}
