package series

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// recentOf pushes the readings of a function of seconds, every so often for so long.
func recentOf(every, length time.Duration, f func(seconds float64) float64) *Recent {
	var r Recent
	for at := time.Duration(0); at <= length; at += every {
		r.Push(epoch.Add(at), f(at.Seconds()))
	}
	return &r
}

func TestRecentGrowth(t *testing.T) {
	const mb = 1e6
	tests := []struct {
		name          string
		every, length time.Duration
		f             func(float64) float64
		want, tol     float64
		ok            bool
	}{
		{"flat", 50 * time.Millisecond, 10 * time.Second, func(float64) float64 { return 100 * mb }, 0, 0, true},
		{"a leak", 50 * time.Millisecond, 10 * time.Second, func(s float64) float64 { return s * 17 * mb }, 17 * mb, 1, true},
		{"a leak read once a second", time.Second, 10 * time.Second, func(s float64) float64 { return s * 17 * mb }, 17 * mb, 1, true},
		{"three readings", 50 * time.Millisecond, 100 * time.Millisecond, func(s float64) float64 { return s * mb }, mb, 1, true},
		{"two readings", 50 * time.Millisecond, 50 * time.Millisecond, func(s float64) float64 { return s * mb }, 0, 0, false},
		{"three within 90 ms", 45 * time.Millisecond, 90 * time.Millisecond, func(s float64) float64 { return s * mb }, 0, 0, false},
		{"once in 5 s", 5 * time.Second, time.Minute, func(s float64) float64 { return s * mb }, 0, 0, false},
		{"falling", 50 * time.Millisecond, 10 * time.Second, func(s float64) float64 { return -s * mb }, -mb, 1, true},
		{"a rise that has ended", 50 * time.Millisecond, 3 * time.Second, func(s float64) float64 { return min(s, 1) * 1000 * mb }, 0, 1, true},
		{"a step a while ago", 50 * time.Millisecond, 3 * time.Second, func(s float64) float64 {
			if s < 1.01 {
				return 0
			}
			return 1000 * mb
		}, 0, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := recentOf(tt.every, tt.length, tt.f).Growth()
			if ok != tt.ok || math.Abs(got-tt.want) > tt.tol {
				t.Errorf("growth %.0f, %v, want %.0f ± %.0f, %v", got, ok, tt.want, tt.tol, tt.ok)
			}
		})
	}
}

// TestRecentIsThatOfALine: whatever the spacing, a line has its slope, and what is not newer, or was
// before a Reset, does not count.
func TestRecentIsThatOfALine(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		var r Recent
		slope := (rng.Float64() - .5) * 1e9
		for range rng.IntN(100) {
			r.Push(epoch.Add(time.Duration(rng.IntN(1e9))), rng.Float64()*1e9)
		}
		r.Reset()
		at := time.Duration(0)
		for range 3 + rng.IntN(200) {
			at += time.Duration(50+rng.IntN(950)) * time.Millisecond
			r.Push(epoch.Add(at), 1e9+slope*at.Seconds())
			r.Push(epoch.Add(at-time.Duration(rng.IntN(2e9))), 0)
		}
		if got, ok := r.Growth(); !ok || math.Abs(got-slope) > 1e-3*math.Abs(slope)+1 {
			t.Fatalf("growth %v, %v, want %v", got, ok, slope)
		}
	}
}

func TestRecentAllocatesNothing(t *testing.T) {
	var r Recent
	at := epoch
	if n := testing.AllocsPerRun(200, func() {
		at = at.Add(50 * time.Millisecond)
		r.Push(at, 1)
		r.Growth()
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkRecentGrowth(b *testing.B) {
	r := recentOf(50*time.Millisecond, 10*time.Second, func(s float64) float64 { return s })
	for b.Loop() {
		r.Growth()
	}
}
