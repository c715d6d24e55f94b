package collector

import (
	"math"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// TestClockIsSet: a clock that jumps, either way, neither raises a level nor stops one from rising, and
// what was read before it has no slope with what was read after it.
func TestClockIsSet(t *testing.T) {
	for _, jump := range []time.Duration{-time.Hour, time.Hour, -5 * time.Second} {
		store := series.NewStore(series.Options{})
		g := &gauge{target: "a", store: store, thresholds: testThresholds, interval: 5 * time.Second}
		l := limit{bytes: 400 * mib, basis: BasisRSS}
		var b series.Batch
		at := testStart
		sweep := func(used float64) series.Level {
			at = at.Add(time.Second)
			b.Reset(at)
			g.set(&b, exactly(used*mib), l, place{procfs: "x"}, false)
			store.Commit(&b)
			v, _, _ := store.Value(metric.MemoryLevel, "a")
			return series.Level(v)
		}
		for range 10 {
			sweep(100)
		}
		at = at.Add(jump)
		if got := sweep(290); got != series.LevelNormal {
			t.Errorf("%s: %v after one reading", jump, got)
		}
		if d := g.within(); d.next < leastGap || d.next > g.interval {
			t.Errorf("%s: the next reading in %s", jump, d.next)
		}
		sweep(345)
		if got := sweep(345); got != series.LevelCritical {
			t.Errorf("%s: %v after two readings at critical", jump, got)
		}
		if v, _, ok := store.Value(metric.MemoryFastGrowth, "a"); ok && (v < -1 || v > 245*mib) {
			t.Errorf("%s: fast growth %v", jump, v/mib)
		}
	}
}

// TestPopulationAndLimitAreCut: other members, or another way to count, do not count as growth.
func TestPopulationAndLimitAreCut(t *testing.T) {
	store := series.NewStore(series.Options{})
	g := &gauge{target: "a", store: store, thresholds: testThresholds, interval: 5 * time.Second}
	var b series.Batch
	at := testStart
	sweep := func(used float64, l limit, cut bool) (growth float64, known bool) {
		at = at.Add(time.Second)
		b.Reset(at)
		g.set(&b, exactly(used*mib), l, place{procfs: "x"}, cut)
		store.Commit(&b)
		growth, _, known = store.Value(metric.MemoryFastGrowth, "a")
		return growth, known
	}
	rss, group := limit{bytes: 400 * mib, basis: BasisRSS}, limit{bytes: 400 * mib, basis: BasisCgroup}
	f := func(what string, used float64, l limit, cut bool, want bool) {
		t.Helper()
		if v, known := sweep(used, l, cut); known != want || v > mib {
			t.Errorf("%s: growth %v, %v, want %v", what, v, known, want)
		}
	}
	for range 5 {
		sweep(10, rss, false)
	}
	f("steady", 10, rss, false, true)
	f("other members", 200, rss, true, false)
	f("and one more", 200, rss, false, false)
	f("and a third", 200, rss, false, true)
	f("counted another way", 10, group, false, false)
	if d := g.distance.fastest; d > 0 {
		t.Errorf("fastest growth %v after a cut", d)
	}
}

// TestGrowthBetweenDays: what is known between days is published in place of the last hours, and not before it was judged of
// the present processes.
func TestGrowthBetweenDays(t *testing.T) {
	store, board := series.NewStore(series.Options{}), trend.NewBoard()
	g := &gauge{target: "a", store: store, thresholds: testThresholds, interval: 5 * time.Second, trends: board}
	var b series.Batch
	at := testStart
	sweep := func(cut bool) {
		at = at.Add(5 * time.Second)
		b.Reset(at)
		if cut {
			b.Cut()
		}
		g.set(&b, exactly(200*mib), limit{bytes: 1024 * mib, basis: BasisRSS}, place{procfs: "x"}, cut)
		store.Commit(&b)
	}
	expect := func(what string, growth, confidence, exhaustion float64, want bool) {
		t.Helper()
		v, _, ok := store.Value(metric.MemoryGrowth, "a")
		sure, _, okSure := store.Value(metric.MemoryGrowthConfidence, "a")
		left, _, okLeft := store.Value(metric.MemoryExhaustion, "a")
		if ok != want || okSure != want || okLeft != want || v != growth || math.Abs(sure-confidence) > 1e-9 || left != exhaustion {
			t.Errorf("%s: growth %v, confidence %v, exhaustion %v, known %v %v %v", what, v, sure, left, ok, okSure, okLeft)
		}
	}
	sweep(false)
	expect("nothing is known", 0, 0, 0, false)
	for range 60 {
		sweep(false)
	}
	expect("of minutes", 0, .1, math.Inf(1), true)
	outlook := trend.Outlook{Estimate: trend.Estimate{Known: true, Growing: true, PerSecond: 3000, Confidence: .9}, Judged: at, Limit: 1024 * mib}
	outlook.At = at.Add(9 * time.Hour)
	board.Put("a", &outlook)
	sweep(false)
	expect("of days", 3000, .9, 9*3600-5, true)
	sweep(true)
	expect("of other processes", 0, 0, 0, false)
	sweep(false)
	expect("before it was judged anew", 0, 0, 0, false)
	outlook.Judged = at
	board.Put("a", &outlook)
	sweep(false)
	expect("judged anew", 3000, .9, 9*3600-20, true)
}
