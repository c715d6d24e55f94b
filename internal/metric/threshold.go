package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The signals that have levels, as the label signal.
const (
	SignalMemory = "memory"
	SignalHeap   = "heap"
)

// ThresholdRatio is where the levels begin: the shipped rules join on it, so that a threshold
// stands in one place, the config.
var ThresholdRatio = series.NewGauge("spillway_threshold_ratio", "Share of the limit at which a level of a signal begins: of memory or heap.", "target", "signal", "level")

// TargetInfo is the only series that has the names of a target's container: others join on the target,
// whose name stays while these change with each start of a pod.
var TargetInfo = series.NewGauge("spillway_target_info", "What the target is: its mode, whether it was configured or discovered (source config or discover), and the systemd unit, container, pod and namespace that hold all its processes.",
	"target", "mode", "source", "unit", "container", "pod", "namespace")

var thresholdDescs = []*series.Desc{
	ThresholdRatio, TargetInfo,
}
