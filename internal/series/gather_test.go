package series

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func gathering5m() *Store {
	s := NewStore(Options{})
	s.GatherEvery(5*time.Minute, func(d *Desc) bool { return d.Window })
	return s
}

// TestGather: each step has the extremes and the mean of the readings in it, those between two sweeps too, and
// is returned once, when it has ended.
func TestGather(t *testing.T) {
	s := gathering5m()
	var b, fast Batch
	start := epoch.Truncate(5 * time.Minute)
	rng := rand.New(rand.NewPCG(8, 8))
	var want []Gathered
	for step := range 20 {
		begin := start.Add(time.Duration(step) * 5 * time.Minute)
		lowest, highest := 1e9, -1e9
		for i := range 60 {
			at := begin.Add(time.Duration(i) * 5 * time.Second)
			v := 10.0 // on the mean over time, whatever is read in between
			if i%2 == 1 {
				v = 20
			}
			b.Reset(at)
			b.Set(testGauge, v, "a")
			b.Set(testPlain, v, "a", "x")
			s.Commit(&b)
			lowest, highest = min(lowest, v), max(highest, v)
			if i == 30 {
				fast.Reset(at.Add(time.Millisecond))
				fast.Set(testGauge, 100*rng.Float64(), "a")
				s.Refine(&b, &fast)
				f, _, _ := s.Value(testGauge, "a")
				lowest, highest = min(lowest, f), max(highest, f)
			}
			if got := s.Gather(nil, at, false); (i == 0 && step > 0) != (len(got) == 1) {
				t.Fatalf("step %d, reading %d: %v was returned", step, i, got)
			} else if len(got) == 1 {
				if m := got[0].Mean; m < 14.9 || m > 15.1 {
					t.Errorf("step %d: mean %v, want 15", step-1, m)
				}
				got[0].Mean = 0
				if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *Desc) bool { return a == b })); diff != "" {
					t.Fatalf("step %d (-want +got):\n%s", step-1, diff)
				}
			}
		}
		want = []Gathered{{Desc: testGauge, Values: []string{"a"}, Time: begin, Min: lowest, Max: highest}}
	}
	if got := s.Gather(nil, b.Time, true); len(got) != 1 || len(s.Gather(nil, b.Time, true)) != 0 {
		t.Errorf("%v of the step that is under way, want it once", got)
	}
	s.GatherEvery(time.Minute, nil)
	b.Reset(b.Time.Add(time.Hour))
	b.Set(testGauge, 1, "a")
	s.Commit(&b)
	if got := s.Gather(nil, b.Time, true); len(got) != 0 {
		t.Errorf("%v is gathered although that was ended", got)
	}
}

// TestGatherMeanIsByTime: readings that come more often while the value is high do not count for more.
func TestGatherMeanIsByTime(t *testing.T) {
	s := gathering5m()
	var b Batch
	start := epoch.Truncate(5 * time.Minute)
	for at := start; at.Before(start.Add(5 * time.Minute)); {
		v, pace := 0.0, 5*time.Second
		if at.Sub(start) >= 150*time.Second {
			v, pace = 1, 50*time.Millisecond
		}
		b.Reset(at)
		b.Set(testGauge, v, "a")
		s.Commit(&b)
		at = at.Add(pace)
	}
	if got := s.Gather(nil, start.Add(5*time.Minute), false); len(got) != 1 || got[0].Mean < .45 || got[0].Mean > .55 {
		t.Errorf("%+v, want a mean of one half", got)
	}
}

// TestFresh: each gathered series is returned once, when it is there.
func TestFresh(t *testing.T) {
	s := gathering5m()
	var b Batch
	var got []string
	for _, names := range [][]string{{"a"}, {"a", "b"}, {}, {"b", "c"}} {
		b.Reset(epoch)
		b.Set(testPlain, 1, "a", "x")
		for _, n := range names {
			b.Set(testGauge, 1, n)
		}
		s.Commit(&b)
		for _, f := range s.Fresh(nil) {
			got = append(got, f.Values[0])
		}
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPast: points of before stand in front of what the rings of the longer tiers hold, at their own time; the
// rings are as long as ever, and trends do not reach back over the cut.
func TestPast(t *testing.T) {
	s := NewStore(Options{Window: 30})
	var b Batch
	now := epoch.Truncate(5 * time.Minute)
	for i := range 40 {
		b.Reset(now.Add(time.Duration(i) * 5 * time.Second))
		b.Set(testGauge, 1000+float64(i), "a")
		s.Commit(&b)
	}
	var past []Point
	for i := range 39 {
		past = append(past, Point{Time: now.Add(time.Duration(i-39) * 5 * time.Minute), Min: float64(i), Max: float64(i) + 2, Last: float64(i) + 1})
	}
	single := s.Points(nil, TierSample, testGauge, "a")
	own := s.Points(nil, TierMedium, testGauge, "a")
	s.Past(past, now.Add(-time.Hour), testGauge, "a")
	got := s.Points(nil, TierMedium, testGauge, "a")
	if diff := cmp.Diff(append(slices.Clone(past[39-30+len(own):39]), own...), got); diff != "" {
		t.Errorf("medium tier (-want +got):\n%s", diff)
	}
	for _, p := range s.PointsSinceCut(nil, TierMedium, testGauge, "a") {
		if p.Time.Before(now.Add(-time.Hour)) {
			t.Errorf("%v is before the cut", p.Time)
		}
	}
	long := s.Points(nil, TierLong, testGauge, "a")
	if n := len(long); n < 7 || n > 9 || long[n-2].Max-long[n-2].Min < 2 {
		t.Errorf("%d slots of 25 min, the last whole one %+v", n, long[n-2])
	}
	if diff := cmp.Diff(single, s.Points(nil, TierSample, testGauge, "a")); diff != "" {
		t.Errorf("single samples (-want +got):\n%s", diff)
	}
	s.Past(past, now, testGauge, "none")
	if _, _, ok := s.Value(testGauge, "none"); ok {
		t.Error("a series that no one reads was made")
	}
}

// TestGrowthOfMixedPoints: points that summarise five minutes, followed by those of 75 s, have the growth of
// the line below them, and a sawtooth has none.
func TestGrowthOfMixedPoints(t *testing.T) {
	mixed := func(f func(s float64) float64) (out []Point) {
		for at := time.Duration(0); at < 2*time.Hour; {
			step := 5 * time.Minute
			if at >= time.Hour {
				step = 75 * time.Second
			}
			p := Point{Time: epoch.Add(at + step/2), Min: f(at.Seconds()), Max: f(at.Seconds())}
			for end := at + step; at < end; at += 5 * time.Second {
				v := f(at.Seconds())
				p.Min, p.Max, p.Last = min(p.Min, v), max(p.Max, v), v
			}
			out = append(out, p)
		}
		return out
	}
	if got, ok := GrowthOver(mixed(func(s float64) float64 { return 50 * s }), time.Hour); !ok || got < 48 || got > 52 {
		t.Errorf("growth %v, %v, want 50", got, ok)
	}
	for period := 100.0; period < 900; period += 50 { // a collection at least every quarter of an hour
		if got, ok := GrowthOver(mixed(func(s float64) float64 { return 1e6 + float64(int(s)%int(period)) }), time.Hour); !ok || got > .02 {
			t.Errorf("growth %v, %v of a sawtooth of %v s, want none", got, ok, period)
		}
	}
	if _, ok := GrowthOver(mixed(func(s float64) float64 { return s })[:11], time.Hour); ok {
		t.Error("a growth over less than an hour")
	}
	backwards := mixed(func(s float64) float64 { return s })
	slices.Reverse(backwards)
	GrowthOver(append(mixed(func(s float64) float64 { return s }), backwards...), time.Hour) // does not fail
}

// TestGatheringAllocatesNothing: it is part of each sweep.
func TestGatheringAllocatesNothing(t *testing.T) {
	s := gathering5m()
	var b Batch
	now := epoch
	if n := testing.AllocsPerRun(200, func() {
		now = now.Add(5 * time.Second)
		b.Reset(now)
		b.Set(testGauge, 1, "a")
		s.Commit(&b)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
