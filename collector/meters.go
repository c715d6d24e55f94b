package collector

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
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
	if m.MaxBytes > 0 {
		set(metric.TempMaxSize, float64(m.MaxBytes))
	}
}

func (m tempMeter) begin(_ context.Context, now time.Time, o *dirscan.Options) func(setFunc, *dirscan.Result) error {
	var expired, counted, again int64
	var inodes policy.Inodes
	o.Visit = func(e *dirscan.Entry) error {
		if inodes.First(e) {
			counted += m.Size(e)
		} else {
			again += e.SizeBytes
		}
		if m.Judge(e, now).Due() {
			expired++
		}
		return nil
	}
	return func(set setFunc, res *dirscan.Result) error {
		set(metric.TempFiles, float64(res.Files))
		set(metric.TempEmpty, float64(res.EmptyFiles))
		set(metric.TempSize, float64(res.SizeBytes-again))
		if m.IsRecursive() {
			set(metric.TempFolders, float64(max(res.Folders-1, 0))) // without the folder itself
		}
		if m.MaxAge > 0 || m.EmptyMaxAge > 0 {
			set(metric.TempExpired, float64(expired))
		}
		if res.Files > 0 {
			set(metric.TempOldest, seconds(res.OldestNs))
		}
		return setUsed(m.Temp, m.Dir, usedDescs{metric.TempFreeBytes, metric.TempFreeInodes, metric.TempUsedRatio}, set, res.Files, counted)
	}
}

// usedDescs are the series of how much of its limits a folder uses.
type usedDescs struct{ freeBytes, freeInodes, ratio *series.Desc }

// setUsed publishes what is free alongside a folder, where its policy asks for it, and the fullest of its
// limits.
func setUsed(p policy.Limited, dir string, d usedDescs, set setFunc, files, bytes int64) error {
	var free policy.Free
	if p.NeedsFree() {
		var err error
		if free, err = policy.FreeOf(dir); err != nil {
			return err
		}
		set(d.freeBytes, float64(free.Bytes))
		set(d.freeInodes, float64(free.Inodes))
	}
	if ratio, ok := p.Limits(files, bytes, free).UsedRatio(files, bytes); ok {
		set(d.ratio, ratio)
	}
	return nil
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
	var inodes policy.Inodes
	o.Visit = func(e *dirscan.Entry) error {
		if inodes.First(e) {
			size += m.Size(e)
		}
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
	known := policy.NewLogFiles(m.Log, m.names)
	tally := policy.NewTally(m.Log)
	known.Scan(o)
	o.Workers = 1 // a tally is bounded: which logs it holds must not depend on a race
	o.Select = func(name []byte) bool {
		kind, _ := known.KindOf(name)
		return kind == policy.LogLive || kind == policy.LogRotated
	}
	o.Visit = func(e *dirscan.Entry) error {
		kind, r, folder := known.Look(e)
		switch {
		case kind == policy.LogOther:
			return nil
		case kind == policy.LogRotated:
			tally.Add(folder, r, e.SizeBytes == 0)
		case m.Oversize(e.SizeBytes, e.AllocatedBytes):
			oversize++
		}
		files++
		size += m.Size(e)
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
