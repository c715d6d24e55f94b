package series

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	testGauge = NewGauge("test_used_bytes", "A windowed gauge.", "target").Windowed()
	testPlain = NewGauge("test_files", "A gauge.", "target", "dir")
	testTotal = NewCounter("test_starts_total", "A counter.", "target")
	testWide  = NewGauge("test_info", "A gauge of many labels.", "target", "mode", "source", "unit", "container", "pod", "namespace")
	epoch     = time.UnixMilli(1_700_000_000_000)
)

func commit(s *Store, b *Batch, now time.Time, set func(b *Batch)) {
	b.Reset(now)
	set(b)
	s.Commit(b)
}

func TestRingKeepsTheNewest(t *testing.T) {
	r := newRing(3, 0)
	for i := range 5 {
		r.push(int64(i), float64(i*i))
	}
	want := []Point{
		{Time: time.UnixMilli(2), Min: 4, Max: 4, Last: 4},
		{Time: time.UnixMilli(3), Min: 9, Max: 9, Last: 9},
		{Time: time.UnixMilli(4), Min: 16, Max: 16, Last: 16},
	}
	if diff := cmp.Diff(want, r.appendTo(nil)); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
	lowest, highest, ok := r.extent()
	if lowest != 4 || highest != 16 || !ok {
		t.Errorf("extent = %v, %v, %v, want 4, 16, true", lowest, highest, ok)
	}
}

func TestRingGathersASlotsSpan(t *testing.T) {
	r := newRing(2, 10*time.Second)
	for i, v := range []float64{5, 1, 9, 4} { // 0s, 4s, 8s in one slot, 12s in the next
		r.push(int64(i)*4000, v)
	}
	want := []Point{
		{Time: time.UnixMilli(8000), Min: 1, Max: 9, Last: 9},
		{Time: time.UnixMilli(12000), Min: 4, Max: 4, Last: 4},
	}
	if diff := cmp.Diff(want, r.appendTo(nil)); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
}

func TestStoreAbsentIsNotZero(t *testing.T) {
	s := NewStore(Options{})
	var b, other Batch
	commit(s, &b, epoch, func(b *Batch) {
		b.Set(testGauge, 7, "a")
		b.Set(testPlain, 0, "a", "tmp")
	})
	commit(s, &other, epoch, func(b *Batch) { b.Set(testTotal, 3, "a") })
	if v, at, ok := s.Value(testPlain, "a", "tmp"); v != 0 || !ok || !at.Equal(epoch) {
		t.Errorf("a real 0 = %v, %v, %v, want 0 at the batch's time", v, at, ok)
	}
	commit(s, &b, epoch.Add(time.Second), func(b *Batch) { b.Set(testGauge, 8, "a") })
	if v, _, ok := s.Value(testPlain, "a", "tmp"); ok {
		t.Errorf("a value that was not read again = %v, want it absent", v)
	}
	if _, _, ok := s.Value(testTotal, "a"); !ok {
		t.Error("another owner's series vanished with this one's batch")
	}
	names := make(map[string]float64)
	for _, sample := range s.Snapshot(nil) {
		names[fmt.Sprint(sample.Desc.Name, sample.Values)] = sample.Value
	}
	if diff := cmp.Diff(map[string]float64{"test_used_bytes[a]": 8, "test_starts_total[a]": 3}, names); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
}

func TestStoreNewOwnerTakesOver(t *testing.T) {
	s := NewStore(Options{})
	var before, after Batch
	commit(s, &before, epoch, func(b *Batch) {
		b.Set(testGauge, 1, "kept")
		b.Set(testGauge, 2, "gone")
	})
	commit(s, &after, epoch.Add(time.Second), func(b *Batch) { b.Set(testGauge, 3, "kept") })
	s.Forget(&before)
	if _, _, ok := s.Value(testGauge, "gone"); ok {
		t.Error("the old owner's series is still there")
	}
	if got := len(s.Points(nil, TierSample, testGauge, "kept")); got != 2 {
		t.Errorf("the ring that was taken over holds %d points, want 2", got)
	}
}

func TestStoreIsBounded(t *testing.T) {
	s := NewStore(Options{MaxSeries: 2})
	var b Batch
	commit(s, &b, epoch, func(b *Batch) {
		for i := range 5 {
			b.Set(testGauge, 1, fmt.Sprint(i))
		}
	})
	if held, dropped := s.Len(); held != 2 || dropped != 3 {
		t.Errorf("held %d, dropped %d, want 2 and 3", held, dropped)
	}
	commit(s, &b, epoch.Add(time.Hour), func(*Batch) {})
	s.ForgetOlder(epoch.Add(time.Minute))
	if held, _ := s.Len(); held != 0 {
		t.Errorf("%d series held after they were absent for an hour, want 0", held)
	}
}

func TestPointsSinceCut(t *testing.T) {
	s := NewStore(Options{})
	var b Batch
	for i := range 6 {
		commit(s, &b, epoch.Add(time.Duration(i)*time.Second), func(b *Batch) {
			b.Set(testGauge, float64(i), "a")
			if i == 4 {
				b.Cut()
			}
		})
	}
	if at := s.CutTime(testGauge, "a"); len(s.PointsSinceCut(nil, TierSample, testGauge, "a")) == 0 || !s.PointsSinceCut(nil, TierSample, testGauge, "a")[0].Time.Equal(at) {
		t.Errorf("cut at %s, want the first point since then", at)
	}
	if at := s.CutTime(testGauge, "none"); !at.IsZero() {
		t.Errorf("no series was cut at %s", at)
	}
	if got := len(s.PointsSinceCut(nil, TierSample, testGauge, "a")); got != 2 {
		t.Errorf("%d points since the cut, want 2", got)
	}
	if got := len(s.Points(nil, TierSample, testGauge, "a")); got != 6 {
		t.Errorf("%d points in all, want 6", got)
	}
}

func TestCutFromCutsTheRestOnly(t *testing.T) {
	s := NewStore(Options{})
	var b Batch
	for i := range 6 {
		commit(s, &b, epoch.Add(time.Duration(i)*time.Second), func(b *Batch) {
			b.Set(testGauge, float64(i), "a")
			n := b.Len()
			b.Set(testGauge, float64(i), "b")
			if i == 4 {
				b.CutFrom(n)
			}
		})
	}
	for target, want := range map[string]int{"a": 6, "b": 2} {
		if got := len(s.PointsSinceCut(nil, TierSample, testGauge, target)); got != want {
			t.Errorf("%s: %d points since the cut, want %d", target, got, want)
		}
	}
}

func TestNewLevellerGoesOnFromItsLevel(t *testing.T) {
	l := NewLeveller(LevelCritical, 0)
	thresholds := Thresholds{Warning: .7, Critical: .85, Emergency: .95}
	if got := l.Update(thresholds, .9, epoch); got != LevelCritical {
		t.Errorf("level after a sample that fits it = %v, want critical", got)
	}
}

func TestCommitAllocatesNothing(t *testing.T) {
	s := NewStore(Options{})
	var b Batch
	now := epoch
	tick := func() {
		now = now.Add(time.Second)
		b.Reset(now)
		b.Set(testGauge, 1, "a")
		b.Set(testPlain, 2, "a", "tmp")
		b.Set(testWide, 1, "a", "observe", "config", "u", "c", "p", "n")
		s.Commit(&b)
	}
	tick()
	if n := testing.AllocsPerRun(100, tick); n != 0 {
		t.Errorf("%v allocations per commit, want 0", n)
	}
}

// shape returns 100 points at 5 s of a function of seconds.
func shape(f func(seconds float64) float64) []Point {
	out := make([]Point, 100)
	for i := range out {
		v := f(float64(i * 5))
		out[i] = Point{Time: epoch.Add(time.Duration(i*5) * time.Second), Min: v, Max: v, Last: v}
	}
	return out
}

func TestGrowth(t *testing.T) {
	const mb = 1e6
	sawtooth := func(period float64) func(float64) float64 {
		return func(s float64) float64 { return 200*mb + math.Mod(s, period)/period*80*mb }
	}
	tests := []struct {
		name      string
		f         func(float64) float64
		want, tol float64
	}{
		{"flat", func(float64) float64 { return 100 * mb }, 0, 0},
		{"sawtooth of 30 s", sawtooth(30), 0, 0},
		{"sawtooth of 70 s", sawtooth(70), 0, 0},
		{"one spike", func(s float64) float64 {
			if s > 200 && s < 230 {
				return 400 * mb
			}
			return 100 * mb
		}, 0, 0},
		{"leak", func(s float64) float64 { return 100*mb + s*mb }, mb, 0.01 * mb},
		{"leak under a sawtooth", func(s float64) float64 { return sawtooth(30)(s) + s*mb }, mb, 0.25 * mb},
		{"falling", func(s float64) float64 { return 900*mb - s*mb }, -mb, 0.01 * mb},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := Growth(shape(tt.f))
			if !ok || math.Abs(got-tt.want) > tt.tol {
				t.Errorf("growth = %.0f B/s, %v, want %.0f ± %.0f", got, ok, tt.want, tt.tol)
			}
		})
	}
	if _, ok := Growth(shape(func(float64) float64 { return 1 })[:49]); ok {
		t.Error("49 points gave a trend, want none below 50")
	}
}

// Ten minima of pure noise reach tau 0.5 in about two of a hundred cases (Kendall 1938, table for
// n = 10); the estimate must not be worse than that.
func TestGrowthOfNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	false1000 := 0
	for range 1000 {
		got, _ := Growth(shape(func(float64) float64 { return 1e8 + rng.NormFloat64()*1e6 }))
		if got != 0 {
			false1000++
		}
	}
	if false1000 > 60 {
		t.Errorf("%d of 1000 series of noise have a trend, want at most 60", false1000)
	}
}

func TestExhaustion(t *testing.T) {
	f := func(used, limit, growth, want float64) {
		t.Helper()
		if got := Exhaustion(used, limit, growth); got != want {
			t.Errorf("Exhaustion(%v, %v, %v) = %v, want %v", used, limit, growth, got, want)
		}
	}
	f(50, 100, 2, 25)
	f(50, 100, 0, math.Inf(1))
	f(50, 100, -2, math.Inf(1))
	f(100, 100, 0, 0)
}

func TestLevelNames(t *testing.T) {
	for l := LevelNormal; l <= LevelEmergency; l++ {
		if back, ok := ParseLevel(l.String()); !ok || back != l {
			t.Errorf("ParseLevel(%q) = %v, %v, want %v", l.String(), back, ok, l)
		}
	}
	if _, ok := ParseLevel("panic"); ok {
		t.Error(`ParseLevel("panic") is known, want it refused`)
	}
}

// Series are distinguished by every label, also by those that the key holds together.
func TestEveryLabelCounts(t *testing.T) {
	for n := range MaxLabels + 1 {
		d := NewGauge("test_n", "A gauge.", []string{"target", "b", "c", "d", "e", "f", "g"}[:n]...)
		all := [][]string{slices.Repeat([]string{""}, n)}
		for i := range n {
			for _, v := range []string{"x", "1:", "0:0:"} {
				values := slices.Repeat([]string{""}, n)
				values[i] = v
				all = append(all, values)
			}
		}
		s := NewStore(Options{})
		var b Batch
		for round := range 3 {
			commit(s, &b, epoch, func(b *Batch) {
				for i, values := range all {
					b.Set(d, float64(round*100+i), values...)
				}
			})
			for i, values := range all {
				if v, _, ok := s.Value(d, values...); v != float64(round*100+i) || !ok {
					t.Errorf("%q = %v, %v, want %d", values, v, ok, round*100+i)
				}
			}
			slices.Reverse(all)
		}
		if held, _ := s.Len(); held != len(all) || len(s.Snapshot(nil)) != len(all) {
			t.Errorf("%d labels: %d series held, want %d", n, held, len(all))
		}
	}
}

// A series that was forgotten is new when it is set again, also where it is expected to come next, and in
// another store.
func TestForgottenIsNew(t *testing.T) {
	s := NewStore(Options{})
	var b Batch
	set := func(b *Batch) {
		b.Set(testGauge, 1, "a")
		b.Set(testGauge, 2, "b")
	}
	commit(s, &b, epoch, set)
	commit(s, &b, epoch.Add(time.Second), func(b *Batch) { b.Set(testGauge, 1, "a") })
	s.ForgetOlder(epoch.Add(time.Minute))
	commit(s, &b, epoch.Add(2*time.Second), set)
	if a, again := len(s.Points(nil, TierSample, testGauge, "a")), len(s.Points(nil, TierSample, testGauge, "b")); a != 3 || again != 1 {
		t.Errorf("%d and %d points, want 3 and 1", a, again)
	}
	s.Forget(&b)
	other := NewStore(Options{})
	for _, s := range []*Store{s, other} {
		commit(s, &b, epoch, set)
		if v, _, ok := s.Value(testGauge, "b"); v != 2 || !ok || len(s.Snapshot(nil)) != 2 {
			t.Errorf("b = %v, %v, %d series, want 2 and 2", v, ok, len(s.Snapshot(nil)))
		}
	}
	commit(s, &b, epoch.Add(time.Second), set)
	if n := len(other.Points(nil, TierSample, testGauge, "a")); n != 1 {
		t.Errorf("%d points in the other store, want 1", n)
	}
}

func BenchmarkCommit(b *testing.B) {
	s := NewStore(Options{})
	var batch Batch
	targets := make([]string, 20)
	for i := range targets {
		targets[i] = fmt.Sprintf("target-%02d", i)
	}
	now := epoch
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		batch.Reset(now)
		for _, name := range targets {
			batch.Set(testGauge, 1, name)
		}
		s.Commit(&batch)
	}
}

func TestSnapshotOf(t *testing.T) {
	s := NewStore(Options{})
	byTarget, byName, none := NewGauge("a", "A.", "target", "dir"), NewGauge("b", "B.", "name"), NewGauge("c", "C.")
	var b Batch
	b.Reset(time.Unix(1000, 0))
	b.Set(byTarget, 1, "x", "d")
	b.Set(byTarget, 2, "y", "d")
	b.Set(byName, 3, "x")
	b.Set(none, 4)
	s.Commit(&b)
	got := s.SnapshotOf(nil, "x")
	if len(got) != 1 || got[0].Desc != byTarget || got[0].Value != 1 || got[0].Values[1] != "d" {
		t.Errorf("snapshot of x: %+v", got)
	}
	b.Reset(time.Unix(1001, 0))
	s.Commit(&b)
	if got := s.SnapshotOf(nil, "x"); len(got) != 0 {
		t.Errorf("absent series: %+v", got)
	}
}
