package collector

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// tempMeter measures a folder of temporary files.
type tempMeter struct{ *policy.Temp }

func (m tempMeter) limits(set setFunc) {
	if m.MaxFiles > 0 {
		set(metric.TempMaxFiles, float64(m.MaxFiles))
	}
}

func (m tempMeter) begin(_ context.Context, now time.Time, o *dirscan.Options) func(setFunc, *dirscan.Result) error {
	var expired int64
	o.Visit = func(e *dirscan.Entry) error {
		if m.Judge(e, now).Due() {
			expired++
		}
		return nil
	}
	return func(set setFunc, res *dirscan.Result) error {
		set(metric.TempFiles, float64(res.Files))
		set(metric.TempEmpty, float64(res.EmptyFiles))
		set(metric.TempSize, float64(res.SizeBytes))
		if m.MaxAge > 0 || m.EmptyMaxAge > 0 {
			set(metric.TempExpired, float64(expired))
		}
		if res.Files > 0 {
			set(metric.TempOldest, seconds(res.OldestNs))
		}
		return nil
	}
}
