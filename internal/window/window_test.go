package window

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04 MST", text)
	if err != nil {
		panic(err)
	}
	return t
}

var night = []Interval{{Times: []Range{{"22:00", "24:00"}, {"00:00", "04:30"}}}}

func TestOpen(t *testing.T) {
	w := Windows{
		"night":   night,
		"weekend": {{Weekdays: []string{"saturday", "sunday"}}, {Months: []string{"december"}, DaysOfMonth: []string{"24:26"}}},
		"zurich":  {{Times: []Range{{"02:00", "04:00"}}, Location: "Europe/Zurich"}},
		"last":    {{DaysOfMonth: []string{"-1"}, Years: []string{"2026:2027"}}},
		"broken":  {{Weekdays: []string{"someday"}}},
	}
	for _, tt := range []struct {
		ref  Ref
		now  string
		open bool
	}{
		{"", "2026-11-29 12:00 UTC", true},
		{"night", "2026-11-29 23:59 UTC", true},
		{"night", "2026-11-29 04:29 UTC", true},
		{"night", "2026-11-29 04:30 UTC", false},
		{"night", "2026-11-29 21:59 UTC", false},
		{"not night", "2026-11-29 21:59 UTC", true},
		{"not night", "2026-11-29 22:00 UTC", false},
		{"  not   night ", "2026-11-29 22:00 UTC", false},
		{"weekend", "2026-11-29 12:00 UTC", true}, // a Sunday
		{"weekend", "2026-11-30 00:00 UTC", false},
		{"weekend", "2026-12-25 12:00 UTC", true},
		{"last", "2026-11-30 12:00 UTC", true},
		{"last", "2026-11-29 12:00 UTC", false},
		{"last", "2028-11-30 12:00 UTC", false},
		{"zurich", "2026-07-01 00:30 UTC", true}, // summer: UTC+2
		{"zurich", "2026-07-01 02:30 UTC", false},
		{"zurich", "2026-01-01 02:30 UTC", true},  // winter: UTC+1
		{"zurich", "2026-03-29 01:30 UTC", true},  // the clock goes from 02:00 to 03:00
		{"zurich", "2026-03-29 00:59 UTC", false}, // 01:59
		{"unknown", "2026-11-29 12:00 UTC", false},
		{"not unknown", "2026-11-29 12:00 UTC", false},
		{"not broken", "2026-11-29 12:00 UTC", false},
	} {
		if got := w.Hours(tt.ref).Open(at(tt.now)); got != tt.open {
			t.Errorf("%q at %s: open %v, want %v", tt.ref, tt.now, got, tt.open)
		}
	}
	if got := w.Hours("not night").String(); got != "not night" {
		t.Errorf("%q", got)
	}
}

// TestOppositesExclude: at each minute of a year exactly one of a window and its opposite is open.
func TestOppositesExclude(t *testing.T) {
	w := Windows{"night": night}
	in, out := w.Hours("night"), w.Hours("not night")
	for now := at("2026-01-01 00:00 UTC"); now.Year() == 2026; now = now.Add(7 * time.Minute) {
		if in.Open(now) == out.Open(now) {
			t.Fatalf("both at %s", now)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		w    Windows
		want []string // key and the beginning of the message
	}{
		{"right", Windows{"night": night, "x": {{Years: []string{"2026"}, Location: "Local"}}}, nil},
		{"name", Windows{"a b": night, "not": night}, []string{`a b: "a b" is not a name`, `not: "not" is not a name`}},
		{"nothing", Windows{"n": nil}, []string{"n: has no intervals, so it would never be open"}},
		{"always", Windows{"n": {{}, {Location: "UTC"}}}, []string{"n[0]: is always open", "n[1]: is always open"}},
		{"times", Windows{"n": {{Times: []Range{{"22:00", "04:00"}, {"2", "3"}, {"", ""}}}}}, []string{"n[0].times[0]: cannot be read (", "n[0].times[1]: cannot be read (", "n[0].times[2]: cannot be read ("}},
		{"all", Windows{"n": {{Weekdays: []string{"someday"}, DaysOfMonth: []string{"0"}, Months: []string{"13"}, Years: []string{"x"}, Location: "Atlantis/Center"}}}, []string{
			"n[0].weekdays: cannot be read (", "n[0].days_of_month: cannot be read (", "n[0].months: cannot be read (", "n[0].years: cannot be read (", "n[0].location: cannot be read (",
		}},
		{"empty", Windows{"n": {{Times: []Range{}, Months: []string{}}}}, []string{"n[0].times: is empty", "n[0].months: is empty"}},
		{"many", Windows{"n": slices.Repeat(night, maxIntervals+1)}, []string{"n: 51 intervals are too many"}},
	} {
		var got []string
		tt.w.Validate(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		for _, msg := range got {
			if !strings.Contains(msg, ": write ") {
				t.Errorf("%s: %q does not say what to write", tt.name, msg)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	f := func(ref Ref, w Windows, want string) {
		t.Helper()
		got := ""
		ref.Check(w, "k", func(key, format string, args ...any) { got = key + ": " + fmt.Sprintf(format, args...) })
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: %q, want %q", ref, got, want)
		}
	}
	w := Windows{"night": night}
	f("", nil, "")
	f("night", w, "")
	f("not night", w, "")
	f("nights", w, `k: "nights" is not a window: write one of night, or not`)
	f("not nights", w, `k: "nights" is not a window`)
	f("night", nil, `k: "night" is not a window, and there are none: write windows: {night: `)
}
