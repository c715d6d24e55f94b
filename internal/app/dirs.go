package app

import (
	"context"
	"fmt"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// dirAction is an action on directories of a target, with the names of the policies that it works
// on: at least one.
type dirAction struct {
	name     string
	action   action.Action
	policies []string
}

// dirActions returns the actions for the directories that a target has.
func dirActions(t *config.Target, o *Options, opts action.DirOptions) []dirAction {
	var out []dirAction
	add := func(name string, a action.Action, policies []string) {
		if len(policies) > 0 {
			out = append(out, dirAction{name, a, policies})
		}
	}
	add(dispatch.ActionCleanTemp, action.NewCleanTemp(opts, rootedTemps(o.RootFS, t.TempDirs)), policyNames(t.TempDirs, (*policy.Temp).CommonKeys))
	add(dispatch.ActionEvictCache, action.NewEvictCache(opts, rootedCaches(o.RootFS, t.Caches)), policyNames(t.Caches, (*policy.Cache).CommonKeys))
	add(dispatch.ActionEnforceUploads, action.NewEnforceUploads(opts, rootedUploads(o.RootFS, t.Uploads)), policyNames(t.Uploads, (*policy.Upload).CommonKeys))
	add(dispatch.ActionRotateLogs, action.NewRotateLogs(opts, rootedLogs(o.RootFS, t.Logs)), policyNames(t.Logs, (*policy.Log).CommonKeys))
	return out
}

func policyNames[P any](list []P, common func(*P) *policy.Common) []string {
	var out []string
	for i := range list {
		out = append(out, common(&list[i]).Name)
	}
	return out
}

func rootedUploads(rootfs string, in []policy.Upload) []policy.Upload {
	out := make([]policy.Upload, len(in))
	for i, u := range in {
		u.Dir = rooted(rootfs, u.Dir)
		if u.Quarantine != "" {
			u.Quarantine = rooted(rootfs, u.Quarantine)
		}
		out[i] = u
	}
	return out
}

func rootedLogs(rootfs string, in []policy.Log) []policy.Log {
	out := make([]policy.Log, len(in))
	for i, l := range in {
		l.Dir = rooted(rootfs, l.Dir)
		out[i] = l
	}
	return out
}

// folderJobs returns the sources of a target's folders of uploads and logs.
func folderJobs(t *config.Target, o *Options, roots *safefs.Roots) ([]collector.Job, error) {
	var out []collector.Job
	for _, u := range rootedUploads(o.RootFS, t.Uploads) {
		src, err := collector.NewUpload(t.Name, u)
		if err != nil {
			return nil, err
		}
		out = append(out, collector.Job{Source: sourceUpload, Target: t.Name, Impl: src, Verify: verifier(roots, u.Dir)})
	}
	for _, l := range rootedLogs(o.RootFS, t.Logs) {
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
