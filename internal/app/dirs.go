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
	folders := rootedFolders(o.RootFS, t)
	var out []dirAction
	for _, spec := range action.Table {
		if policies := folders.Of(spec.Kind); len(policies) > 0 {
			out = append(out, dirAction{spec.Name, action.NewDirs(opts, spec.Kind, folders), policyNames(policies)})
		}
	}
	return out
}

// rootedFolders returns the policies of a target with their folders below rootfs.
func rootedFolders(rootfs string, t *config.Target) *policy.Folders {
	return t.Rooted(func(dir string) string { return rooted(rootfs, dir) })
}

func policyNames(list []policy.Policy) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.CommonKeys().Name)
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
