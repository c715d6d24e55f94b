package web

import (
	"math"
	"strconv"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// noThresholds are those of what has none.
var noThresholds series.Thresholds

// bar is a share of a limit with the thresholds drawn into it, in a drawing 1000 units wide.
type bar struct {
	Class string // of its own level
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

func newBar(ratio, limit *float64, t series.Thresholds, class string) *bar {
	if ratio == nil || math.IsNaN(*ratio) {
		return nil
	}
	b := &bar{Class: class, Width: 1000 * min(max(*ratio, 0), 1), Text: health.Percent(*ratio)}
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
