package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series of a runtime's own heap.
var (
	HeapUsed      = series.NewGauge("spillway_heap_used_bytes", "Heap used by objects of the target's runtime, including garbage that is not yet collected.", "target", "runtime").Windowed()
	HeapCommitted = series.NewGauge("spillway_heap_committed_bytes", "Memory that the target's runtime holds for its heap.", "target", "runtime")
	HeapLimit     = series.NewGauge("spillway_heap_limit_bytes", "Size at which the target's runtime runs out of heap.", "target", "runtime")
	HeapLive      = series.NewGauge("spillway_heap_live_bytes", "Heap that the last collection left, of a runtime that fills its heap before it collects; absent where the runtime does not say. The levels are judged by it.", "target", "runtime").Windowed()
	HeapRead      = series.NewGauge("spillway_heap_read_processes", "Processes whose heap is read at an address, of spillway_heap_processes; absent where it is not known.", "target", "runtime")
	HeapProcesses = series.NewGauge("spillway_heap_processes", "Processes of the target that run the program whose heap is read at an address.", "target", "runtime")
	HeapUsedRatio = series.NewGauge("spillway_heap_used_ratio", "Used heap as a share of its limit.", "target", "runtime").Windowed()
)

var heapDescs = []*series.Desc{
	HeapUsed, HeapLive, HeapCommitted, HeapLimit, HeapUsedRatio, HeapRead, HeapProcesses,
}
