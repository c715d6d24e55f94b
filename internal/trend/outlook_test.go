package trend

import (
	"math"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) // a Monday

// TestCombine: what is known between days counts, unless it would be too late for it.
func TestCombine(t *testing.T) {
	const hour = 3600.0
	slow := Outlook{Estimate: Estimate{Known: true, Growing: true, PerSecond: 10 * mib / hour, Confidence: .9, Days: 7, steepest: 30 * mib / hour}, Limit: gib}
	slow.At = noon.Add(5 * time.Hour)
	flat := Outlook{Estimate: Estimate{Known: true, PerSecond: mib / hour, Confidence: .9, Days: 7, steepest: 30 * mib / hour}}
	tests := []struct {
		name        string
		o           Outlook
		short       float64 // MiB per hour
		known       bool
		used, limit float64 // MiB
		want        Growth
		ok          bool
	}{
		{"nothing is known", Outlook{}, 0, false, 100, 1024, Growth{}, false},
		{"only the last hours", Outlook{Estimate: Estimate{Days: 1}}, 36, true, 100, 1000, Growth{36, .2, 25 * hour}, true},
		{"only the last hours, and no limit", Outlook{}, 36, true, 100, 0, Growth{36, .1, math.Inf(1)}, true},
		{"the rhythm of the day explains it", flat, 30, true, 500, 1024, Growth{0, .9, math.Inf(1)}, true},
		{"no rhythm explains it", flat, 200, true, 500, 1024, Growth{200, Sure, 524. / 200 * hour}, true},
		{"no rhythm explains it, and it is far from the limit", flat, 61, true, 100, 10240, Growth{0, .9, math.Inf(1)}, true},
		{"within an hour, rhythm or not", flat, 30, true, 1000, 1024, Growth{30, .3, .8 * hour}, true},
		{"the leak, as it was judged", slow, 0, true, 500, 1024, Growth{10, .9, 5 * hour}, true},
		{"the last hours are not known", slow, 0, false, 500, 1024, Growth{10, .9, 5 * hour}, true},
		{"the limit is another one since", slow, 0, true, 500, 600, Growth{10, .9, 10 * hour}, true},
		{"it is full", slow, 0, true, 1100, 1024, Growth{10, .9, 0}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.o.Combine(noon, tt.short*mib/hour, tt.known, tt.used*mib, tt.limit*mib)
			got.PerSecond *= hour / mib
			near := func(a, b float64) bool { return a == b || math.Abs(a-b) < 1e-6*math.Abs(b) }
			if ok != tt.ok || !near(got.PerSecond, tt.want.PerSecond) || !near(got.Confidence, tt.want.Confidence) || !near(got.Exhaustion, tt.want.Exhaustion) {
				t.Errorf("%+v, %v, want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestSentences(t *testing.T) {
	rate := func(mibPerHour float64) Rate {
		return Rate{Known: true, Growing: mibPerHour > 0, PerSecond: mibPerHour * mib / 3600}
	}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC) }
	grows := Estimate{Known: true, Growing: true, PerSecond: 12 * mib / 3600}
	build := Build{Since: at(23, 9, 0), Now: rate(12), Before: rate(0)}
	tests := []struct {
		name string
		o    Outlook
		want []string
	}{
		{"nothing", Outlook{}, nil},
		{"flat", Outlook{Estimate: Estimate{Known: true, Confidence: 1}}, nil},
		{"it shrinks", Outlook{Estimate: Estimate{Known: true, Growing: true, PerSecond: -5}}, nil},
		{"without a limit", Outlook{Estimate: grows}, []string{"It grows by 12MiB/h, judged by the same time of day on other days."}},
		{
			"with one",
			Outlook{Estimate: grows, Forecast: Forecast{at(24, 3, 40), at(24, 2, 50), at(24, 5, 10)}},
			[]string{"It grows by 12MiB/h and reaches its limit on Tuesday about 03:40 UTC (between 02:50 and 05:10)."},
		},
		{
			"over days",
			Outlook{Estimate: grows, Forecast: Forecast{at(26, 3, 40), at(25, 22, 50), at(30, 5, 10)}},
			[]string{"It grows by 12MiB/h and reaches its limit on Thursday about 03:40 UTC (between Wednesday 22:50 and 30 November 05:10)."},
		},
		{
			"without an end",
			Outlook{Estimate: grows, Forecast: Forecast{At: at(24, 3, 40), Earliest: at(24, 2, 50)}},
			[]string{"It grows by 12MiB/h and reaches its limit on Tuesday about 03:40 UTC (02:50 at the earliest)."},
		},
		{"another build", Outlook{Build: build}, []string{"Since the build of Monday it leaks 12MiB/h, before it did not."}},
		{"both leak", Outlook{Build: Build{build.Since, rate(12), rate(3)}}, []string{"Since the build of Monday it leaks 12MiB/h, before it leaked 3MiB/h."}},
		{"the build before leaked", Outlook{Build: Build{at(2, 9, 0), rate(0), rate(3)}}, []string{"Since the build of 2 November it no longer leaks, before it leaked 3MiB/h."}},
		{"neither leaks", Outlook{Build: Build{build.Since, rate(0), rate(0)}}, nil},
		{"the build before is not known", Outlook{Build: Build{Since: build.Since, Now: rate(12)}}, nil},
	}
	for _, tt := range tests {
		if got := tt.o.Sentences(noon); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
