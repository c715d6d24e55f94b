package app

import (
	"errors"
	"log/slog"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// rootsOf looks at the folders of a configuration, quarantines included, as they are when it is
// loaded. It does not wait for one that does not answer. logger is nil where nothing needs to be
// logged of those that appear later.
func rootsOf(cfg *config.Config, o *Options, checks *config.Checks, logger *slog.Logger) *safefs.Roots {
	var dirs []string
	for i := range cfg.Targets {
		for _, k := range policy.Kinds {
			for _, p := range rootedFolders(o.RootFS, &cfg.Targets[i]).Of(k.Name) {
				for _, place := range p.Places() {
					if *place.Dir != "" {
						dirs = append(dirs, *place.Dir)
					}
				}
			}
		}
	}
	return safefs.LookAtRoots(func(look func(dir string)) { config.AskEach(checks, dirs, look) }, func(dir string, id safefs.RootID) {
		if logger != nil {
			logger.Info("a folder has appeared and is remembered until the configuration is reloaded", "dir", dir, "is", id.String())
		}
	})
}

// verifier returns what says whether a folder is still the one that is remembered. One that does not
// exist, or cannot be opened, is the scan's to report.
func verifier(roots *safefs.Roots, dir string) func() error {
	return func() error {
		err := roots.Check(dir)
		if exchanged := (*safefs.ExchangedError)(nil); errors.As(err, &exchanged) {
			return err
		}
		return nil
	}
}

// logExchanged says which folders are others than those that the old graph remembers: by the reload
// somebody has accepted them.
func (g *graph) logExchanged(old *graph, logger *slog.Logger) {
	for _, dir := range g.roots.Changed(old.roots) {
		logger.Warn("another folder than before is accepted by this reload", "dir", dir)
	}
}
