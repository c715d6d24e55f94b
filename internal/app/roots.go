package app

import (
	"errors"
	"log/slog"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// rootsOf looks at the folders of a configuration, quarantines included, as they are when it is
// loaded. It does not wait for one that does not answer. logger is nil where nothing needs to be
// logged of those that appear later.
func rootsOf(cfg *config.Config, o *Options, checks *config.Checks, logger *slog.Logger) *safefs.Roots {
	var dirs []string
	add := func(dir string) {
		if dir != "" {
			dirs = append(dirs, rooted(o.RootFS, dir))
		}
	}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		for j := range t.Caches {
			add(t.Caches[j].Dir)
		}
		for j := range t.TempDirs {
			add(t.TempDirs[j].Dir)
		}
		for j := range t.Uploads {
			add(t.Uploads[j].Dir)
			add(t.Uploads[j].Quarantine)
		}
		for j := range t.Logs {
			add(t.Logs[j].Dir)
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
