package config

import (
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Thresholds are the shares of a limit at which the levels begin, for all signals or for each.
type Thresholds struct {
	Warning   *units.Ratio `yaml:"warning"`   // of every signal that does not say its own; above 0% and below critical
	Critical  *units.Ratio `yaml:"critical"`  // the same; above warning and below emergency
	Emergency *units.Ratio `yaml:"emergency"` // the same; above critical

	Memory *Levels `yaml:"memory"` // of the memory limit of a target and of the host
	Heap   *Levels `yaml:"heap"`   // of the heap limit of a runtime
}

// Levels are the thresholds of one signal. What is missing is that of all signals.
type Levels struct {
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
	for _, l := range []**Levels{&t.Memory, &t.Heap} {
		if *l == nil {
			*l = &Levels{}
		}
		def(&(*l).Warning, *t.Warning)
		def(&(*l).Critical, *t.Critical)
		def(&(*l).Emergency, *t.Emergency)
	}
}

func (t *Thresholds) validate(report report.Func) {
	all := Levels{t.Warning, t.Critical, t.Emergency}
	if !all.validate("thresholds", report) {
		return // what follows from it is not said twice
	}
	t.Memory.validate("thresholds.memory", report)
	t.Heap.validate("thresholds.heap", report)
}

func (l *Levels) validate(key string, report report.Func) (right bool) {
	right = true
	wrong := func(level, format string, args ...any) {
		right = false
		report(key+"."+level, format, args...)
	}
	if *l.Warning <= 0 {
		wrong("warning", "%s would always hold: write a larger share, such as 70%%", *l.Warning)
	}
	if *l.Critical <= *l.Warning {
		wrong("critical", "%s is not above warning, %s: write a larger share, such as 85%%", *l.Critical, *l.Warning)
	}
	if *l.Emergency <= *l.Critical {
		wrong("emergency", "%s is not above critical, %s: write a larger share, such as 95%%", *l.Emergency, *l.Critical)
	}
	return right
}

// Of returns the thresholds of a signal in the form that levels are made with.
func (l *Levels) Of() series.Thresholds {
	return series.Thresholds{Warning: float64(*l.Warning), Critical: float64(*l.Critical), Emergency: float64(*l.Emergency)}
}
