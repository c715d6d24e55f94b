package web

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	plotWidth    = 1000.0
	plotParts    = 240 // values that a line is drawn from at the most
	plotReadings = 48  // that can be read from a chart
)

// timeRange is a range of time that a target's page shows.
type timeRange struct {
	Key, Name string
	span      time.Duration
	tick      time.Duration
	layout    string
}

var periods = []timeRange{
	{"15m", "15 min", 15 * time.Minute, 3 * time.Minute, "15:04"},
	{"2h", "2 h", 2 * time.Hour, 30 * time.Minute, "15:04"},
	{"1d", "1 day", 24 * time.Hour, 4 * time.Hour, "15:04"},
	{"14d", "14 days", 14 * 24 * time.Hour, 2 * 24 * time.Hour, "Mon 2 Jan"},
}

// unit is how values are written and in which steps a scale goes.
type unit struct {
	text func(float64) string
	base float64 // 1024 or 10
}

var (
	bytesUnit   = unit{func(f float64) string { return units.Bytes(f).String() }, 1024}
	filesUnit   = unit{func(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }, 10}
	secondsUnit = unit{shortTime, 10}
)

// axis places times and values in a drawing.
type axis struct {
	from   time.Time
	span   time.Duration
	top    float64 // the value at the top; the bottom is 0
	height float64
}

func (a *axis) x(t time.Time) float64 {
	return plotWidth * min(max(t.Sub(a.from).Seconds()/a.span.Seconds(), 0), 1)
}

func (a *axis) y(v float64) float64 { return a.height * (1 - min(max(v/a.top, 0), 1)) }

// plot is a chart with a scale of time and of values. Its shapes are in a drawing 1000 units wide that is
// stretched; its texts are not.
type plot struct {
	ID, Title    string
	Label        string // for screen readers
	Height       int    // of the drawing, in pixels; Below is where the times stand
	Line, Area   string
	Gradient     []stop // colours of the line, where the level at each value is known
	GradientTo   string // y of the limit
	Thresholds   []valueLine
	LimitY       string
	LimitText    string
	Grid         []valueLine
	Ticks        []tick
	Readings     []reading
	Starts, Runs []event
	Alerts       []stretch
	Lanes        bool // of starts, alerts and runs
	Newest       string
}

// Total is the height with the times, and the lanes, below the drawing.
func (p *plot) Total() int {
	const times, starts, alert = 20, 14, 6
	if !p.Lanes {
		return p.Height + times
	}
	return p.Height + times + starts + alert*len(p.Alerts)
}

// TickY is where the marks of the times end.
func (p *plot) TickY() int { return p.Height + 4 }

// TimeY is where the times stand.
func (p *plot) TimeY() int { return p.Height + 16 }

// StartsY is where the starts are marked.
func (p *plot) StartsY() int { return p.Height + 26 }

// AlertY is where an alert is marked.
func (p *plot) AlertY(i int) int { return p.Height + 34 + 6*i }

// Foot is where alerts are marked in a chart without lanes.
func (p *plot) Foot() int { return p.Height - 3 }

// LimitTextY is where the limit is named: above its line, or below it where there is no room.
func (p *plot) LimitTextY() string {
	const above, below, room = 4, 12, 12
	y, err := strconv.ParseFloat(p.LimitY, 64)
	if err == nil && y < room {
		return short(y + below)
	}
	return short(y - above)
}

// stop is where a colour begins, as a share of the limit.
type stop struct{ Class, At string }

// valueLine is a value that has a line in a chart.
type valueLine struct{ Class, Y, TextY, Name, Text string }

// tick is a time on the scale.
type tick struct {
	X, Text string
	Minor   bool // not shown where there is little room
}

// reading is a value that can be read: with the pointer, or with the arrow keys.
type reading struct{ Y, Time, Value string }

// event is something that happened at a time.
type event struct{ X, Text, Label, Link string }

// stretch is something that lasted.
type stretch struct{ X, Width, Class, Text string }

// plotOptions say what a chart shows of a gauge.
type plotOptions struct {
	id, title  string
	desc       *series.Desc
	values     []string
	unit       unit
	limit      *float64
	limitText  string // "limit" where it is ""
	thresholds series.Thresholds
	height     int
	readings   int
}

// plot draws a gauge over a period; nil where nothing is known of it.
func (s *server) plot(p *timeRange, o *plotOptions) *plot {
	a := axis{from: s.Now().Add(-p.span), span: p.span, height: float64(o.height)}
	points := thinned(s.pastOf(a.from, o.desc, o.values...), a.from, a.span, plotParts)
	if len(points) == 0 {
		return nil
	}
	low, high := points[0].min, points[0].max
	for i := range points {
		low, high = min(low, points[i].min), max(high, points[i].max)
	}
	limit, limited := finite(o.limit)
	a.top = scale(high, limit)
	out := &plot{ID: o.id, Title: o.title, Height: o.height, Newest: o.unit.text(points[len(points)-1].mean)}
	if limited = limited && limit <= a.top && limit > 0; limited {
		out.LimitY, out.LimitText = short(a.y(limit)), cmp.Or(o.limitText, "limit")+" "+o.unit.text(limit)
		out.drawThresholds(&a, limit, o.thresholds)
	}
	out.draw(&a, points)
	out.grid(&a, o.unit, limit)
	out.ticks(&a, p)
	out.read(&a, points, p, o)
	out.Label = fmt.Sprintf("%s over %s: between %s and %s, last %s", o.title, p.Name, o.unit.text(low), o.unit.text(high), out.Newest)
	if limited {
		out.Label += "; " + out.LimitText
	}
	return out
}

// scale returns the value at the top of a chart: the limit where it is not far above the values.
func scale(high, limit float64) float64 {
	const far = 4
	top := high * 1.1
	if limit > 0 && !math.IsInf(limit, 0) && limit < far*high {
		top = max(limit*1.04, high*1.02)
	}
	if top <= 0 {
		top = 1
	}
	return top
}

func (p *plot) drawThresholds(a *axis, limit float64, t series.Thresholds) {
	const room = 14 // pixels that a text takes, with air
	above := a.height * 2
	for _, l := range []struct {
		class, name string
		at          float64
	}{{"w", "warning", t.Warning}, {"c", "critical", t.Critical}, {"e", "emergency", t.Emergency}} {
		if l.at <= 0 {
			continue
		}
		y := a.y(l.at * limit)
		line := valueLine{Class: l.class, Y: short(y), TextY: short(y + 4)}
		if above-y >= room { // else the text below it is in the way
			line.Name, line.Text, above = l.name, units.Ratio(l.at).String(), y
		}
		p.Thresholds = append(p.Thresholds, line)
		p.Gradient = append(p.Gradient, stop{l.class, short4(l.at)})
	}
	p.GradientTo = short(a.y(limit))
}

// draw draws the line of the means and the area from the smallest to the largest values. Where values are
// missing there is a gap.
func (p *plot) draw(a *axis, points []past) {
	var line, area []byte
	for begin := 0; begin < len(points); {
		end := begin + 1
		for end < len(points) && !gap(&points[end-1], &points[end]) {
			end++
		}
		run := points[begin:end]
		for i := range run {
			line = appendPoint(line, i, a.x(run[i].at), a.y(run[i].mean))
			area = appendPoint(area, i, a.x(run[i].at), a.y(run[i].max))
		}
		if len(run) == 1 { // a single value is a dot
			line = append(line, 'h', '3')
		}
		for _, v := range slices.Backward(run) {
			area = appendPoint(area, 1, a.x(v.at), a.y(v.min))
		}
		area = append(area, 'Z')
		begin = end
	}
	p.Line, p.Area = string(line), string(area)
}

// grid draws one to three round values.
func (p *plot) grid(a *axis, u unit, limit float64) {
	step := roundStep(a.top/2.2, u.base)
	for v := step; v < a.top*.97; v += step {
		y := a.y(v)
		if limit > 0 && math.Abs(y-a.y(limit)) < 14 || len(p.Grid) == 4 {
			continue
		}
		l := valueLine{Y: short(y), TextY: short(y - 3), Text: u.text(v)}
		if limit > 0 && math.Abs(y-a.y(limit)) < 28 { // the limit is named there
			l.Text = ""
		}
		p.Grid = append(p.Grid, l)
	}
}

// roundStep returns a round number that is about as large as a step: a power of two of a power of 1024, or
// one, two or five of a power of ten.
func roundStep(about, base float64) float64 {
	if about <= 0 || math.IsInf(about, 0) || math.IsNaN(about) {
		return 1
	}
	if base == 1024 {
		return math.Exp2(math.Floor(math.Log2(about)))
	}
	ten := math.Pow(10, math.Floor(math.Log10(about)))
	switch {
	case about >= 5*ten:
		return 5 * ten
	case about >= 2*ten:
		return 2 * ten
	}
	return ten
}

// ticks writes the times below a chart, in the time zone of the host.
func (p *plot) ticks(a *axis, of *timeRange) {
	end := a.from.Add(a.span)
	y, m, d := a.from.Date()
	at := time.Date(y, m, d, 0, 0, 0, 0, a.from.Location())
	for n := 0; at.Before(end); {
		if at.After(a.from) {
			x := a.x(at)
			layout := of.layout
			if of.layout == "15:04" && at.Hour() == 0 && at.Minute() == 0 {
				layout = "Mon 15:04"
			}
			if x > 25 && x < plotWidth-25 {
				p.Ticks = append(p.Ticks, tick{percent(x), at.Format(layout), n%2 == 1})
				n++
			}
		}
		if of.tick >= 24*time.Hour { // a day can have 23 hours
			at = at.AddDate(0, 0, int(of.tick/(24*time.Hour)))
		} else {
			at = at.Add(of.tick)
		}
	}
}

// read writes the values that can be read from a chart, at equal distances.
func (p *plot) read(a *axis, points []past, of *timeRange, o *plotOptions) {
	n := o.readings
	next := 0
	limit, limited := finite(o.limit)
	for i := range n {
		middle := a.from.Add(a.span * time.Duration(2*i+1) / time.Duration(2*n))
		for next+1 < len(points) && points[next+1].at.Sub(middle).Abs() <= points[next].at.Sub(middle).Abs() {
			next++
		}
		v := &points[next]
		if v.at.Sub(middle).Abs() > max(a.span/time.Duration(2*n), 2*v.step) {
			p.Readings = append(p.Readings, reading{})
			continue
		}
		layout := "15:04:05"
		switch {
		case of.span > 24*time.Hour:
			layout = "Mon 2 Jan 15:04"
		case of.span > 2*time.Hour:
			layout = "Mon 15:04"
		}
		r := reading{Y: short(a.y(v.mean)), Time: v.at.In(a.from.Location()).Format(layout), Value: o.unit.text(v.mean)}
		if limited && limit > 0 {
			r.Value += ", " + health.Percent(v.mean/limit)
		}
		p.Readings = append(p.Readings, r)
	}
}

// percent writes a place as a share of the width.
func percent(x float64) string { return strconv.FormatFloat(x*100/plotWidth, 'f', 2, 64) + "%" }

func short(v float64) string  { return strconv.FormatFloat(v, 'f', 1, 64) }
func short4(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
