package health

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// State is how a target is as a whole, or one thing of it. A higher one is worse.
type State int

// The states. What is unknown is worse than normal: no one has seen that it is well.
const (
	StateNormal State = iota
	StateUnknown
	StateWarning
	StateCritical
	StateEmergency
	StateDown
)

var stateNames = [...]string{"normal", "unknown", "warning", "critical", "emergency", "down"}

// String returns the name of the state.
func (s State) String() string { return stateNames[min(max(s, StateNormal), StateDown)] }

func stateOf(l series.Level) State {
	if l == series.LevelNormal {
		return StateNormal
	}
	return StateWarning + State(l-series.LevelWarning)
}

// doubly is the share of a limit at which a folder is critical: at its limit it is at warning.
const doubly = 2

// Signal is the state of one thing of a target, with what people are shown: "memory at 88.2%".
type Signal struct {
	State State
	Text  string
}

// Overall returns the worst state of a target's memory, heaps, folders, probe and firing alerts, and what
// of it is not normal, the worst first.
func (t *Target) Overall() (State, []Signal) {
	var signals []Signal
	add := func(s State, format string, args ...any) {
		signals = append(signals, Signal{s, fmt.Sprintf(format, args...)})
	}
	if t.Down() {
		add(StateDown, "no process is running")
	}
	t.memorySignals(add)
	if p := t.Probe; p != nil && !t.Down() {
		if p.Success {
			add(StateNormal, "")
		} else if status, ok := known(p.Status); ok {
			add(StateCritical, "probe failing: HTTP %.0f", status)
		} else {
			add(StateCritical, "probe failing: no answer")
		}
	}
	for _, f := range t.Fills() {
		add(f.State(), "%s at %s of its %s", f.Name, units.Ratio(f.Ratio), f.Of)
	}
	for _, s := range t.failed {
		add(StateUnknown, "%s cannot be read", strings.TrimSpace(s.kind+" "+s.name))
	}
	for _, a := range t.alerts {
		switch a.Severity {
		case "info":
		case "critical":
			add(StateCritical, "%s fires", a.Name)
		default:
			add(StateWarning, "%s fires", a.Name)
		}
	}
	if len(signals) == 0 {
		add(StateUnknown, "%s", t.noLimit())
	}
	slices.SortStableFunc(signals, func(a, b Signal) int { return cmp.Compare(b.State, a.State) })
	worst := signals[0].State
	return worst, slices.DeleteFunc(signals, func(s Signal) bool { return s.State == StateNormal })
}

// noLimit says why a target has no level. Those who meet _overflow for the first time see what it is.
func (t *Target) noLimit() string {
	if t.Name == Overflow {
		return "all other processes: they have no limit"
	}
	return "no limit is known"
}

// memorySignals adds the memory and the heaps that have a level.
func (t *Target) memorySignals(add func(s State, format string, args ...any)) {
	if t.Level != nil && !t.Down() {
		text := "memory"
		if ratio, ok := known(t.UsedRatio); ok {
			text += " at " + Percent(ratio)
		}
		add(stateOf(*t.Level), "%s", text)
	}
	for i := range t.Heaps {
		if s, ratio, ok := t.HeapState(&t.Heaps[i]); ok {
			add(s, "heap at %s", Percent(ratio))
		}
	}
}

// HeapState returns the state of a heap and the share of its limit by which it is judged; ok is false where
// it is not known.
func (t *Target) HeapState(h *Heap) (s State, ratio float64, ok bool) {
	ratio, ok = h.judged()
	if !ok || t.HeapThresholds.Warning == 0 {
		return StateUnknown, ratio, false
	}
	return stateOf(t.HeapThresholds.Of(ratio)), ratio, true
}

// Fill is how full a folder is, by that of its limits which it has used most.
type Fill struct {
	Kind, Name   string
	Of           string  // what is limited: size, files, entries, limits
	Ratio        float64 // of the limit; above 1 it is exceeded
	Value, Limit *float64
}

// State returns the state of a folder: warning above its limit, critical at twice of it.
func (f *Fill) State() State {
	switch {
	case f.Ratio >= doubly:
		return StateCritical
	case f.Ratio > 1:
		return StateWarning
	}
	return StateNormal
}

// Amount writes what there is of what is allowed: "655 of 100 files"; "" where it is not known.
func (f *Fill) Amount() string {
	value, okValue := known(f.Value)
	limit, okLimit := known(f.Limit)
	switch {
	case !okValue || !okLimit:
		return ""
	case f.Of == "size":
		return units.Bytes(value).String() + " of " + units.Bytes(limit).String()
	}
	return fmt.Sprintf("%.0f of %.0f %s", value, limit, f.Of)
}

// fill chooses the fullest of a folder's limits.
type fill struct {
	Fill
	ok bool
}

func (f *fill) add(of string, value, limit *float64) {
	v, okValue := known(value)
	l, okLimit := known(limit)
	if okValue && okLimit && l > 0 {
		f.take(of, v/l, value, limit)
	}
}

func (f *fill) take(of string, ratio float64, value, limit *float64) {
	if math.IsInf(ratio, 0) || f.ok && ratio <= f.Ratio {
		return
	}
	f.Of, f.Ratio, f.Value, f.Limit, f.ok = of, ratio, value, limit, true
}

// Fills returns how full each folder with a limit is: caches, temporary files, uploads and logs.
func (t *Target) Fills() []Fill {
	var out []Fill
	end := func(f *fill, ratio *float64) {
		// The limits that are not known here, such as free space, are in the ratio.
		if r, ok := known(ratio); ok && (!f.ok || r > f.Ratio*1.001) {
			f.take("limits", r, nil, nil)
		}
		if f.ok {
			out = append(out, f.Fill)
		}
	}
	for i := range t.Caches {
		c := &t.Caches[i]
		f := fill{Fill: Fill{Kind: policy.KindCache, Name: c.Name}}
		f.add("size", c.SizeBytes, c.MaxBytes)
		f.add("entries", c.Entries, c.MaxEntries)
		end(&f, c.UsedRatio)
	}
	for i := range t.Temps {
		d := &t.Temps[i]
		f := fill{Fill: Fill{Kind: policy.KindTemp, Name: d.Name}}
		f.add("files", d.Files, d.MaxFiles)
		f.add("size", d.SizeBytes, d.MaxBytes)
		end(&f, d.UsedRatio)
	}
	for i := range t.Folders {
		d := &t.Folders[i]
		f := fill{Fill: Fill{Kind: d.Kind, Name: d.Name}}
		f.add("size", d.SizeBytes, d.MaxBytes)
		end(&f, nil)
	}
	return out
}
