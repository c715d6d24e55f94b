package series

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestRingsKeepTheirCadence: whatever is read between two samples, by Refine or by a sample that is
// marked as such, the rings hold one slot for each of the cadence, and their extremes hold all.
func TestRingsKeepTheirCadence(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for range 50 {
		s := NewStore(Options{Window: 20})
		var tick, fast Batch
		highest := map[int]float64{}
		const ticks = 30
		for i := range ticks {
			at := epoch.Add(time.Duration(i) * 5 * time.Second)
			v := rng.Float64()
			highest[i] = v
			tick.Reset(at)
			tick.Set(testGauge, v, "a")
			s.Commit(&tick)
			for j := range rng.IntN(80) {
				v = 2 * rng.Float64()
				highest[i] = max(highest[i], v)
				when := at.Add(time.Duration(j+1) * 50 * time.Millisecond)
				if rng.IntN(2) == 0 {
					fast.Reset(when)
					fast.Set(testGauge, v, "a")
					s.Refine(&tick, &fast)
				} else {
					tick.Reset(when)
					tick.Between()
					tick.Set(testGauge, v, "a")
					s.Commit(&tick)
				}
				if got, got2, ok := s.Value(testGauge, "a"); got != v || !got2.Equal(when) || !ok {
					t.Fatalf("newest %v at %v, %v, want %v at %v", got, got2, ok, v, when)
				}
			}
		}
		points := s.Points(nil, TierSample, testGauge, "a")
		if len(points) != 20 {
			t.Fatalf("%d slots, want 20", len(points))
		}
		most := 0.0
		for i, p := range points {
			if want := epoch.Add(time.Duration(ticks-20+i) * 5 * time.Second); !p.Time.Equal(want) {
				t.Errorf("slot %d is of %v, want %v", i, p.Time, want)
			}
			if want := highest[ticks-20+i]; p.Max != want {
				t.Errorf("slot %d reaches %v, want %v", i, p.Max, want)
			}
			most = max(most, p.Max)
		}
		if _, highest, _ := s.Extent(testGauge, "a"); highest != most {
			t.Errorf("the window reaches %v, want %v", highest, most)
		}
	}
}

// TestRefineBelongsToItsOwner: what a reading sets is there until the owner's next sample, which takes
// it back where it does not set it, and it is forgotten with the owner.
func TestRefineBelongsToItsOwner(t *testing.T) {
	s := NewStore(Options{})
	var owner, fast Batch
	owner.Reset(epoch)
	owner.Set(testGauge, 1, "a")
	s.Commit(&owner)
	fast.Reset(epoch.Add(time.Second))
	fast.Set(testPlain, 2, "a", "new")
	s.Refine(&owner, &fast)
	if v, _, ok := s.Value(testGauge, "a"); v != 1 || !ok {
		t.Errorf("the owner's other value is %v, %v, want it untouched", v, ok)
	}
	if v, _, ok := s.Value(testPlain, "a", "new"); v != 2 || !ok {
		t.Errorf("the new value is %v, %v, want 2", v, ok)
	}
	owner.Reset(epoch.Add(5 * time.Second))
	owner.Set(testGauge, 1, "a")
	s.Commit(&owner)
	if _, _, ok := s.Value(testPlain, "a", "new"); ok {
		t.Error("the owner did not set it and it is still there")
	}
	s.Refine(&owner, &fast)
	s.Forget(&owner)
	if held, _ := s.Len(); held != 0 {
		t.Errorf("%d series held, want 0", held)
	}
}

// TestRefineAllocatesNothing: it is done twenty times a second.
func TestRefineAllocatesNothing(t *testing.T) {
	s := NewStore(Options{})
	var owner, fast Batch
	now := epoch
	refine := func() {
		now = now.Add(50 * time.Millisecond)
		fast.Reset(now)
		fast.Set(testGauge, 1, "a")
		s.Refine(&owner, &fast)
	}
	refine()
	if n := testing.AllocsPerRun(100, refine); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
