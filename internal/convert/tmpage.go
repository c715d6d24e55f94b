package convert

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// tmpAge is the age of a line of tmpfiles.d(5).
type tmpAge struct {
	max     units.Duration
	by      string // our age_by; "" where no time of a file counts
	letters string // the times of a file that count there
	deeper  bool   // ~: what lies in the folder itself stays
	notes   []string
}

// defaultTimes are those of a file, where the age names none.
const defaultTimes = "abcm"

// parseTmpAge reads an age such as 10d, ~1w or am:12h.
func parseTmpAge(text string) (a tmpAge, err error) {
	rest, deeper := strings.CutPrefix(text, "~")
	a.deeper, a.letters = deeper, defaultTimes
	if by, after, ok := strings.Cut(rest, ":"); ok {
		if strings.Trim(by, "abcmABCM") != "" || by == "" {
			return a, fmt.Errorf("%q is not an age", text)
		}
		rest = after
		a.letters = strings.Map(func(r rune) rune {
			if r >= 'a' {
				return r
			}
			return -1
		}, by)
	}
	max, err := parseSpan(rest)
	if errors.Is(err, errLongSpan) {
		return a, fmt.Errorf("the age %q %w: nothing is that old, and no policy is needed", text, err)
	}
	if err != nil {
		return a, fmt.Errorf("%q is not an age", text)
	}
	a.max = units.Duration(max)
	if a.max == 0 {
		a.max = units.Duration(time.Second)
		a.notes = append(a.notes, "the age 0 is everything at once")
	}
	a.measure()
	return a, nil
}

// measure chooses what the age is measured from: the newest of our times that is not older than theirs.
func (a *tmpAge) measure() {
	has := func(letters string) bool { return strings.ContainsAny(a.letters, letters) }
	exact := true
	switch {
	case !has("abcm"):
	case has("a") && has("bc"):
		a.by = policy.AgeAll
		exact = has("c")
	case has("a"):
		a.by = policy.AgeAtime
		exact = has("m")
	case has("bc"):
		a.by = policy.AgeNewest
		exact = has("c") // which is never older than the others
	default:
		a.by = policy.AgeMtime
	}
	if !exact {
		a.notes = append(a.notes, fmt.Sprintf("%q is not measured here alone: some files stay for longer", a.letters))
	}
}

// spans are the units of systemd.time(7).
var spans = map[string]time.Duration{
	"us": time.Microsecond, "usec": time.Microsecond, "ms": time.Millisecond, "msec": time.Millisecond,
	"": time.Second, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour, "w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
	"M": 2629800 * time.Second, "month": 2629800 * time.Second, "months": 2629800 * time.Second,
	"y": 31557600 * time.Second, "year": 31557600 * time.Second, "years": 31557600 * time.Second,
}

// errLongSpan is the error of a span that no file is old enough for.
var errLongSpan = errors.New("is longer than 292 years")

// parseSpan reads a span such as 1d12h. One that is too long is an error: it would wrap around to a short one.
func parseSpan(text string) (time.Duration, error) {
	var sum time.Duration
	rest := strings.ReplaceAll(text, " ", "")
	if rest == "" {
		return 0, strconv.ErrSyntax
	}
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 32)
		if err != nil {
			return 0, err
		}
		rest = rest[digits:]
		letters := strings.IndexAny(rest, "0123456789")
		if letters < 0 {
			letters = len(rest)
		}
		unit, ok := spans[rest[:letters]]
		if !ok {
			return 0, strconv.ErrSyntax
		}
		if time.Duration(n) > (math.MaxInt64-sum)/unit {
			return 0, errLongSpan
		}
		sum += time.Duration(n) * unit
		rest = rest[letters:]
	}
	return sum, nil
}

// splitQuoted splits a line at its blanks, as systemd does: quotes hold a field together.
func splitQuoted(line string) (fields []string, ok bool) {
	var field strings.Builder
	quote, open := byte(0), false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && quote != '\'':
			i++
			field.WriteByte(line[i])
			open = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if open {
				fields = append(fields, field.String())
				field.Reset()
				open = false
			}
		default:
			field.WriteByte(c)
			open = true
		}
	}
	if open {
		fields = append(fields, field.String())
	}
	return fields, quote == 0
}
