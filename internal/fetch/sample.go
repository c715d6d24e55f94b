package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// bareSample returns a sample line as name, labels and value: without the timestamp, which OpenMetrics
// writes in seconds with a fraction, and without the exemplar that may follow.
func bareSample(line []byte) ([]byte, error) {
	end := bytes.IndexAny(line, "{"+blanks)
	if end < 0 {
		return nil, errors.New("there is no value")
	}
	rest := bytes.TrimLeft(line[end:], blanks)
	if len(rest) > 0 && rest[0] == '{' {
		n := labelsLength(rest)
		if n < 0 {
			return nil, errors.New("its labels do not end")
		}
		rest = rest[n:]
	}
	head := bytes.TrimRight(line[:len(line)-len(rest)], blanks)
	value, rest := cutField(rest)
	if len(value) == 0 {
		return nil, errors.New("there is no value")
	}
	rest = bytes.Trim(rest, blanks)
	if len(rest) > 0 && rest[0] != '#' {
		var stamp []byte
		stamp, rest = cutField(rest)
		if _, err := strconv.ParseFloat(string(stamp), 64); err != nil {
			return nil, fmt.Errorf("%q is not a timestamp", clip(string(stamp)))
		}
	}
	if len(rest) > 0 {
		if err := checkExemplar(rest); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, len(head)+len(value)+2)
	return append(append(append(append(out, head...), ' '), value...), '\n'), nil
}

// blanks are what stands between the parts of a line.
const blanks = " \t\r"

// cutField returns the first word and what follows it, without the blanks between.
func cutField(b []byte) (word, rest []byte) {
	b = bytes.Trim(b, blanks)
	end := bytes.IndexAny(b, blanks)
	if end < 0 {
		return b, nil
	}
	return b[:end], bytes.Trim(b[end:], blanks)
}

// labelsLength returns the length of {name="value",...} at the beginning of b, -1 when it has no end. A
// value may hold anything, a quotation mark or a backslash behind a backslash.
func labelsLength(b []byte) int {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == '}':
			return i + 1
		}
	}
	return -1
}

// checkExemplar reports what is not an exemplar: "# {labels} value", and a timestamp perhaps.
func checkExemplar(b []byte) error {
	b = bytes.TrimLeft(b[1:], " \t")
	n := -1
	if len(b) > 0 && b[0] == '{' {
		n = labelsLength(b)
	}
	if n < 0 {
		return fmt.Errorf("%q is neither a timestamp nor an exemplar", clip(string(b)))
	}
	words := bytes.Fields(b[n:])
	if len(words) < 1 || len(words) > 2 {
		return fmt.Errorf("the exemplar has %d numbers", len(words))
	}
	for _, w := range words {
		if _, err := strconv.ParseFloat(string(w), 64); err != nil {
			return fmt.Errorf("%q of the exemplar is not a number", clip(string(w)))
		}
	}
	return nil
}
