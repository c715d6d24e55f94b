package health

import (
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Probe is what was last seen of a target's probe.
type Probe struct {
	Success                           bool
	Status                            *float64 // absent when no answer came
	DurationSeconds, MaxSeconds       *float64
	StartupSeconds, MaxStartupSeconds *float64
}

// AppValue is a number that the service tells about itself.
type AppValue struct {
	Name  string
	Value float64
}

// takeProbe takes the series of a probe and of what a service tells. The limits alone, of a target
// that does not run, are no probe.
func (t *Target) takeProbe(s *series.Sample) bool {
	name, known := strings.CutPrefix(s.Desc.Name, "spillway_")
	v := s.Value
	at := map[string]func(p *Probe){
		"probe_success":                func(p *Probe) { p.Success = v == 1 },
		"probe_http_status_code":       func(p *Probe) { p.Status = &v },
		"probe_duration_seconds":       func(p *Probe) { p.DurationSeconds = &v },
		"probe_max_duration_seconds":   func(p *Probe) { p.MaxSeconds = &v },
		"startup_duration_seconds":     func(p *Probe) { p.StartupSeconds = &v },
		"startup_max_duration_seconds": func(p *Probe) { p.MaxStartupSeconds = &v },
	}[name]
	switch {
	case !known:
		return false
	case at != nil:
		at(&t.probe)
		if name == "probe_success" {
			t.Probe = &t.probe
		}
	case name == "app_value":
		t.AppValues = append(t.AppValues, AppValue{Name: s.Values[1], Value: v})
		slices.SortFunc(t.AppValues, func(a, b AppValue) int { return strings.Compare(a.Name, b.Name) })
	default:
		return false
	}
	return true
}
