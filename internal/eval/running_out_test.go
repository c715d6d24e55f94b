package eval

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// play lets the memory of a service go as a function of the time says, reads it as the sampler does
// (every second, 20 times a second where it is near), and returns what was sent, with the ratio then.
func play(t *testing.T, age time.Duration, span time.Duration, ratio func(seconds float64) float64) (sent []string, at []float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, loadBundle(t), nil)
		defer r.stop()
		const limit = 1 << 30
		began := time.Now()
		var recent series.Recent
		level := series.NewLeveller(series.LevelNormal, time.Second)
		for since := time.Duration(0); since < span; {
			v := ratio(since.Seconds())
			recent.Push(time.Now(), v)
			before := level.Level()
			after := level.Update(testThresholds, v, time.Now())
			r.commit("app", time.Now(), func(b *series.Batch) {
				b.Set(metric.MemoryUsed, v*limit, "app")
				b.Set(metric.MemoryLimit, limit, "app")
				b.Set(metric.MemoryUsedRatio, v, "app")
				b.Set(metric.MemoryLevel, float64(after), "app")
				b.Set(metric.ProcessOldestStart, float64(began.Add(-age).Unix()), "app")
				if g, ok := recent.Growth(); ok {
					b.Set(metric.MemoryFastGrowth, g*limit, "app")
				}
			})
			if before != after {
				r.Cross("app", time.Now())
			}
			if since%time.Second == 0 {
				r.Kick()
			}
			for _, s := range r.heard() {
				sent, at = append(sent, s), append(at, v)
			}
			step := time.Second - since%time.Second
			if v > .6 {
				step = min(step, 50*time.Millisecond)
			}
			since += step
			<-time.After(step) // of the bubble
		}
	})
	return sent, at
}

// firstOf returns at which ratio an alert fired first; NaN where it did not.
func firstOf(sent []string, at []float64, name string) float64 {
	for i, s := range sent {
		if strings.HasPrefix(s, "firing "+name+" ") {
			return at[i]
		}
	}
	return math.NaN()
}

// TestRunningOut: a leak is seen before the emergency, at any speed that leaves time; what only looks
// like one is left alone.
func TestRunningOut(t *testing.T) {
	leak := func(start, perSecond float64) func(float64) float64 {
		return func(s float64) float64 { return min(.1+max(s-start, 0)*perSecond, 1) }
	}
	for _, tc := range []struct {
		name  string
		age   time.Duration
		ratio func(seconds float64) float64
		below float64 // it fires below this ratio; 0: not at all
	}{
		{"5 MB/s of 400 MB", time.Hour, leak(75, 5./400), .75},
		{"17 MB/s of 400 MB", time.Hour, leak(75, 17./400), .76},
		{"100 MB/s of 400 MB", time.Hour, leak(75, 100./400), .88},
		{"1 MB/s of 400 MB", time.Hour, leak(75, 1./400), 0}, // there is time for critical
		{"a plateau", time.Hour, func(float64) float64 { return .93 }, 0},
		{"a batch job of a second far from the limit", time.Hour, func(s float64) float64 { return .66 + min(max(s-100, 0), 1)/16 }, 0},
		{"a batch job of three seconds", time.Hour, func(s float64) float64 { return .5 + min(max(s-100, 0), 3)*.08 }, 0},
		{"a sawtooth of 20 s", time.Hour, func(s float64) float64 { return sawtooth(s, 20) }, 0},
		{"a sawtooth of 40 s", time.Hour, func(s float64) float64 { return sawtooth(s, 40) }, 0},
		{"a sawtooth of 3 s", time.Hour, func(s float64) float64 { return sawtooth(s, 3) }, 0},
		{"a sawtooth that becomes a leak", time.Hour, func(s float64) float64 {
			if s < 100 {
				return sawtooth(s, 20)
			}
			return min(.6+(s-100)*.02, 1)
		}, .89},
		{"17 MB/s in steps of a second", time.Hour, func(s float64) float64 { return leak(75, 17./400)(math.Floor(s)) }, .87},
		{"a leak after a restart", 0, leak(5, 17./400), .76},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sent, at := play(t, tc.age, 3*time.Minute, tc.ratio)
			got := firstOf(sent, at, "SpillwayMemoryRunningOut")
			switch {
			case tc.below == 0 && !math.IsNaN(got):
				t.Errorf("a false alarm at %.3f: %v", got, sent)
			case tc.below > 0 && !(got < tc.below):
				t.Errorf("it fires at %.3f, want below %.3f: %v", got, tc.below, sent)
			}
		})
	}
}

// sawtooth rises from 55 % to 84 % and falls at once; its peaks vary by a point.
func sawtooth(s, period float64) float64 {
	n := math.Floor(s / period)
	return .55 + (.28+.01*math.Mod(n*7, 3)/2)*(s/period-n)
}
