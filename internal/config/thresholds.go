package config

import (
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Thresholds are the shares of a limit at which the levels begin.
type Thresholds struct {
	Warning   *units.Ratio `yaml:"warning"`   // above 0% and below critical
	Critical  *units.Ratio `yaml:"critical"`  // above warning and below emergency
	Emergency *units.Ratio `yaml:"emergency"` // above critical
}

func (t *Thresholds) applyDefaults() {
	def := func(p **units.Ratio, v units.Ratio) {
		if *p == nil {
			*p = &v
		}
	}
	def(&t.Warning, .70)
	def(&t.Critical, .85)
	def(&t.Emergency, .95)
}

func (t *Thresholds) validate(report report.Func) {
	if *t.Warning <= 0 {
		report("thresholds.warning", "%s would always hold: write a larger share, such as 70%%", *t.Warning)
	}
	if *t.Critical <= *t.Warning {
		report("thresholds.critical", "%s is not above warning, %s: write a larger share, such as 85%%", *t.Critical, *t.Warning)
	}
	if *t.Emergency <= *t.Critical {
		report("thresholds.emergency", "%s is not above critical, %s: write a larger share, such as 95%%", *t.Emergency, *t.Critical)
	}
}

// Levels returns the thresholds in the form that levels are made with.
func (t *Thresholds) Levels() series.Thresholds {
	return series.Thresholds{Warning: float64(*t.Warning), Critical: float64(*t.Critical), Emergency: float64(*t.Emergency)}
}
