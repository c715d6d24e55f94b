package trend

import (
	"math"
	"testing"
	"time"
)

// shop is a Keeper of one target.
type shop struct {
	k      *Keeper
	board  *Board
	now    time.Time
	starts []Start
	past   map[string][]Value
	reads  int
}

func newShop() *shop {
	s := &shop{board: NewBoard(), now: monday, past: make(map[string][]Value)}
	s.k = NewKeeper(Options{
		Board: s.board, Past: func(_, gauge string, _ time.Time, take func(*Value)) {
			s.reads++
			for i := range s.past[gauge] {
				take(&s.past[gauge][i])
			}
		},
		Starts: func(string) []Start { return s.starts }, Limit: func(string) float64 { return 4 * gib },
		Memory: "used", Live: "live",
	})
	return s
}

// pass lets hours go by in which gauges have a value in MiB, by the hours since the beginning.
func (s *shop) pass(hours int, gauges map[string]func(h float64) float64) {
	for range hours {
		var values []Value
		for i := range 12 {
			at := s.now.Add(time.Duration(i) * 5 * time.Minute)
			for gauge, f := range gauges {
				v := f(at.Sub(monday).Hours()) * mib
				values = append(values, Value{Target: "a", Gauge: gauge, Time: at, Low: v, High: v})
			}
		}
		s.now = s.now.Add(time.Hour)
		s.k.Add(values, nil, s.now)
	}
}

func (s *shop) start(same bool) {
	s.starts = append(s.starts, Start{Time: s.now.Add(-time.Minute), Same: same})
	s.k.Add(nil, []string{"a"}, s.now)
}

func (s *shop) expect(t *testing.T, what string, mibPerHour float64, known bool, signal string) {
	t.Helper()
	o := s.board.Of("a")
	if got := o.Growth() * 3600 / mib; o.Known != known || math.Abs(got-mibPerHour) > .05*mibPerHour || o.Signal != signal {
		t.Errorf("%s: %.1f MiB/h of %s, known %v, want %v of %s, %v", what, got, o.Signal, o.Known, mibPerHour, signal, known)
	}
}

func leaks(rate float64) func(float64) float64 {
	return func(h float64) float64 { return 500 + rate*h + breath(h, 200) }
}

// TestKeeperCutsAtStarts: nothing is compared across a start, and a build is compared with the one before.
func TestKeeperCutsAtStarts(t *testing.T) {
	s := newShop()
	s.start(false)
	s.pass(100, map[string]func(float64) float64{"used": leaks(0), "other": leaks(99)})
	s.expect(t, "flat", 0, true, "memory")
	if o := s.board.Of("a"); !o.Build.Since.IsZero() {
		t.Errorf("one build is compared: %+v", o.Build)
	}
	s.start(false)
	s.pass(40, map[string]func(float64) float64{"used": leaks(12)})
	s.expect(t, "after a new build", 0, false, "memory")
	s.pass(20, map[string]func(float64) float64{"used": leaks(12)})
	s.expect(t, "two days after", 12, true, "memory")
	o := s.board.Of("a")
	if text := o.Sentences(s.now); len(text) != 2 || text[1] != "Since the build of Friday it leaks 12MiB/h, before it did not." {
		t.Errorf("%q", text)
	}
	s.start(true)
	s.pass(10, map[string]func(float64) float64{"used": leaks(12)})
	s.expect(t, "after a restart", 0, false, "memory")
	if b := s.board.Of("a").Build; !b.Now.leaks() || !b.Before.Known || b.Before.leaks() {
		t.Errorf("the longest start of each build says how it leaks: %+v", b)
	}
}

// TestKeeperPrefersTheHeap: what collections leave says it better, unless only what lies outside of the heap grows.
func TestKeeperPrefersTheHeap(t *testing.T) {
	s := newShop()
	both := map[string]func(float64) float64{
		"used": func(h float64) float64 { return 900 + 9*h + breath(h*1.7, 500) }, "live{x}": func(h float64) float64 { return 300 + 10*h },
	}
	s.pass(80, both)
	s.expect(t, "the heap leaks", 10, true, "live{x}")
	s = newShop()
	s.pass(80, map[string]func(float64) float64{"used": leaks(10), "live{x}": func(float64) float64 { return 300 }})
	s.expect(t, "outside of the heap", 10, true, "memory")
}

// TestKeeperReadsThePast: once for each gauge, and a target that is gone for long is read anew.
func TestKeeperReadsThePast(t *testing.T) {
	s := newShop()
	s.now = monday.Add(100 * time.Hour)
	for h := range 100 * 12 {
		at := monday.Add(time.Duration(h) * 5 * time.Minute)
		v := leaks(10)(at.Sub(monday).Hours()) * mib
		s.past["used"] = append(s.past["used"], Value{"a", "used", at, v, v})
	}
	gauges := map[string]func(float64) float64{"used": leaks(10)}
	s.pass(1, gauges)
	s.expect(t, "with the first value", 10, true, "memory")
	s.pass(5, gauges)
	if s.reads != 1 {
		t.Errorf("the history was read %d times, want once", s.reads)
	}
	s.now = s.now.Add(3 * day * time.Hour)
	s.k.Add(nil, nil, s.now)
	if o := s.board.Of("a"); o.Known || len(s.k.targets) != 0 {
		t.Errorf("what is gone for days is still there: %+v", o)
	}
	s.pass(1, gauges)
	if s.reads != 2 {
		t.Errorf("the history was read %d times, want again", s.reads)
	}
}

// TestKeeperClock: what a clock that was set had shown later is dropped, and values that are none are not taken.
func TestKeeperClock(t *testing.T) {
	s := newShop()
	gauges := map[string]func(float64) float64{"used": leaks(10)}
	s.pass(100, gauges)
	s.now = s.now.Add(-10 * time.Hour)
	s.pass(20, gauges)
	s.expect(t, "after the clock was set back", 10, true, "memory")
	hours := s.k.targets["a"].hours["used"].hours
	for i := 1; i < len(hours); i++ {
		if hours[i].Number <= hours[i-1].Number {
			t.Fatalf("hour %d follows %d", hours[i].Number, hours[i-1].Number)
		}
	}
	s.pass(1, map[string]func(float64) float64{"used": func(float64) float64 { return math.NaN() }})
	s.pass(400, gauges)
	s.expect(t, "after two weeks", 10, true, "memory")
	if n := len(s.k.targets["a"].hours["used"].hours); n > Most+1 {
		t.Errorf("%d hours are kept, want %d", n, Most)
	}
}

// TestNilBoard has nothing.
func TestNilBoard(t *testing.T) {
	var b *Board
	if o := b.Of("a"); o.Known {
		t.Error("a nil Board knows something")
	}
}
