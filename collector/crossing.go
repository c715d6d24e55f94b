package collector

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// The signals of a Crossing.
const (
	SignalMemory = metric.SignalMemory
	SignalHeap   = metric.SignalHeap
)

// Crossing says that the level of a target has changed, or that a reading which a Wake led to has
// confirmed a level at warning or above; From and To are the same then.
type Crossing struct {
	Target   string
	Signal   string // SignalMemory or SignalHeap
	From, To series.Level
	At       time.Time // of the reading
}

// The reasons of a reading between two sweeps: the values of the label of
// spillway_sampler_wakes_total. A Wake with any other reason counts as WakeOther.
const (
	WakeDistance     = "distance"      // the next threshold may be reached before the next sweep
	WakePressure     = "pressure"      // a trigger of the pressure stall information
	WakeMemoryEvents = "memory_events" // memory.events of a cgroup has changed
	WakeThreshold    = "threshold"     // a threshold of a cgroup of version 1 was crossed
	WakeStart        = "start"         // a process of the target has ended, or the target starts
	WakeOther        = "other"
)

var wakeReasons = []string{WakeDistance, WakePressure, WakeMemoryEvents, WakeThreshold, WakeStart, WakeOther}
