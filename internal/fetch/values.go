package fetch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// The forms of a document.
const (
	JSON       = "json"       // values by gjson paths
	Prometheus = "prometheus" // values by metric name, with label values where one name is not enough
)

const (
	maxJSONBytes = 1 << 20
	maxTextBytes = 16 << 20 // read through, not kept
	maxTextKept  = 256 << 10
	maxTextLine  = 64 << 10
	maxPath      = 500
)

// Want is one value of a document.
type Want struct {
	Name  string // as errors call it
	Path  string // gjson path, or metric name with optional {label="value"}
	Kind  Kind
	Units string // of a size in JSON; "" is UnitsBinary
}

// Value is one answer to a Want.
type Value struct {
	V   float64
	Err error // why there is none
}

// CheckPath returns what is wrong with the path of a value, nil when nothing is.
func CheckPath(format, path string) error {
	if format == Prometheus {
		_, err := parseSelector(path)
		return err
	}
	if path == "" || len(path) > maxPath || strings.ContainsAny(path, "\n\r\x00") {
		return fmt.Errorf("%q is not a path: write a gjson path of at most %d bytes, such as cache.hits", clip(path), maxPath)
	}
	return nil
}

// Values reads the document once and returns one Value for each want, in their order. The error is
// set when there is no document to read them from.
func (c *Client) Values(ctx context.Context, format string, wants []Want) ([]Value, error) {
	var out []Value
	accept, decode := "application/json", DecodeJSON
	if format == Prometheus {
		accept, decode = "text/plain;version=0.0.4;q=1,*/*;q=0.1", DecodePrometheus
	}
	err := c.read(ctx, accept, func(body io.Reader) (err error) {
		out, err = decode(body, wants)
		return err
	})
	return out, err
}

// DecodeJSON reads values by gjson paths from a document of at most 1 MiB. A string is read as a
// quantity of the value's kind; true, null, objects and lists are errors, never a number.
func DecodeJSON(r io.Reader, wants []Want) ([]Value, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxJSONBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxJSONBytes {
		return nil, fmt.Errorf("%w: more than %d bytes of JSON", ErrTooLarge, maxJSONBytes)
	}
	// The standard library bounds nesting; gjson trusts its input and recurses.
	if !json.Valid(data) {
		return nil, fmt.Errorf("it is not JSON: it begins with %s", begin(data))
	}
	out := make([]Value, len(wants))
	for i, w := range wants {
		out[i].V, out[i].Err = jsonValue(gjson.GetBytes(data, w.Path), &w)
		if out[i].Err != nil {
			out[i] = Value{Err: fmt.Errorf("%s: %s: %w", w.Name, w.Path, out[i].Err)}
		}
	}
	return out, nil
}

func jsonValue(r gjson.Result, w *Want) (float64, error) {
	switch {
	case !r.Exists():
		return 0, errors.New("there is no such value")
	case r.Type == gjson.Number:
		return w.Kind.Check(r.Num)
	case r.Type == gjson.String:
		return w.Kind.Parse(r.Str, w.Units)
	}
	return 0, fmt.Errorf("%s is not %s", jsonKind(&r), w.Kind)
}

// jsonKind says what stands where a number should be, without showing it: errors are public.
func jsonKind(r *gjson.Result) string {
	switch {
	case r.IsArray():
		return "a list"
	case r.IsObject():
		return "an object"
	}
	return r.Raw // true, false or null
}

// begin shows how an answer begins, by one character: the rest may be a secret, and errors are public.
func begin(answer []byte) string {
	t := bytes.TrimSpace(answer)
	if len(t) == 0 {
		return "nothing"
	}
	r, _ := utf8.DecodeRune(t)
	return strconv.QuoteRune(r)
}

// DecodePrometheus reads values from the Prometheus text format or OpenMetrics. Only the lines of
// wanted metrics are kept, whatever else there is; several series that a want selects are added up. A
// line that cannot be understood costs the values of its own metric.
func DecodePrometheus(r io.Reader, wants []Want) ([]Value, error) {
	selectors := make([]selector, len(wants))
	names := make(map[string]bool, len(wants))
	for i, w := range wants {
		s, err := parseSelector(w.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name, err)
		}
		selectors[i] = s
		names[s.name] = true
	}
	kept, err := keepLines(r, names)
	if err != nil {
		return nil, err
	}
	families := parseKept(kept)
	out := make([]Value, len(wants))
	for i, w := range wants {
		f := families[selectors[i].name]
		v, err := 0.0, f.err
		if err == nil {
			v, err = selectors[i].sum(f.MetricFamily)
		}
		if err == nil {
			v, err = w.Kind.Check(v)
		}
		if err != nil {
			out[i] = Value{Err: fmt.Errorf("%s: %s: %w", w.Name, w.Path, err)}
			continue
		}
		out[i].V = v
	}
	return out, nil
}

// keepLines returns the lines of r that are samples of the named metrics.
func keepLines(r io.Reader, names map[string]bool) ([]byte, error) {
	limited := &io.LimitedReader{R: r, N: maxTextBytes + 1}
	lines := bufio.NewReaderSize(limited, maxTextLine)
	var kept bytes.Buffer
	for first := true; ; first = false {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("it is not the Prometheus text format: a line is longer than %d bytes", maxTextLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if first && notText(line) {
			return nil, fmt.Errorf("it is not the Prometheus text format: it begins with %s", begin(line))
		}
		if end := bytes.IndexAny(line, "{ \t"); end > 0 && names[string(line[:end])] {
			if kept.Len()+len(line) > maxTextKept {
				return nil, fmt.Errorf("%w: more than %d bytes of the wanted metrics", ErrTooLarge, maxTextKept)
			}
			kept.Write(line)
		}
		if err != nil {
			break
		}
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("%w: more than %d bytes of text", ErrTooLarge, maxTextBytes)
	}
	if n := kept.Len(); n > 0 && kept.Bytes()[n-1] != '\n' {
		kept.WriteByte('\n')
	}
	return kept.Bytes(), nil
}

// notText recognises HTML and JSON, which would otherwise only lack every metric.
func notText(line []byte) bool {
	t := bytes.TrimSpace(line)
	return len(t) > 0 && (t[0] == '<' || t[0] == '{' || t[0] == '[')
}
