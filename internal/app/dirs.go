package app

import (
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
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
