package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var (
	selectorForm = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?$`)
	matcherForm  = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"([^"\\]*)"\s*(?:,|$)`)
)

// selector is a metric name and the label values that a series must have.
type selector struct {
	name   string
	labels map[string]string
}

// parseSelector reads name or name{label="value",...}.
func parseSelector(s string) (selector, error) {
	m := selectorForm.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return selector{}, fmt.Errorf("%q is not a metric: write a name such as app_cache_hits_total, or name{label=\"value\"}", clip(s))
	}
	out := selector{name: m[1]}
	for rest := m[2]; strings.TrimSpace(rest) != ""; {
		match := matcherForm.FindStringSubmatch(rest)
		if match == nil {
			return selector{}, fmt.Errorf("%q selects in another way: write name{label=\"value\"}, only = is known", clip(s))
		}
		if out.labels == nil {
			out.labels = make(map[string]string)
		}
		out.labels[match[1]] = match[2]
		rest = rest[len(match[0]):]
	}
	return out, nil
}

// parseText parses sample lines. Without their TYPE lines all of them are untyped, each under the
// name that stands in the line, so that name_count of a histogram is a value like any other.
func parseText(lines []byte) (map[string]*dto.MetricFamily, error) {
	if len(lines) == 0 {
		return nil, nil //nolint:nilnil // no lines, no families
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	return p.TextToMetricFamilies(bytes.NewReader(lines))
}

// family is the series of one name, or why they are not known.
type family struct {
	*dto.MetricFamily
	err error
}

// errUnreadable is of a line that cannot be read; it does not quote it, since errors are public.
var errUnreadable = errors.New("it is not the Prometheus text format: a line of this metric cannot be read")

// parseKept parses sample lines, those of each name by themselves.
func parseKept(kept []byte) map[string]family {
	texts, out := make(map[string][]byte), make(map[string]family)
	for line := range bytes.Lines(kept) {
		name := string(line[:bytes.IndexAny(line, "{ \t")])
		bare, err := bareSample(bytes.TrimRight(line, "\r\n"))
		if err != nil {
			out[name] = family{err: errUnreadable}
			continue
		}
		texts[name] = append(texts[name], bare...)
	}
	for name, text := range texts {
		if out[name].err != nil {
			continue
		}
		families, err := parseText(text)
		if err != nil {
			out[name] = family{err: errUnreadable}
			continue
		}
		out[name] = family{MetricFamily: families[name]}
	}
	return out
}

// sum adds up the series of a family that the selector selects.
func (s *selector) sum(f *dto.MetricFamily) (float64, error) {
	total, found := 0.0, false
	for _, m := range f.GetMetric() {
		if !s.matches(m) || m.GetUntyped() == nil {
			continue
		}
		v := m.GetUntyped().GetValue()
		if math.IsNaN(v) {
			return 0, errors.New("it is NaN")
		}
		total += v
		found = true
	}
	if !found {
		return 0, errors.New("there is no such series")
	}
	return total, nil
}

func (s *selector) matches(m *dto.Metric) bool {
	for name, want := range s.labels {
		have := ""
		for _, l := range m.GetLabel() {
			if l.GetName() == name {
				have = l.GetValue()
			}
		}
		if have != want {
			return false
		}
	}
	return true
}
