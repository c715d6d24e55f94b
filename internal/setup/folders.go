package setup

import (
	"log/slog"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// Rooted returns the policies of a target with the folders that this process opens.
func Rooted(t *config.Target, host hostfs.Roots) *policy.Folders { return t.Rooted(host.Join) }

// Folders looks at the folders of a configuration, quarantines included, as they are now. It does
// not wait for one that does not answer. logger is nil where nothing needs to be logged of those
// that appear later.
func Folders(cfg *config.Config, host hostfs.Roots, checks *config.Checks, logger *slog.Logger) *safefs.Roots {
	dirs := places(cfg, host)
	return safefs.LookAtRoots(func(look func(dir string)) { config.AskEach(checks, dirs, look) }, func(dir string, id safefs.RootID) {
		if logger != nil {
			logger.Info("a folder has appeared, or was made anew, and is remembered until the configuration is reloaded", "dir", dir, "is", id.String())
		}
	})
}

// places returns all folders that the policies of a configuration name, as this process opens them.
func places(cfg *config.Config, host hostfs.Roots) []string {
	var dirs []string
	for i := range cfg.Targets {
		folders := Rooted(&cfg.Targets[i], host)
		for _, k := range policy.Kinds {
			for _, p := range folders.Of(k.Name) {
				for _, place := range p.Places() {
					if *place.Dir != "" {
						dirs = append(dirs, *place.Dir)
					}
				}
			}
		}
	}
	return dirs
}

// DirAction is an action on directories of a target, with the names of the policies that it works
// on: at least one.
type DirAction struct {
	Name     string
	Action   action.Action
	Policies []string
}

// DirActions returns the actions for the directories that a target has.
func DirActions(t *config.Target, host hostfs.Roots, opts action.DirOptions) []DirAction {
	folders := Rooted(t, host)
	var out []DirAction
	for _, spec := range action.Table {
		if policies := folders.Of(spec.Kind); len(policies) > 0 {
			out = append(out, DirAction{spec.Name, action.NewDirs(opts, spec.Kind, folders), policyNames(policies)})
		}
	}
	return out
}

func policyNames(list []policy.Policy) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.CommonKeys().Name)
	}
	return out
}

// DirOptions returns what every directory action of a target needs; the journal's folders are never
// touched.
func DirOptions(target string, cfg *config.Config, host hostfs.Roots, logger *slog.Logger, now func() time.Time) action.DirOptions {
	return action.DirOptions{Target: target, Reserved: cfg.Journal.Dirs(), Places: places(cfg, host), Logger: logger, Now: now}
}
