package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// bar is a share of a limit with the thresholds drawn into it, in a drawing 1000 units wide.
type bar struct {
	Width float64
	Text  string
	Label string // for screen readers, with the thresholds
	Marks []mark
	From  []levelStart // where each level begins, when the limit is known
}

// levelStart is where a level begins.
type levelStart struct {
	Name string
	At   string
}

type mark struct {
	X    float64
	Name string
}

func newBar(ratio, limit *float64, t series.Thresholds) *bar {
	if ratio == nil || math.IsNaN(*ratio) {
		return nil
	}
	b := &bar{Width: 1000 * min(max(*ratio, 0), 1), Text: health.Percent(*ratio)}
	b.Label = b.Text + " of the limit"
	for _, m := range []mark{{t.Warning, "warning"}, {t.Critical, "critical"}, {t.Emergency, "emergency"}} {
		if m.X > 0 {
			b.Marks = append(b.Marks, mark{1000 * min(m.X, 1), m.Name})
			b.Label += ", " + m.Name + " from " + units.Ratio(m.X).String()
			if l, ok := finite(limit); ok {
				b.From = append(b.From, levelStart{m.Name, units.Bytes(m.X * l).String()})
			}
		}
	}
	return b
}

// chart is a sparkline: the last values as a line and what was seen between them as a band, in a
// drawing of 300 by 60 units.
type chart struct {
	low, top   float64 // the values at the bottom and at the top
	Line, Band string
	Label      string // for screen readers
	Low, High  string
	Over       string  // the time that the drawing covers
	Limit      float64 // y of the limit, or negative
	Marks      []line  // the thresholds, where they lie within the drawing
}

// line is one threshold of a chart.
type line struct {
	Y    float64
	Name string
}

// thresholds draws the levels of a limit into a chart.
func (c *chart) thresholds(limit *float64, t series.Thresholds) {
	l, ok := finite(limit)
	if c == nil || !ok {
		return
	}
	for _, m := range []mark{{t.Warning, "warning"}, {t.Critical, "critical"}, {t.Emergency, "emergency"}} {
		if v := m.X * l; m.X > 0 && v >= c.low && v <= c.top {
			c.Marks = append(c.Marks, line{c.y(v), m.Name})
		}
	}
}

// y returns the place of a value.
func (c *chart) y(v float64) float64 {
	return 2 + (chartHeight-4)*(1-(v-c.low)/(c.top-c.low))
}

const (
	chartWidth, chartHeight = 300.0, 60.0
	leastSpan               = 0.1 // of the largest value, from the bottom to the top of a chart
)

func (s *server) chart(desc *series.Desc, format func(float64) string, tier series.Tier, find map[series.Key]series.Sample, limit *float64, values ...string) *chart {
	sample, ok := find[series.KeyOf(desc, values)]
	if !ok {
		return nil
	}
	points := s.Store.Points(nil, tier, sample.Desc, sample.Values...)
	if tier != series.TierSample && len(points) < enoughPoints { // young: single samples show more
		points = s.Store.Points(nil, series.TierSample, sample.Desc, sample.Values...)
	}
	if len(points) < 2 {
		return nil
	}
	return newChart(points, format, limit)
}

func newChart(points []series.Point, format func(float64) string, limit *float64) *chart {
	low, high := points[0].Min, points[0].Max
	for _, p := range points {
		low, high = min(low, p.Min), max(high, p.Max)
	}
	c := &chart{Low: format(low), High: format(high), Limit: -1}
	top := high
	if l, ok := finite(limit); ok && l < high*1.5 && l > 0 {
		top = max(high, l)
	}
	if least := math.Abs(high) * leastSpan; top-low < least { // noise is not to look like a storm
		low -= min((least-(top-low))/2, low)
		top = low + least
	}
	if top <= low {
		top = low + 1
	}
	c.low, c.top = low, top
	from := points[0].Time
	whole := points[len(points)-1].Time.Sub(from).Seconds()
	if whole <= 0 {
		whole = 1
	}
	if l, ok := finite(limit); ok && l <= top && l >= low {
		c.Limit = c.y(l)
	}
	var line, upper, lower []byte
	for i, p := range points {
		x := chartWidth * p.Time.Sub(from).Seconds() / whole
		line = appendPoint(line, i, x, c.y(p.Last))
		upper = appendPoint(upper, i, x, c.y(p.Max))
	}
	for _, p := range slices.Backward(points) {
		lower = appendPoint(lower, 1, chartWidth*p.Time.Sub(from).Seconds()/whole, c.y(p.Min))
	}
	c.Line = string(line)
	c.Band = string(upper) + string(lower) + "Z"
	c.Over = durationText(whole)
	c.Label = fmt.Sprintf("between %s and %s over %s, now %s", c.Low, c.High, c.Over, format(points[len(points)-1].Last))
	return c
}

func finite(p *float64) (float64, bool) {
	if p == nil || math.IsInf(*p, 0) || math.IsNaN(*p) {
		return 0, false
	}
	return *p, true
}

func appendPoint(dst []byte, i int, x, y float64) []byte {
	if i == 0 {
		dst = append(dst, 'M')
	} else {
		dst = append(dst, 'L')
	}
	dst = strconv.AppendFloat(dst, x, 'f', 1, 64)
	dst = append(dst, ' ')
	return strconv.AppendFloat(dst, y, 'f', 1, 64)
}
