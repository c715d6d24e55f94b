package evidence

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// histogram asks a Java virtual machine for the instances of each class: of what lives, after a full collection, or of all.
type histogram struct{ live bool }

// Capture implements Capturer.
func (h histogram) Capture(ctx context.Context, p Process) (Profile, error) {
	return capture(ctx, p, !h.live, decodeHistogram)
}

// decodeHistogram reads the lines "   1:  instances  bytes  class (module)" of a histogram. Lines that are not like that, as its
// headings and its total, are left out.
func decodeHistogram(data []byte, out *rows) error {
	found := false
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		rank, rest, ok := bytes.Cut(line, []byte(":"))
		if _, err := strconv.ParseUint(string(bytes.TrimSpace(rank)), 10, 31); !ok || err != nil {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) < 3 {
			continue
		}
		objects, err := strconv.ParseInt(string(fields[0]), 10, 64)
		size, sizeErr := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil || sizeErr != nil {
			continue
		}
		found = true
		name := className(string(fields[2]))
		out.addTo(Row{Name: name, Common: ofJDK(name)}, size, objects)
	}
	if !found {
		return fmt.Errorf("%w: it has no line of a class", ErrInvalid)
	}
	return nil
}

// ofJDK reports whether a class is of the JDK itself, or of arrays of numbers.
func ofJDK(name string) bool {
	for _, prefix := range []string{"java.", "javax.", "jdk.", "sun.", "com.sun.", "<"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return !strings.Contains(strings.TrimSuffix(name, "[]"), ".") && strings.HasSuffix(name, "[]") && isElement(strings.TrimRight(name, "[]"))
}

func isElement(name string) bool {
	for _, e := range elements {
		if e == name {
			return true
		}
	}
	return false
}

// elements are the names of primitive types in the name of a class of arrays.
var elements = map[byte]string{'Z': "boolean", 'B': "byte", 'C': "char", 'D': "double", 'F': "float", 'I': "int", 'J': "long", 'S': "short"}

// className writes "[[B" as "byte[][]" and "[Ljava.lang.String;" as "java.lang.String[]".
func className(s string) string {
	dims := len(s) - len(strings.TrimLeft(s, "["))
	if dims == 0 || dims == len(s) || dims > 255 {
		return s
	}
	element := s[dims:]
	if name, ok := elements[element[0]]; ok && len(element) == 1 {
		element = name
	} else {
		element = strings.TrimSuffix(strings.TrimPrefix(element, "L"), ";")
	}
	return element + strings.Repeat("[]", dims)
}
