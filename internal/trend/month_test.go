package trend

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

var update = flag.Bool("update", false, "write the table of docs/processes.md")

const (
	mib     = 1 << 20
	gib     = 1 << 30
	reading = 75 * time.Second // as a slot of the ring that spans two hours
)

// monday is a Monday at 00:00.
var monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// service is one whose memory is simulated. Each day has a swing of its own, ±20 %, and each five minutes are off by up to
// ±20 % of the swing.
type service struct {
	days     int
	base     float64 // MiB
	swing    float64 // MiB, from night to day
	height   int     // hour of the day in which it is highest
	weekends bool    // on which the swing is a third
	deploys  int     // hours from one to the next; 0: none
	leak     float64 // MiB per hour since the last start
	seed     uint64
}

// memory returns what is used at a time, and when the service has started.
func (s *service) memory(rng *rand.Rand) func(at time.Time) (used float64, started time.Time) {
	swings := make([]float64, s.days+1)
	for i := range swings {
		swings[i] = s.swing * (1 + .2*(2*rng.Float64()-1))
		if s.weekends && i%7 >= 5 {
			swings[i] /= 3
		}
	}
	noise, slot := 0.0, int64(-1)
	return func(at time.Time) (float64, time.Time) {
		if n := at.Unix() / 300; n != slot {
			noise, slot = .2*s.swing*(2*rng.Float64()-1), n
		}
		hours := at.Sub(monday).Hours()
		since := hours
		if s.deploys > 0 {
			since = math.Mod(hours, float64(s.deploys))
		}
		load := (1 + math.Cos(2*math.Pi*(hours-float64(s.height))/day)) / 2
		used := s.base + s.leak*since + swings[int(hours/day)]*load + noise
		return used * mib, at.Add(-time.Duration(since * float64(time.Hour))).Round(time.Second)
	}
}

// outcome is what a month has shown.
type outcome struct {
	moments    int
	falseShort int     // moments at which the last two hours alone say that it grows
	falseNow   int     // moments at which it is said to grow, and sure
	worst      float64 // error of what is published from the third day of a start on
	judged     int     // moments from the third day of a start on
	unsure     int     // of these: not sure that it grows
}

// month lives through the days of a service, and looks each so many hours at what is published.
func (s *service) month(every int, limit float64) outcome {
	var out outcome
	rng := rand.New(rand.NewPCG(s.seed, 14))
	memory := s.memory(rng)
	var starts []Start
	board := NewBoard()
	k := NewKeeper(Options{
		Board: board, Past: func(string, string, time.Time, func(*Value)) {}, Starts: func(string) []Start { return starts },
		Limit: func(string) float64 { return limit }, Memory: "used", Live: "live",
	})
	var ring []series.Point
	var values []Value
	var used float64
	var begin time.Time
	for hour := range s.days * day {
		for i := range int(time.Hour / reading) {
			at := monday.Add(time.Duration(hour)*time.Hour + time.Duration(i)*reading)
			var started time.Time
			if used, started = memory(at); !started.Equal(begin) {
				begin, ring = started, ring[:0]
				starts = append(starts, Start{Time: started})
			}
			ring = append(ring, series.Point{Time: at, Min: used, Max: used, Last: used})
			ring = ring[max(len(ring)-100, 0):]
			values = append(values, Value{Target: "a", Gauge: "used", Time: at.Truncate(5 * time.Minute), Low: used, High: used})
		}
		if hour%every > 0 {
			continue
		}
		now := monday.Add(time.Duration(hour+1) * time.Hour)
		k.Add(values, []string{"a"}, now)
		values = values[:0]
		short, known := series.GrowthOver(ring, 49*reading)
		o := board.Of("a")
		g, ok := o.Combine(now, short, known, used, limit)
		out.see(s, now.Sub(begin), short, known, g, ok)
	}
	return out
}

func (o *outcome) see(s *service, age time.Duration, short float64, known bool, g Growth, ok bool) {
	o.moments++
	grows := ok && g.PerSecond > 0 && g.Confidence >= Sure
	if known && short > 0 {
		o.falseShort++
	}
	if grows {
		o.falseNow++
	}
	if age < 2*day*time.Hour+time.Hour { // the hours are whole then
		return
	}
	o.judged++
	if !grows {
		o.unsure++
	}
	if grows || s.leak >= 10 {
		o.worst = max(o.worst, math.Abs(g.PerSecond*3600/mib-s.leak)/s.leak)
	}
}

// limitOf is far away for what leaks for weeks.
func (s *service) limitOf() float64 {
	if s.leak > 0 {
		return 64 * gib
	}
	return 2 * gib
}

// TestMonths writes and checks the table of docs/processes.md: each row is 30 days of five services.
func TestMonths(t *testing.T) {
	var b strings.Builder
	b.WriteString("| swing of a day | days | said to grow without a leak, by two hours alone | said to grow without a leak | worst error, 10 MB/h | worst error, 50 MB/h | 2 MB/h, seen from the third day on |\n|---|---|---|---|---|---|---|\n")
	for _, swing := range []float64{0, 100, 300} {
		for _, days := range []struct {
			name     string
			weekends bool
			deploys  int
		}{{"all alike", false, 0}, {"quiet weekends", true, 0}, {"a deploy each 127 h", false, 127}, {"both", true, 127}} {
			var of [4]outcome
			for i, leak := range []float64{0, 2, 10, 50} {
				s := service{days: 30, base: 600, swing: swing, height: 15, weekends: days.weekends, deploys: days.deploys, leak: leak, seed: uint64(i)}
				of[i] = s.month(1, s.limitOf())
				if leak >= 10 && of[i].worst > .1 {
					t.Errorf("swing %v, %s, a leak of %v MB/h: worst error %.1f%%", swing, days.name, leak, 100*of[i].worst)
				}
			}
			if share := float64(of[0].falseNow) / float64(of[0].moments); share > .01 {
				t.Errorf("swing %v, %s: said to grow %.1f%% of the time", swing, days.name, 100*share)
			}
			percent := func(n, of int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of)) }
			fmt.Fprintf(&b, "| %.0f MB | %s | %s | %s | %.1f %% | %.1f %% | %s |\n", swing, days.name, percent(of[0].falseShort, of[0].moments), percent(of[0].falseNow, of[0].moments),
				100*of[2].worst, 100*of[3].worst, percent(of[1].judged-of[1].unsure, of[1].judged))
		}
	}
	inDocs(t, b.String())
}

// inDocs compares a table with that of the page, or writes it.
func inDocs(t *testing.T, table string) {
	t.Helper()
	const path, begin, end = "../../docs/processes.md", "<!-- growth -->\n", "<!-- /growth -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	got, after, whole := strings.Cut(rest, end)
	switch {
	case !ok || !whole:
		t.Fatalf("%s has no table between %q and %q", path, begin, end)
	case got == table:
	case *update:
		if err := os.WriteFile(path, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has another table: go test ./internal/trend -update\n%s", path, table)
	}
}

// TestAnyMonth: of services by chance, those that leak are within 10 % from the third day on, and those that do not are not
// said to.
func TestAnyMonth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := service{
			days: 11, base: rapid.Float64Range(100, 2000).Draw(t, "base"), swing: rapid.Float64Range(0, 300).Draw(t, "swing"), height: rapid.IntRange(0, 23).Draw(t, "height"),
			weekends: rapid.Bool().Draw(t, "weekends"), deploys: rapid.SampledFrom([]int{0, 76, 127, 200}).Draw(t, "deploys"),
			leak: rapid.SampledFrom([]float64{0, 10, 20, 50}).Draw(t, "leak"), seed: rapid.Uint64().Draw(t, "seed"),
		}
		o := s.month(6, 64*gib)
		switch {
		case s.leak == 0 && float64(o.falseNow) > .01*float64(o.moments):
			t.Fatalf("said to grow at %d of %d moments", o.falseNow, o.moments)
		case s.leak > 0 && o.worst > .1:
			t.Fatalf("a leak of %v MB/h: worst error %.1f%%", s.leak, 100*o.worst)
		}
	})
}
