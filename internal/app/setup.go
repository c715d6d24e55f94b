package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// loadConfig reads the configuration that the options name, or returns the embedded defaults.
func loadConfig(o *Options) (*config.Config, error) {
	if o.ConfigFile == "" {
		return config.Default(), nil
	}
	return config.Load(o.ConfigFile)
}

// TargetNames returns the targets of a configuration file, and nothing where it cannot be read: it
// is asked while somebody types.
func TargetNames(file string) []string {
	if file == "" {
		return nil
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil
	}
	return targetNames(cfg)
}

// warn logs what may become right later.
func warn(cfg *config.Config, logger *slog.Logger) {
	for _, note := range hostNotes() {
		logger.Warn("a system call is refused", "hint", note)
	}
	for _, w := range cfg.Warnings {
		logger.Warn("configuration", "file", w.File, "line", w.Line, "key", w.Key, "hint", w.Msg)
	}
}

// hostNotes says what this host, or a filter on this process, refuses, and what stands in.
func hostNotes() []string {
	var out []string
	for _, err := range []error{dirscan.Openat2(), proc.Signals()} {
		if err != nil {
			out = append(out, err.Error())
		}
	}
	return out
}

// journalDirs returns where the journal may go: the configured folder alone, or else the default
// one and then the user's state directory.
func journalDirs(cfg *config.Config) []string {
	if cfg.Journal.Dir != "" {
		return []string{cfg.Journal.Dir}
	}
	dirs := []string{journal.DefaultDir}
	state := os.Getenv("XDG_STATE_HOME")
	if home, err := os.UserHomeDir(); state == "" && err == nil {
		state = filepath.Join(home, ".local", "state")
	}
	if filepath.IsAbs(state) {
		dirs = append(dirs, filepath.Join(state, "spillway"))
	}
	return dirs
}

// openJournal opens the journal. Where no folder can be written, dry runs are kept in memory;
// a configuration that enforces is refused then.
func openJournal(cfg *config.Config, logger *slog.Logger, reg prometheus.Registerer) (*journal.Journal, error) {
	opts := journal.Options{
		Keep: cfg.Journal.Keep.Std(), OnCorrupt: cfg.Journal.OnCorrupt, Logger: logger, Registerer: reg,
	}
	dirs := journalDirs(cfg)
	var errs []error
	for _, dir := range dirs {
		opts.Dir = dir
		j, err := journal.Open(opts)
		switch {
		case err == nil:
			logger.Info("journal opened", "dir", dir)
			return j, nil
		case errors.Is(err, journal.ErrLocked), errors.Is(err, journal.ErrCorrupt):
			return nil, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", dir, err))
	}
	err := errors.Join(errs...)
	if cfg.Enforces() {
		return nil, fmt.Errorf("%w\nmode enforce needs a journal that can be written: make the folder for this user, or write journal: {dir: ...}", err)
	}
	logger.Warn("no folder for the journal can be written: dry runs are recorded in memory only, and mode enforce would be refused; write journal: {dir: ...}", "err", err)
	opts.Dir = ""
	return journal.OpenMemory(opts), nil
}

// readJournal opens the journal for reading, beside a running exporter too.
func readJournal(cfg *config.Config, logger *slog.Logger) (*journal.Journal, error) {
	var missing error
	for _, dir := range journalDirs(cfg) {
		j, err := journal.OpenReadOnly(journal.Options{Dir: dir, Logger: logger})
		if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return j, err
		}
		missing = err
	}
	return nil, missing
}
