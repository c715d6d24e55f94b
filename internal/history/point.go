package history

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Step is the time that one Point covers.
const Step = 5 * time.Minute

// Point summarises a gauge over one Step.
type Point struct {
	Time           time.Time // where the Step begins: a multiple of it since 1970
	Min, Mean, Max float64   // Mean is weighted by time and has seven significant digits
}

// stepOf returns where the Step of a time begins.
func stepOf(t time.Time) time.Time {
	ms := t.UnixMilli()
	return time.UnixMilli(ms - ms%Step.Milliseconds())
}

// Sample is the value of one gauge of a target over a Step.
type Sample struct {
	Target, Gauge  string // Gauge as GaugeOf writes it
	Min, Mean, Max float64
}

// Mark is a start of a target's service.
type Mark struct {
	Target  string
	Time    time.Time // when its oldest process started
	Program Program   // that it runs; another one than that of the mark before is a new build
}

// Program identifies the file of a program as it was when a process was looked at: what is installed anew
// has another inode or time. The zero value is one that could not be read.
type Program struct {
	Inode    uint64
	Modified time.Time
}

// Same reports whether two programs are the same build. One that is not known is the same as any.
func (p Program) Same(other Program) bool {
	return p.Inode == 0 || other.Inode == 0 || p.Inode == other.Inode && p.Modified.Equal(other.Modified)
}

// Errors of a Store. Each is wrapped with what to do.
var (
	ErrNotOpen = errors.New("the history is not open")
	ErrVersion = errors.New("the history was written by a later version of this program")
	ErrForeign = errors.New("the file is not a history")
	ErrLocked  = errors.New("another process writes the history")
	ErrTooMany = errors.New("too many series for the history")
)

// GaugeOf returns the name under which the history has a gauge of a target: that of the metric, with the
// labels other than target, such as spillway_temp_size_bytes{dir="tts"}.
func GaugeOf(d *series.Desc, values []string) string {
	if len(d.Labels) < 2 {
		return d.Name
	}
	var b strings.Builder
	b.WriteString(d.Name)
	for i, label := range d.Labels[1:] {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(label)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(values[i+1]))
	}
	b.WriteByte('}')
	return b.String()
}

// Recorded reports whether a family of series is recorded: the gauges of a target that have rings.
func Recorded(d *series.Desc) bool {
	return d.Window && d.Kind == series.Gauge && len(d.Labels) > 0 && d.Labels[0] == "target"
}

// rounded drops the digits of a mean that no one needs, which makes it a third as long on the disk.
func rounded(v float64) float64 {
	const dropped = 52 - 24 // bits of the fraction
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	bits := math.Float64bits(v) + 1<<(dropped-1)
	if r := math.Float64frombits(bits &^ (1<<dropped - 1)); !math.IsInf(r, 0) {
		return r
	}
	return v
}

// merged sorts points by time and makes one of those that share a Step: a process that was restarted
// within it, or a clock that was set back.
func merged(points []Point) []Point {
	byTime := func(a, b Point) int { return a.Time.Compare(b.Time) }
	if !slices.IsSortedFunc(points, byTime) {
		slices.SortStableFunc(points, byTime)
	}
	out := points[:0]
	for _, p := range points {
		if n := len(out); n > 0 && out[n-1].Time.Equal(p.Time) {
			last := &out[n-1]
			last.Min, last.Max = min(last.Min, p.Min), max(last.Max, p.Max)
			last.Mean = last.Mean/2 + p.Mean/2
			continue
		}
		out = append(out, p)
	}
	return out
}
