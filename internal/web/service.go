package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// probeRow is what a card shows of a probe.
type probeRow struct {
	health.Probe
	Chart *chart
}

func (s *server) probeRow(t *health.Target, tier series.Tier, find map[series.Key]series.Sample) *probeRow {
	if t.Probe == nil {
		return nil
	}
	return &probeRow{*t.Probe, s.chart(metric.ProbeDuration, shortTime, tier, find, t.Probe.MaxSeconds, t.Name)}
}

// Text says how the last probe ended: "200 OK in 12ms, started in 2.5s".
func (p *probeRow) Text() string {
	out := "no answer"
	if status, ok := finite(p.Status); ok {
		out = strings.TrimSpace(strconv.Itoa(int(status)) + " " + http.StatusText(int(status)))
	}
	if d, ok := finite(p.DurationSeconds); ok {
		out += " in " + shortTime(d)
	}
	if d, ok := finite(p.StartupSeconds); ok {
		out += ", started in " + shortTime(d)
	}
	return out
}

// shortTime writes seconds with three digits at most: "850µs", "12ms", "2.5s".
func shortTime(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// numberText writes a number that a service reports, of which no one knows the unit.
func numberText(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// Text says what is known of a cache: "1204 of 1000 entries, 1.1GiB of 1GiB, 12 expired, 87.4% hits".
func (c cacheRow) Text() string {
	var parts []string
	add := func(value, limit *float64, format func(float64) string, unit string) {
		v, ok := finite(value)
		if !ok {
			return
		}
		text := format(v)
		if most, ok := finite(limit); ok {
			text += " of " + format(most)
		}
		parts = append(parts, text+unit)
	}
	count := func(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }
	size := func(f float64) string { return units.Bytes(f).String() }
	add(c.Entries, c.MaxEntries, count, " entries")
	add(c.SizeBytes, c.MaxBytes, size, "")
	add(c.Expired, nil, count, " expired")
	add(c.HitRatio, nil, health.Percent, " hits")
	return strings.Join(parts, ", ")
}
