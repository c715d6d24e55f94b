package app

import (
	"errors"
	"log/slog"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// verifier returns what says whether a folder is still the one that is remembered. One that does not
// exist, or cannot be opened, is the scan's to report.
func verifier(roots *safefs.Roots, dir string, open func() (dirscan.Opened, error)) func() error {
	return func() error {
		var err error
		if open != nil {
			err = roots.CheckOpened(open)
		} else {
			err = roots.Check(dir)
		}
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
