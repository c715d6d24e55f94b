package trend

import (
	"math"
	"testing"
	"time"
)

const firstHour = int64(494000)

// hoursOf are hours of which f is the memory in MiB.
func hoursOf(n int, f func(hour float64) float64) []Hour {
	out := make([]Hour, n)
	for i := range out {
		v := f(float64(i)) * mib
		out[i] = Hour{firstHour + int64(i), v, v + 5*mib}
	}
	return out
}

// breath is a swing of a day.
func breath(hour, swing float64) float64 { return swing * (1 + math.Sin(2*math.Pi*hour/day)) / 2 }

// TestOf: what is growth, and what only looks like it.
func TestOf(t *testing.T) {
	tests := []struct {
		name  string
		hours int
		f     func(h float64) float64
		want  float64 // MiB per hour; 0: not growing
		known bool
	}{
		{"a day and 21 hours say nothing", 45, func(h float64) float64 { return 500 + 10*h }, 0, false},
		{"two days", 47, func(h float64) float64 { return 500 + 10*h }, 10, true},
		{"it shrinks", 100, func(h float64) float64 { return 5000 - 10*h }, -10, true},
		{"a leak under a swing", 200, func(h float64) float64 { return 500 + 10*h + breath(h, 300) }, 10, true},
		{"a service that warms up for half a day", 60, func(h float64) float64 { return 500 + 300*(1-math.Exp(-h/3)) }, 0, true},
		{"another way to count, in the middle", 240, func(h float64) float64 { return 500 + 400*math.Floor(h/120) + breath(h, 100) }, 0, true},
		{"another way to count, yesterday", 72, func(h float64) float64 { return 500 + 400*math.Floor(h/60) + breath(h, 100) }, 0, true},
		{"a leak that has ended", 240, func(h float64) float64 { return 500 + 10*min(h, 120) }, 0, true},
		{"a leak that began after a week", 240, func(h float64) float64 { return 500 + 20*max(h-168, 0) + breath(h, 100) }, 20, true},
		{"a batch job each night", 200, func(h float64) float64 { return 500 + 900*max(0, math.Cos(2*math.Pi*h/day)-.9) }, 0, true},
		{"a little more each day", 300, func(h float64) float64 { return 5000 + .1*h }, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := Of(hoursOf(tt.hours, tt.f))
			if got := e.PerSecond * 3600 / mib; e.Known != tt.known || e.Growing != (tt.want != 0) || e.Growing && math.Abs(got-tt.want) > .05*math.Abs(tt.want) {
				t.Errorf("growing %v by %.2f MiB/h ± %.2f, known %v, confidence %.2f, want %v, known %v", e.Growing, got, e.Bound*3600/mib, e.Known, e.Confidence, tt.want, tt.known)
			}
			if e.Confidence < 0 || e.Confidence > 1 || e.Growing && e.Confidence < Sure || e.Days < 7 && e.Confidence > mostWithoutWeek {
				t.Errorf("confidence %v of %v days", e.Confidence, e.Days)
			}
			if e.Growth() != 0 && !e.Growing && !e.Likely {
				t.Errorf("growth %v of what does not grow", e.Growth())
			}
		})
	}
}

// TestOfGaps: hours in which nothing was measured are missing, and change nothing.
func TestOfGaps(t *testing.T) {
	all := hoursOf(240, func(h float64) float64 { return 500 + 10*h + breath(h, 200) })
	var some []Hour
	for i, h := range all {
		if i%7 != 3 && (i < 100 || i > 130) {
			some = append(some, h)
		}
	}
	if e := Of(some); !e.Growing || math.Abs(e.PerSecond*3600/mib-10) > .2 {
		t.Errorf("%+v", e)
	}
	if e := Of(nil); e.Known || e.Growing || e.Confidence != 0 {
		t.Errorf("of nothing: %+v", e)
	}
}

// TestReaches: the limit is reached at the height of a day.
func TestReaches(t *testing.T) {
	hours := hoursOf(240, func(h float64) float64 { return 500 + 10*h + breath(h, 300) })
	e := Of(hours)
	now := time.Unix((firstHour+240)*3600, 0)
	f := e.Reaches(4000*mib, now)
	want := 0.0 // the first hour of which the height is above
	for h := 240.0; 505+10*h+breath(h, 300) < 4000; h += .1 {
		want = h
	}
	at := f.At.Sub(now).Hours() + 240
	if math.Abs(at-want) > 2 || f.Earliest.After(f.At) || f.Latest.Before(f.At) {
		t.Errorf("reached after %.1f h (%v to %v), want %.1f", at, f.Earliest, f.Latest, want)
	}
	if f := e.Reaches(100*gib, now); f != (Forecast{}) {
		t.Errorf("what takes a year has the forecast %+v", f)
	}
	if f := e.Reaches(100*mib, now); !f.At.Equal(now) {
		t.Errorf("what is above already is reached at %v, want now", f.At)
	}
	flat := Of(hoursOf(240, func(h float64) float64 { return 500 + breath(h, 300) }))
	if f := flat.Reaches(700*mib, now); f != (Forecast{}) {
		t.Errorf("what does not grow has the forecast %+v", f)
	}
}

// BenchmarkJudge is two weeks of one target, as every five minutes.
func BenchmarkJudge(b *testing.B) {
	hours := hoursOf(Most, func(h float64) float64 { return 500 + 10*h + breath(h, 300) })
	now := time.Unix((firstHour+Most)*3600, 0)
	b.ReportAllocs()
	for b.Loop() {
		if e := Of(hours); e.Reaches(16*gib, now).At.IsZero() {
			b.Fatal("no forecast")
		}
	}
}
