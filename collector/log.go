package collector

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// logMeter measures a folder of logs.
type logMeter struct {
	*policy.Log
	names *policy.Names
}

func (m logMeter) limits(setFunc) {}

func (m logMeter) begin(_ context.Context, now time.Time, o *dirscan.Options) func(setFunc, *dirscan.Result) error {
	var files, size, oversize int64
	var folder []byte
	tally := policy.NewTally(m.Log)
	o.Workers = 1 // a tally is bounded: which logs it holds must not depend on a race
	o.Select = func(name []byte) bool {
		kind, _ := m.names.KindOf(name)
		return kind == policy.LogLive || kind == policy.LogRotated
	}
	o.Visit = func(e *dirscan.Entry) error {
		files++
		size += m.Size(e)
		switch kind, r := m.names.KindOf(e.Name); {
		case kind == policy.LogRotated:
			folder = e.Parent.AppendPath(folder[:0])
			tally.Add(folder, r)
		case m.Oversize(e.SizeBytes, e.AllocatedBytes):
			oversize++
		}
		return nil
	}
	return func(set setFunc, _ *dirscan.Result) error {
		set(metric.LogFiles, float64(files))
		set(metric.LogSize, float64(size))
		set(metric.LogOversize, float64(oversize))
		set(metric.LogExpired, float64(len(tally.Due(now))))
		return nil
	}
}
