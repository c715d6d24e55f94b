package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// allKept is longer than any history is kept.
const allKept = 10 * 365 * 24 * time.Hour

// Past is what an exporter has recorded, opened for reading, alongside a running one too.
type Past struct {
	Journal *journal.Journal
	History *history.Store
	Files   *folderlog.Log
}

// ReadPast opens what the exporter with a configuration has recorded.
func ReadPast(cfg *config.Config, logger *slog.Logger) (*Past, error) {
	j, err := ReadJournal(cfg, logger)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("nothing was recorded yet (%w): start the exporter first, or name the folder of its journal in the file", err)
	}
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(j.Path())
	h := history.New(history.Options{Path: filepath.Join(dir, history.FileName), Keep: allKept, ReadOnly: true, Logger: logger})
	if err := h.Open(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("there is no history in %s: it is recorded unless history: off is written, and begins with the first start of this version", dir)
		}
		return nil, errors.Join(err, j.Close())
	}
	files, err := folderlog.Open(dir)
	if err != nil {
		logger.Warn("what became of files cannot be read", "err", err)
		files = nil
	}
	return &Past{j, h, files}, nil
}

// Close closes all of it.
func (p *Past) Close() error { return errors.Join(p.History.Close(), p.Journal.Close()) }

// LimitsNow returns a function that returns the memory limit of a target at present. It is not known for one that does not run.
func LimitsNow(ctx context.Context, cfg *config.Config, host hostfs.Roots, now time.Time, logger *slog.Logger) (func(target string) (int64, bool), error) {
	cgroups := NewCgroups(host)
	tracker, err := NewTracker(cfg, host, cgroups, logger)
	if err != nil {
		return nil, err
	}
	defer tracker.Close()
	if err := tracker.Refresh(ctx, now); err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	limits := collector.NewLimits(collector.LimitsOptions{Procfs: host.ProcFS, Sysfs: host.SysFS, Cgroups: cgroups})
	known := make(map[string]int64)
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if t.Processes == nil {
			continue
		}
		var u proc.Usage
		if u, err = tracker.Usage(t.Name); err != nil || u.Processes == 0 {
			continue
		}
		if bytes, err := limits.LimitOf(now, &u, t.Memory); err == nil && bytes > 0 {
			known[t.Name] = bytes
		}
	}
	return func(target string) (int64, bool) {
		bytes, ok := known[target]
		return bytes, ok
	}, nil
}
