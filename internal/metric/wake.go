package metric

// What the kernel was asked to report.
var (
	WakeWatches = &Own{"spillway_wake_watches", "Kernel notifications registered for the targets, by reason: pressure, memory_events (limits met), threshold (cgroup version 1).", Gauge, []string{"reason"}}
)

var wakeOwns = []*Own{WakeWatches}
