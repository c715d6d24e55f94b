package window

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

const (
	maxWindows   = 50
	maxIntervals = 50
)

// Interval is one span of time in the syntax of Alertmanager's time_intervals. All keys that are written
// must fit.
type Interval struct {
	Times       []Range  `yaml:"times" json:"times,omitempty"`                 // spans of the day; one over midnight is two
	Weekdays    []string `yaml:"weekdays" json:"weekdays,omitempty"`           // days of the week and spans of them, such as `monday:friday`
	DaysOfMonth []string `yaml:"days_of_month" json:"days_of_month,omitempty"` // days and spans of them, from the end with a minus, such as `-3:-1`
	Months      []string `yaml:"months" json:"months,omitempty"`               // months and spans of them, such as `may:august`
	Years       []string `yaml:"years" json:"years,omitempty"`                 // years and spans of them, such as `2026:2028`
	Location    string   `yaml:"location" json:"location,omitempty"`           // time zone, such as `Europe/Zurich`, or `Local`; UTC when it is not written
}

// Range is a span of the day.
type Range struct {
	Start string `yaml:"start_time" json:"start_time"` // from, such as `02:00`
	End   string `yaml:"end_time" json:"end_time"`     // up to, such as `04:30`; `24:00` is midnight
}

// Windows is the key `windows` of the configuration: intervals by the name of a window, which is open
// while one of them contains the time.
type Windows map[string][]Interval

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// Validate reports every mistake.
func (w Windows) Validate(report report.Func) {
	if len(w) > maxWindows {
		report("", "%d windows are too many: write at most %d", len(w), maxWindows)
	}
	for _, name := range slices.Sorted(maps.Keys(w)) {
		if !nameForm.MatchString(name) || name == not {
			report(name, "%q is not a name: write 1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit", name)
		}
		switch n := len(w[name]); {
		case n == 0:
			report(name, "has no intervals, so it would never be open: write at least one, such as [{times: [{start_time: '02:00', end_time: '04:00'}]}]")
		case n > maxIntervals:
			report(name, "%d intervals are too many: write at most %d", n, maxIntervals)
		}
		for i := range w[name] {
			w[name][i].validate(report.Under(fmt.Sprintf("%s[%d]", name, i)))
		}
	}
}

// part is one key of an interval alone, with how it is written.
type part struct {
	key, hint string
	interval  Interval
	written   bool
	empty     bool // a list without elements
}

func (i *Interval) parts() []part {
	return []part{
		{"weekdays", "sunday to saturday, or a span such as monday:friday", Interval{Weekdays: i.Weekdays}, i.Weekdays != nil, len(i.Weekdays) == 0},
		{"days_of_month", "1 to 31, -1 to -31 from the end of the month, or a span such as '1:5' or '-3:-1'", Interval{DaysOfMonth: i.DaysOfMonth}, i.DaysOfMonth != nil, len(i.DaysOfMonth) == 0},
		{"months", "january to december, 1 to 12, or a span such as may:august", Interval{Months: i.Months}, i.Months != nil, len(i.Months) == 0},
		{"years", "years such as 2026, or a span such as '2026:2028'", Interval{Years: i.Years}, i.Years != nil, len(i.Years) == 0},
		{"location", "a time zone that this host knows, such as Europe/Zurich, or Local", Interval{Location: i.Location}, i.Location != "", false},
	}
}

func (i *Interval) validate(report report.Func) {
	written := i.Times != nil
	if written && len(i.Times) == 0 {
		report("times", "is empty, so it would never fit: write [{start_time: '02:00', end_time: '04:30'}], or remove it")
	}
	for j := range i.Times {
		one := Interval{Times: i.Times[j : j+1]}
		if _, err := one.compile(); err != nil {
			report(fmt.Sprintf("times[%d]", j), "%v: write {start_time: '02:00', end_time: '04:30'}, the end after the start and at most 24:00; a span over midnight is two", err)
		}
	}
	for _, p := range i.parts() {
		written = written || p.written && p.key != "location"
		if p.written && p.empty {
			report(p.key, "is empty, so it would never fit: write %s, or remove it", p.hint)
		}
		if _, err := p.interval.compile(); err != nil {
			report(p.key, "%v: write %s", err, p.hint)
		}
	}
	if !written {
		report("", "is always open: write times, weekdays, days_of_month, months or years")
	}
}

// compile lets Alertmanager's own code read the interval.
func (i *Interval) compile() (out timeinterval.TimeInterval, err error) {
	raw, err := json.Marshal(i)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("cannot be read (%s)", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	for _, m := range out.Months {
		if m.Begin < 1 || m.End > 12 {
			return out, errors.New("cannot be read (there are 12 months)")
		}
	}
	return out, nil
}

const not = "not"

// Ref names a window: it is open while the window is, or, after the word not, while the window is closed.
type Ref string

// Name returns the name of the window, and whether it is negated.
func (r Ref) Name() (name string, negated bool) {
	fields := strings.Fields(string(r))
	if len(fields) == 2 && fields[0] == not {
		return fields[1], true
	}
	return string(r), false
}

// Check reports a window that is not configured. "" is none and always open.
func (r Ref) Check(w Windows, key string, report report.Func) {
	name, _ := r.Name()
	if _, known := w[name]; r == "" || known {
		return
	}
	if len(w) == 0 {
		report(key, "%q is not a window, and there are none: write windows: {%s: [{times: [{start_time: '02:00', end_time: '04:00'}]}]} at the top", name, writable(name))
		return
	}
	report(key, "%q is not a window: write one of %s, or not and one of them", name, strings.Join(slices.Sorted(maps.Keys(w)), ", "))
}

// writable returns a name that can be written.
func writable(name string) string {
	if nameForm.MatchString(name) {
		return name
	}
	return "night"
}

// Hours is a window that is ready to be asked. The zero value is always open.
type Hours struct {
	ref       Ref
	negated   bool
	intervals []timeinterval.TimeInterval
}

// Hours returns the window that a Ref names. One that Check refuses is never open.
func (w Windows) Hours(r Ref) Hours {
	name, negated := r.Name()
	h := Hours{ref: r, negated: negated}
	for i := range w[name] {
		t, err := w[name][i].compile()
		if err != nil {
			return Hours{ref: r}
		}
		h.intervals = append(h.intervals, t)
	}
	if len(h.intervals) == 0 {
		h.negated = false
	}
	return h
}

// Open reports whether the window is open at a time.
func (h Hours) Open(now time.Time) bool {
	if h.ref == "" {
		return true
	}
	now = now.UTC()
	return h.negated != slices.ContainsFunc(h.intervals, func(t timeinterval.TimeInterval) bool { return t.ContainsTime(now) })
}

// String returns the window as it is written in the configuration.
func (h Hours) String() string { return string(h.ref) }

// Equal reports whether both are the same window of one configuration.
func (h Hours) Equal(other Hours) bool { return h.ref == other.ref }
