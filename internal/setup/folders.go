package setup

import (
	"log/slog"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// Rooted returns a copy of a target whose folders are those that this process opens.
func Rooted(t *config.Target, host hostfs.Roots) *config.Target {
	out := *t
	out.Caches = each(t.Caches, func(c *policy.Cache) { c.Dir = host.Join(c.Dir) })
	out.TempDirs = each(t.TempDirs, func(d *policy.Temp) { d.Dir = host.Join(d.Dir) })
	out.Logs = each(t.Logs, func(l *policy.Log) { l.Dir = host.Join(l.Dir) })
	out.Uploads = each(t.Uploads, func(u *policy.Upload) {
		u.Dir = host.Join(u.Dir)
		if u.Quarantine != "" {
			u.Quarantine = host.Join(u.Quarantine)
		}
	})
	return &out
}

// each returns a changed copy of a list.
func each[P any](list []P, change func(*P)) []P {
	out := make([]P, len(list))
	for i, p := range list {
		change(&p)
		out[i] = p
	}
	return out
}

// Folders looks at the folders of a configuration, quarantines included, as they are now. It does
// not wait for one that does not answer. logger is nil where nothing needs to be logged of those
// that appear later.
func Folders(cfg *config.Config, host hostfs.Roots, checks *config.Checks, logger *slog.Logger) *safefs.Roots {
	var dirs []string
	for i := range cfg.Targets {
		t := Rooted(&cfg.Targets[i], host)
		for j := range t.Caches {
			dirs = append(dirs, t.Caches[j].Dir)
		}
		for j := range t.TempDirs {
			dirs = append(dirs, t.TempDirs[j].Dir)
		}
		for j := range t.Uploads {
			dirs = append(dirs, t.Uploads[j].Dir)
			if q := t.Uploads[j].Quarantine; q != "" {
				dirs = append(dirs, q)
			}
		}
		for j := range t.Logs {
			dirs = append(dirs, t.Logs[j].Dir)
		}
	}
	return safefs.LookAtRoots(func(look func(dir string)) { config.AskEach(checks, dirs, look) }, func(dir string, id safefs.RootID) {
		if logger != nil {
			logger.Info("a folder has appeared and is remembered until the configuration is reloaded", "dir", dir, "is", id.String())
		}
	})
}

// DirAction is an action on directories of a target, with the names of the policies that it works
// on: at least one.
type DirAction struct {
	Name     string
	Action   action.Action
	Policies []string
}

// DirActions returns the actions for the directories that a target has.
func DirActions(target *config.Target, host hostfs.Roots, opts action.DirOptions) []DirAction {
	t := Rooted(target, host)
	var out []DirAction
	add := func(name string, a action.Action, policies []string) {
		if len(policies) > 0 {
			out = append(out, DirAction{name, a, policies})
		}
	}
	add(dispatch.ActionCleanTemp, action.NewCleanTemp(opts, t.TempDirs), policyNames(t.TempDirs, (*policy.Temp).CommonKeys))
	add(dispatch.ActionEvictCache, action.NewEvictCache(opts, t.Caches), policyNames(t.Caches, (*policy.Cache).CommonKeys))
	add(dispatch.ActionEnforceUploads, action.NewEnforceUploads(opts, t.Uploads), policyNames(t.Uploads, (*policy.Upload).CommonKeys))
	add(dispatch.ActionRotateLogs, action.NewRotateLogs(opts, t.Logs), policyNames(t.Logs, (*policy.Log).CommonKeys))
	return out
}

func policyNames[P any](list []P, common func(*P) *policy.Common) []string {
	var out []string
	for i := range list {
		out = append(out, common(&list[i]).Name)
	}
	return out
}

// DirOptions returns what every directory action of a target needs; the journal's folders are never
// touched.
func DirOptions(target string, cfg *config.Config, logger *slog.Logger, now func() time.Time) action.DirOptions {
	return action.DirOptions{Target: target, Reserved: cfg.Journal.Dirs(), Logger: logger, Now: now}
}
