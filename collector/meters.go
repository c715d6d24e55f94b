package collector

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// dirMeters make the meters of the kinds by their names in policy.Kinds.
var dirMeters = map[string]func(o *DirOptions, names *policy.Names) dirMeter{
	policy.KindCache: func(o *DirOptions, _ *policy.Names) dirMeter {
		return &cacheMeter{Cache: o.Policy.(*policy.Cache), opens: o.Opens, hits: newHitWindow(o.Window)}
	},
	policy.KindTemp:   func(o *DirOptions, _ *policy.Names) dirMeter { return tempMeter{o.Policy.(*policy.Temp)} },
	policy.KindUpload: func(o *DirOptions, _ *policy.Names) dirMeter { return uploadMeter{o.Policy.(*policy.Upload)} },
	policy.KindLog: func(o *DirOptions, names *policy.Names) dirMeter {
		return logMeter{o.Policy.(*policy.Log), names}
	},
}

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
		if m.IsRecursive() {
			set(metric.TempFolders, float64(max(res.Folders-1, 0))) // without the folder itself
		}
		if m.MaxAge > 0 || m.EmptyMaxAge > 0 {
			set(metric.TempExpired, float64(expired))
		}
		if res.Files > 0 {
			set(metric.TempOldest, seconds(res.OldestNs))
		}
		return nil
	}
}

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
