package series

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var levels = Thresholds{Warning: .70, Critical: .85, Emergency: .95}

func TestLeveller(t *testing.T) {
	tests := []struct {
		name   string
		ratios []float64
		want   []Level
	}{
		{"one reading does not raise it", []float64{.9, .5, .9, .5, .9}, []Level{0, 0, 0, 0, 0}},
		{"two do", []float64{.75, .75}, []Level{0, 1}},
		{"two do at critical", []float64{.9, .9}, []Level{0, 2}},
		{"the lower of the two counts", []float64{.9, .75, .75, .9, .9}, []Level{0, 1, 1, 1, 2}},
		{"a reading on the way to warning counts for critical", []float64{.75, .86, .86}, []Level{0, 1, 2}},
		{"emergency at once", []float64{.95}, []Level{3}},
		{"from warning to critical", []float64{.75, .75, .86, .86}, []Level{0, 1, 1, 2}},
		{"within the margin it stays", []float64{.75, .75, .66, .66, .66, .66, .66, .66}, []Level{0, 1, 1, 1, 1, 1, 1, 1}},
		{"five readings below it falls", []float64{.75, .75, .6, .6, .6, .6, .6}, []Level{0, 1, 1, 1, 1, 1, 0}},
		{"one high reading starts the count again", []float64{.75, .75, .6, .6, .6, .7, .6, .6, .6, .6, .6}, []Level{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0}},
		{"emergency falls to what holds", []float64{.96, .8, .8, .8, .8, .8, .8}, []Level{3, 3, 3, 3, 3, 2, 2}},
		{"and then further", []float64{.96, .7, .7, .7, .7, .7, .1, .1, .1, .1, .1}, []Level{3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLeveller(LevelNormal, time.Second)
			for i, r := range tt.ratios {
				if got := l.Update(levels, r, epoch.Add(time.Duration(i)*time.Second)); got != tt.want[i] {
					t.Fatalf("after reading %d (%v) the level is %v, want %v", i+1, r, got, tt.want[i])
				}
			}
		})
	}
}

// TestLevellerTakesTime: twenty readings a second raise a level within 50 ms and let it fall no
// sooner than one reading a second does.
func TestLevellerTakesTime(t *testing.T) {
	l := NewLeveller(LevelNormal, time.Second)
	at := epoch
	read := func(ratio float64, after time.Duration) Level {
		at = at.Add(after)
		return l.Update(levels, ratio, at)
	}
	read(.9, 0)
	if !l.Rising() {
		t.Error("one reading at critical is not to be confirmed")
	}
	if got := read(.9, 10*time.Millisecond); got != LevelNormal {
		t.Errorf("%v after two readings within 10 ms, want normal: they saw the same moment", got)
	}
	if got := read(.9, 40*time.Millisecond); got != LevelCritical || l.Rising() {
		t.Errorf("%v, rising %v after readings 50 ms apart, want critical", got, l.Rising())
	}
	began := at
	for read(.1, 50*time.Millisecond) != LevelNormal {
		if at.Sub(began) > time.Minute {
			t.Fatal("it never falls")
		}
	}
	if took := at.Sub(began); took < 3500*time.Millisecond || took > 5*time.Second {
		t.Errorf("it fell after %s of 20 readings a second, want 4 s: five readings a second apart", took)
	}
	read(.9, time.Second)
	if got := read(.9, -time.Hour); got != LevelCritical {
		t.Errorf("%v after the clock was set back, want critical", got)
	}
}

// TestLevellerAgainstItsRules: from any level and with any ratios, a level rises only after two readings
// at or above it (one for emergency), and falls only after five below it less the margin.
func TestLevellerAgainstItsRules(t *testing.T) {
	start := map[Level]float64{LevelWarning: levels.Warning, LevelCritical: levels.Critical, LevelEmergency: levels.Emergency}
	rng := rand.New(rand.NewPCG(5, 5))
	for range 500 {
		l := NewLeveller(Level(rng.IntN(4)), 0)
		var ratios []float64
		at := epoch
		for range 60 {
			before := l.Level()
			ratio := .5 + .5*rng.Float64()
			if len(ratios) > 0 && rng.IntN(3) > 0 { // runs, or nothing would ever happen
				ratio = ratios[len(ratios)-1]
			}
			ratios = append(ratios, ratio)
			at = at.Add(levelUpApart + time.Duration(rng.IntN(1000))*time.Millisecond)
			now := l.Update(levels, ratio, at)
			if now != l.Level() {
				t.Fatalf("Update returned %v and the level is %v", now, l.Level())
			}
			last := func(n int) []float64 { return ratios[max(0, len(ratios)-n):] }
			up := last(levelUpSamples)
			switch {
			case now == LevelEmergency && now > before:
				if ratio < levels.Emergency {
					t.Fatalf("%v: emergency", ratios)
				}
			case now > before:
				if len(up) < levelUpSamples || slices.Min(up) < start[now] {
					t.Fatalf("%v: rose to %v", ratios, now)
				}
			case now < before:
				if run := last(levelDownSamples); len(run) < levelDownSamples || slices.Max(run) >= start[before]-levelDownMargin {
					t.Fatalf("%v: fell from %v to %v", ratios, before, now)
				}
				if run := last(levelDownSamples); now < LevelEmergency && slices.Max(run) >= start[now+1]-levelDownMargin {
					t.Fatalf("%v: fell to %v, and %v still held", ratios, now, now+1)
				}
			case ratio >= levels.Emergency && now != LevelEmergency:
				t.Fatalf("%v: %v at %v", ratios, now, ratio)
			}
			if len(up) == levelUpSamples && now < levels.Of(slices.Min(up)) {
				t.Fatalf("%v: %v although two readings agree on %v", ratios, now, levels.Of(slices.Min(up)))
			}
		}
	}
	for _, l := range []Level{-1, LevelEmergency + 1} {
		if l.String() != "unknown" || levels.start(l) != 0 {
			t.Errorf("level %d is %q from %v, want unknown from 0", l, l, levels.start(l))
		}
	}
}
