package metric

import (
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Descs returns every family of series that a source can publish, in the order of their
// files. Rules, dashboards and the metrics reference are checked against it.
func Descs() []*series.Desc {
	return slices.Concat(
		processDescs, memoryDescs, hostDescs, cgroupDescs, thresholdDescs, heapDescs, cacheDescs, tempDescs, uploadDescs, logDescs, appDescs, probeDescs, sourceDescs,
	)
}

// Pressure returns the families that say how near a target is to the limit of its memory or its
// heap.
func Pressure() []*series.Desc { return slices.Concat(memoryDescs, heapDescs) }

// Owns returns every metric that the exporter keeps about itself, in the order of their files.
func Owns() []*Own {
	return slices.Concat(
		alertmanagerOwns, dispatchOwns, evaluatorOwns, evidenceOwns, exporterOwns, historyOwns, journalOwns, providerOwns, restartOwns, samplerOwns, wakeOwns, watcherOwns,
	)
}

// Names returns the name of every metric that the exporter can publish, those of Owns and of Descs, sorted.
func Names() []string {
	var out []string
	for _, o := range Owns() {
		out = append(out, o.Name)
	}
	for _, d := range Descs() {
		out = append(out, d.Name)
	}
	slices.Sort(out)
	return out
}
