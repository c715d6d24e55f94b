package app

import (
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// comparing returns what opens a policy's folder for a scan, and what says after it whether the folder is
// still the one that is remembered. Of a folder without a path on this host what the scan has opened is
// compared; open is nil for one with a path.
func (g *graph) comparing(open func() (dirscan.Opened, error), dir string) (opens func() (dirscan.Opened, error), verify func() error) {
	if open == nil {
		return nil, verifier(g.roots, dir)
	}
	var last atomic.Pointer[error]
	opens = func() (dirscan.Opened, error) {
		o, err := open()
		var exchanged error
		if err == nil {
			exchanged = g.roots.Compare(&o)
		}
		last.Store(&exchanged)
		return o, err
	}
	return opens, func() error {
		if err := last.Load(); err != nil {
			return *err
		}
		return nil
	}
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
// someone has accepted them.
func (g *graph) logExchanged(old *graph, logger *slog.Logger) {
	for _, dir := range g.roots.Changed(old.roots) {
		logger.Warn("another folder than before is accepted by this reload", "dir", dir)
	}
}
