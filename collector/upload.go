package collector

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// uploadMeter measures a folder of uploaded files.
type uploadMeter struct{ *policy.Upload }

func (m uploadMeter) limits(set setFunc) {
	if m.MaxBytes > 0 {
		set(metric.UploadMaxSize, float64(m.MaxBytes))
	}
}

func (m uploadMeter) begin(_ context.Context, now time.Time, o *dirscan.Options) func(setFunc, *dirscan.Result) error {
	var size, oversize, expired int64
	o.Visit = func(e *dirscan.Entry) error {
		size += m.Size(e)
		switch {
		case m.Oversize(e):
			oversize++
		case m.Judge(e, now) == policy.Expired:
			expired++
		}
		return nil
	}
	return func(set setFunc, res *dirscan.Result) error {
		set(metric.UploadFiles, float64(res.Files))
		set(metric.UploadSize, float64(size))
		if m.MaxFileBytes > 0 {
			set(metric.UploadOversize, float64(oversize))
		}
		if m.MaxAge > 0 {
			set(metric.UploadExpired, float64(expired))
		}
		return nil
	}
}
