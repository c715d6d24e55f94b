package series

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRingAgainstAList: a ring is the end of an unbounded list of slots, whatever is pushed: bursts within
// one span, gaps and a clock that is set back.
func TestRingAgainstAList(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		size, span := 1+rng.IntN(8), time.Duration(rng.IntN(4))*time.Second
		r := newRing(size, span)
		if _, _, ok := r.extent(); ok || r.newest() != nil {
			t.Fatal("an empty ring has an extent or a newest slot")
		}
		var list []slot
		ms := epoch.UnixMilli()
		for range rng.IntN(40) {
			ms += rng.Int64N(3000) - 700
			v := float64(rng.IntN(9) - 4)
			r.push(ms, v)
			if n := len(list); n > 0 && span > 0 && list[n-1].ms/span.Milliseconds() == ms/span.Milliseconds() {
				last := &list[n-1]
				*last = slot{ms, min(last.min, v), max(last.max, v), v}
			} else {
				list = append(list, slot{ms, v, v, v})
			}
			kept := list[max(0, len(list)-size):]
			var want []Point
			lowest, highest := math.Inf(1), math.Inf(-1)
			for _, s := range kept {
				want = append(want, Point{Time: time.UnixMilli(s.ms), Min: s.min, Max: s.max, Last: s.last})
				lowest, highest = min(lowest, s.min), max(highest, s.max)
			}
			if diff := cmp.Diff(want, r.appendTo(nil)); diff != "" {
				t.Fatalf("%d slots of %v (-want +got):\n%s", size, span, diff)
			}
			if gotLow, gotHigh, ok := r.extent(); gotLow != lowest || gotHigh != highest || !ok {
				t.Fatalf("extent %v to %v, %v, want %v to %v", gotLow, gotHigh, ok, lowest, highest)
			}
		}
	}
}

// TestStoreAgainstAMap: the newest values are those of each owner's newest batch, in whatever order
// owners commit, take over, hide and forget.
func TestStoreAgainstAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	type held struct {
		owner  int
		value  float64
		hidden bool
	}
	for range 200 {
		s := NewStore(Options{Window: 3})
		owners := make([]Batch, 3)
		want := make(map[string]held)
		for step := range 30 {
			o := rng.IntN(len(owners))
			b := &owners[o]
			hideAll := func() {
				for name, h := range want {
					if h.owner == o {
						h.hidden = true
						want[name] = h
					}
				}
			}
			switch rng.IntN(6) {
			case 0:
				s.Hide(b)
				hideAll()
			case 1:
				s.Forget(b)
				for name, h := range want {
					if h.owner == o {
						delete(want, name)
					}
				}
			default:
				hideAll()
				commit(s, b, epoch.Add(time.Duration(step)*time.Second), func(b *Batch) {
					for _, name := range []string{"a", "b", "c", "d"} {
						if rng.IntN(2) == 0 {
							v := rng.Float64()
							b.Set(testGauge, v, name)
							want[name] = held{owner: o, value: v}
						}
					}
				})
			}
			present := 0
			for _, name := range []string{"a", "b", "c", "d"} {
				h, known := want[name]
				v, _, ok := s.Value(testGauge, name)
				if ok != (known && !h.hidden) || ok && v != h.value {
					t.Fatalf("%s = %v, %v, want %+v, %v", name, v, ok, h, known)
				}
				if ok {
					present++
				}
			}
			if held, dropped := s.Len(); held != len(want) || dropped != 0 || len(s.Snapshot(nil)) != present {
				t.Fatalf("%d held, %d dropped, %d in the snapshot, want %d, 0, %d", held, dropped, len(s.Snapshot(nil)), len(want), present)
			}
		}
	}
}

// TestHideKeepsTheRings: over a reload a series is absent, and its past is there again with its next
// value.
func TestHideKeepsTheRings(t *testing.T) {
	s := NewStore(Options{})
	var before, after Batch
	commit(s, &before, epoch, func(b *Batch) { b.Set(testGauge, 5, "a") })
	s.Hide(&before)
	if _, _, ok := s.Value(testGauge, "a"); ok || len(s.Snapshot(nil)) != 0 {
		t.Error("a hidden series is present")
	}
	commit(s, &after, epoch.Add(time.Second), func(b *Batch) { b.Set(testGauge, 9, "a") })
	if lowest, highest, ok := s.Extent(testGauge, "a"); lowest != 5 || highest != 9 || !ok {
		t.Errorf("extent %v to %v, %v, want the past as well: 5 to 9", lowest, highest, ok)
	}
	if n := s.Seq(); n != 2 {
		t.Errorf("%d commits, want 2", n)
	}
}

// TestNoRings: what keeps no rings, and what was never seen, has no points and no extent; dst stays as
// it was.
func TestNoRings(t *testing.T) {
	s := NewStore(Options{})
	var b Batch
	commit(s, &b, epoch, func(b *Batch) { b.Set(testPlain, 5, "a", "tmp") })
	dst := []Point{{Last: 1}}
	for name, f := range map[string]func() ([]Point, bool){
		"a plain gauge": func() ([]Point, bool) {
			_, _, ok := s.Extent(testPlain, "a", "tmp")
			return s.Points(dst, TierSample, testPlain, "a", "tmp"), ok
		},
		"an unknown series": func() ([]Point, bool) {
			_, _, ok := s.Extent(testGauge, "nobody")
			return s.PointsSinceCut(dst, TierLong, testGauge, "nobody"), ok
		},
	} {
		if points, ok := f(); ok || !slices.Equal(points, dst) {
			t.Errorf("%s: %v, %v, want dst alone", name, points, ok)
		}
	}
}

// TestTiers: the three rings of one series hold slots of one sample, 15 and 300 sample intervals, each
// with the extremes of its span.
func TestTiers(t *testing.T) {
	s := NewStore(Options{Window: 1000, Interval: time.Second})
	var b Batch
	start := time.UnixMilli(0)
	for i := range 600 {
		commit(s, &b, start.Add(time.Duration(i)*time.Second), func(b *Batch) { b.Set(testGauge, float64(i), "a") })
	}
	for tier, width := range map[Tier]int{TierSample: 1, TierMedium: 15, TierLong: 300} {
		points := s.Points(nil, tier, testGauge, "a")
		if len(points) != 600/width {
			t.Errorf("tier %d has %d slots, want %d", tier, len(points), 600/width)
			continue
		}
		for i, p := range points {
			first, last := float64(i*width), float64((i+1)*width-1)
			if p.Min != first || p.Max != last || p.Last != last || p.Time.Unix() != int64(last) {
				t.Errorf("tier %d, slot %d: %+v, want %v to %v", tier, i, p, first, last)
				break
			}
		}
	}
}

// TestBatch: a batch gives back what was set, in order, and is empty after Reset.
func TestBatch(t *testing.T) {
	var b Batch
	b.Reset(epoch)
	b.Set(testPlain, 1, "a", "tmp")
	b.Set(testTotal, 2, "b")
	var got []string
	b.Each(func(d *Desc, value float64, values []string) {
		got = append(got, d.Name+" "+strings.Join(values, ",")+" "+string(rune('0'+int(value))))
	})
	if want := []string{"test_files a,tmp 1", "test_starts_total b 2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	b.Reset(epoch)
	b.Each(func(*Desc, float64, []string) { t.Error("a value is left after Reset") })
	if b.Len() != 0 {
		t.Errorf("%d values after Reset", b.Len())
	}
}

// TestProgrammingErrors: a wrong number of labels cannot be published by mistake.
func TestProgrammingErrors(t *testing.T) {
	panics := func(says string, f func()) {
		t.Helper()
		defer func() {
			if got, _ := recover().(string); got != says {
				t.Errorf("panic %q, want %q", got, says)
			}
		}()
		f()
	}
	panics("series: test_files: wrong number of label values", func() { new(Batch).Set(testPlain, 1, "a") })
	panics("series: x has more labels than MaxLabels", func() { NewGauge("x", "X.", "a", "b", "c", "d", "e", "f", "g", "h") })
	if d := NewCounter("y", "Y.", "a", "b", "c", "d", "e", "f", "g"); len(d.Labels) != MaxLabels || d.Kind != Counter || d.Window {
		t.Errorf("%+v", d)
	}
}

// TestGrowthIsThatOfALine: whatever its slope, offset and spacing, a line is found exactly, and it reaches
// its limit when it does.
func TestGrowthIsThatOfALine(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for range 300 {
		n, step := growthMinSamples+rng.IntN(100), time.Duration(1+rng.IntN(60))*time.Second
		slope, offset := (rng.Float64()-.5)*1e6, rng.Float64()*1e9
		points := make([]Point, n)
		for i := range points {
			v := offset + slope*float64(i)*step.Seconds()
			points[i] = Point{Time: epoch.Add(time.Duration(i) * step), Min: v, Max: v, Last: v}
		}
		got, ok := Growth(points)
		if !ok || math.Abs(got-slope) > 1e-6*math.Abs(slope)+1e-6 {
			t.Fatalf("growth %v, %v, want %v", got, ok, slope)
		}
		if used, limit := offset, offset+1e6; slope > 0 {
			if left := Exhaustion(used, limit, got); math.Abs(used+slope*left-limit) > 1 {
				t.Fatalf("%v s to the limit at %v per second", left, slope)
			}
		}
	}
	// Samples of one moment have no slope.
	if got, ok := Growth(make([]Point, growthMinSamples)); got != 0 || !ok {
		t.Errorf("growth %v, %v of one moment, want 0", got, ok)
	}
}
