package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// pastHistory is a history that a test fills.
type pastHistory struct {
	points []history.Point
	marks  []history.Mark
}

func (h *pastHistory) Series(_, gauge string, from, to time.Time) (out []history.Point, _ error) {
	for _, p := range h.points {
		if gauge == metric.MemoryUsed.Name && !p.Time.Before(from) && p.Time.Before(to) {
			out = append(out, p)
		}
	}
	return out, nil
}

func (h *pastHistory) Marks(_ string, from, to time.Time) (out []history.Mark, _ error) {
	for _, m := range h.marks {
		if !m.Time.Before(from) && m.Time.Before(to) {
			out = append(out, m)
		}
	}
	return out, nil
}

// TestPlotScale: the levels, the limit and the values are drawn at their places.
func TestPlotScale(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 10 {
		f.sample(f.now.Add(time.Duration(i-9)*time.Minute), .8, series.LevelWarning)
	}
	s := &server{Options: f.opts}
	limit := float64(1 << 30)
	o := &plotOptions{desc: metric.MemoryUsed, values: []string{"app"}, unit: bytesUnit, limit: &limit, thresholds: series.Thresholds{Warning: .7, Critical: .85, Emergency: .95}, height: 104, readings: 5}
	p := s.plot(&periods[0], o)
	// The top is 1.04 times the limit: the limit is at 4 of 104, 70% of it at 34.
	if p.LimitY != "4.0" || p.LimitText != "limit 1GiB" || len(p.Thresholds) != 3 || p.Thresholds[0].Y != "34.0" || p.Thresholds[0].Name+p.Thresholds[0].Text != "warning70%" {
		t.Errorf("limit at %s %q, thresholds %+v", p.LimitY, p.LimitText, p.Thresholds)
	}
	if !strings.HasPrefix(p.Line, "M400.0 24.0L") || !strings.HasSuffix(p.Line, "L1000.0 24.0") {
		t.Errorf("nine minutes of 15 at 80%%: %s", p.Line)
	}
	if len(p.Readings) != 5 || p.Readings[0].Time != "" || p.Readings[4].Value != "819MiB, 80.0%" {
		t.Errorf("readings %+v", p.Readings)
	}
	far := limit * 100
	o.limit = &far
	if p = s.plot(&periods[0], o); p.LimitY != "" || len(p.Thresholds) != 0 {
		t.Errorf("a limit far above the values: %q, %+v", p.LimitY, p.Thresholds)
	}
	o.values = []string{"other"}
	if s.plot(&periods[0], o) != nil {
		t.Error("nothing is known, and a chart is drawn")
	}
}

// TestPastReachesBack: the rings come first, the history before them, and time without values is a gap.
func TestPastReachesBack(t *testing.T) {
	h := &pastHistory{}
	f := newFixture(t, func(o *Options) { o.History = h })
	for i := range 3 * 288 {
		if i < 100 || i > 150 { // four hours of the first day are missing
			at := f.now.Add(-72*time.Hour + time.Duration(i)*history.Step).Truncate(history.Step)
			h.points = append(h.points, history.Point{Time: at, Min: .3 * (1 << 30), Mean: .4 * (1 << 30), Max: .5 * (1 << 30)})
		}
	}
	h.marks = []history.Mark{
		{Target: "app", Time: f.now.Add(-60 * time.Hour), Program: history.Program{Inode: 1}},
		{Target: "app", Time: f.now.Add(-30 * time.Hour), Program: history.Program{Inode: 2}},
	}
	for i := range 100 {
		f.sample(f.now.Add(time.Duration(i-99)*time.Second), .8, series.LevelWarning)
	}
	f.records = nil
	s := &server{Options: f.opts}
	past := s.pastOf(f.now.Add(-14*24*time.Hour), metric.MemoryUsed, "app")
	if n := len(past); n < 800 || past[n-1].mean != .8*(1<<30) || past[0].mean != .4*(1<<30) {
		t.Fatalf("%d values", n)
	}
	for i := 1; i < len(past); i++ {
		if !past[i].at.After(past[i-1].at) {
			t.Fatalf("the value at %s comes after that at %s", past[i].at, past[i-1].at)
		}
	}
	limit := float64(1 << 30)
	o := &plotOptions{id: "memory", title: "Memory", desc: metric.MemoryUsed, values: []string{"app"}, unit: bytesUnit, limit: &limit, height: 260, readings: 48}
	if p := s.plot(&periods[3], o); strings.Count(p.Line, "M") != 2 {
		t.Errorf("%d pieces, want two: a gap of four hours in between: %s", strings.Count(p.Line, "M"), p.Line)
	}
	page := f.do("GET", "/target/app?range=14d", nil, "").Body.String()
	for _, want := range []string{`href="?range=14d" aria-current="true"`, "new build", "Memory over 14 days: between 307MiB and 819MiB"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of 14 days does not show %q", want)
		}
	}
	if page := f.do("GET", "/target/app?range=15m", nil, "").Body.String(); strings.Contains(page, "new build") || !strings.Contains(page, "No starts in this time") {
		t.Error("the page of 15 minutes shows a start of the day before yesterday")
	}
}

// TestRoundSteps: a scale goes in steps that people count in.
func TestRoundSteps(t *testing.T) {
	for _, tt := range []struct{ about, base, want float64 }{
		{300 << 20, 1024, 256 << 20}, {47, 10, 20}, {7, 10, 5}, {.023, 10, .02}, {0, 10, 1},
	} {
		if got := roundStep(tt.about, tt.base); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("about %v: %v, want %v", tt.about, got, tt.want)
		}
	}
}
