package web

import (
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// objective is something that a service shall keep to, with what is measured.
type objective struct {
	Name, Limit, Now string
	Kept             bool
}

// objectives returns those of a target whose limit and value are both known.
func objectives(t *health.Target) []objective {
	var out []objective
	add := func(name string, now, limit *float64, text func(float64) string) {
		n, okNow := finite(now)
		l, okLimit := finite(limit)
		if okNow && okLimit && l > 0 {
			out = append(out, objective{name, text(l), text(n), n <= l})
		}
	}
	size := func(f float64) string { return units.Bytes(f).String() }
	if p := t.Probe; p != nil {
		add("Response time of the probe", p.DurationSeconds, p.MaxSeconds, shortTime)
		add("Start-up, to the first good probe", p.StartupSeconds, p.MaxStartupSeconds, shortTime)
	}
	add("Memory below its limit", t.UsedBytes, t.LimitBytes, size)
	for _, f := range t.Fills() {
		name := fmt.Sprintf("%s: %s within the limit", f.Name, f.Of)
		if f.Value == nil || f.Limit == nil {
			out = append(out, objective{f.Name + ": within its limits", "100%", units.Ratio(f.Ratio).String(), f.Ratio <= 1})
			continue
		}
		text := size
		if f.Of != "size" {
			text = filesUnit.text
		}
		add(name, f.Value, f.Limit, text)
	}
	return out
}
