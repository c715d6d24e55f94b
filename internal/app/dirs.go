package app

import (
	"context"
	"fmt"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// folderJobs returns the sources of a target's folders of uploads and logs.
func folderJobs(t *config.Target, o *Options, roots *safefs.Roots) ([]collector.Job, error) {
	var out []collector.Job
	for _, u := range setup.Rooted(t, o.Roots).Uploads {
		src, err := collector.NewUpload(t.Name, u)
		if err != nil {
			return nil, err
		}
		out = append(out, collector.Job{Source: sourceUpload, Target: t.Name, Impl: src, Verify: verifier(roots, u.Dir)})
	}
	for _, l := range setup.Rooted(t, o.Roots).Logs {
		src, err := collector.NewLog(t.Name, l)
		if err != nil {
			return nil, err
		}
		out = append(out, collector.Job{Source: sourceLog, Target: t.Name, Impl: src, Verify: verifier(roots, l.Dir)})
	}
	return out, nil
}

// scheduled is a policy that is also enforced on an interval of its own.
type scheduled struct {
	action, policy string
	every          time.Duration
}

func schedules(t *config.Target) []scheduled {
	var out []scheduled
	for i := range t.TempDirs {
		d := &t.TempDirs[i]
		out = append(out, scheduled{dispatch.ActionCleanTemp, d.Name, d.Every.Std()})
	}
	for i := range t.Uploads {
		u := &t.Uploads[i]
		out = append(out, scheduled{dispatch.ActionEnforceUploads, u.Name, u.Every.Std()})
	}
	for i := range t.Logs {
		l := &t.Logs[i]
		out = append(out, scheduled{dispatch.ActionRotateLogs, l.Name, l.Every.Std()})
	}
	return out
}

// startSchedules runs the policies of a target that have a schedule, until ctx is done.
func (a *App) startSchedules(ctx context.Context, t *config.Target) {
	for _, s := range schedules(t) {
		if s.every > 0 {
			a.tasks.Go(func() { a.schedule(ctx, t.Name, s) })
		}
	}
}

// folderReading judges a folder of uploads or logs; held are the due files that the last run had
// to leave.
func folderReading(f *health.Folder, held int64) dispatch.Reading {
	if f.Files == nil || f.SizeBytes == nil {
		return dispatch.Reading{}
	}
	r := dispatch.Reading{Known: true, Text: fmt.Sprintf("%s %s: %.0f files, %s", f.Kind, f.Name, *f.Files, units.Bytes(*f.SizeBytes).Short())}
	if f.MaxBytes != nil && *f.MaxBytes > 0 {
		r.Ratio = *f.SizeBytes / *f.MaxBytes
	}
	due, ok := f.Due()
	if ok {
		r.Text += fmt.Sprintf(", %.0f due", due)
	}
	if f.Over() || due > float64(held) {
		r.Level = series.LevelWarning
	}
	r.Peak = r.Ratio
	return r
}
