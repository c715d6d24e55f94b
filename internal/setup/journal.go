package setup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
)

// OpenJournal opens the journal. Where no folder can be written, dry runs are kept in memory;
// a configuration that enforces is refused then.
func OpenJournal(cfg *config.Config, logger *slog.Logger, reg prometheus.Registerer) (*journal.Journal, error) {
	opts := journal.Options{
		Keep: cfg.Journal.Keep.Std(), OnCorrupt: cfg.Journal.OnCorrupt, Logger: logger, Registerer: reg,
		Unseen: unseen, UnseenStates: restart.StatePrefix,
	}
	var errs []error
	for _, dir := range cfg.Journal.Dirs() {
		opts.Dir = dir
		j, err := journal.Open(opts)
		switch {
		case err == nil:
			logger.Info("journal opened", "dir", dir)
			return j, nil
		case errors.Is(err, journal.ErrLocked), errors.Is(err, journal.ErrCorrupt), errors.Is(err, journal.ErrNoAnswer):
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

// JournalNotice says what is wrong with a journal, for the page; "" is nothing.
func JournalNotice(j *journal.Journal) string {
	switch {
	case !j.Durable():
		return "Dry runs are recorded in memory only: no folder for the journal can be written."
	case !j.Writable():
		return fmt.Sprintf("The journal cannot be written, and nothing is done until it can: %v.", j.Failure())
	}
	return ""
}

// unseen says what became of a step of an earlier process that restarts, or of an undo of its drain: all else is
// interrupted.
func unseen(r *journal.Record, states map[string][]byte) (text string, acted bool) {
	if r.Action == nameUndoDrain {
		return "whether the service takes work again was not seen", true
	}
	if r.Step == 0 || r.Action != action.NameRestart || r.Mode != dispatch.ModeEnforce {
		return "", false
	}
	return restart.Unseen(r.Target, r.RunID, states)
}

// ReadJournal opens the journal for reading, alongside a running exporter too. The error is an fs.ErrPermission where
// this user may not read the one that is there, and an fs.ErrNotExist where there is none.
func ReadJournal(cfg *config.Config, logger *slog.Logger) (*journal.Journal, error) {
	return firstJournal(cfg.Journal.Dirs(), func(dir string) (*journal.Journal, error) {
		return journal.OpenReadOnly(journal.Options{Dir: dir, Logger: logger})
	}, logger)
}

// firstJournal returns the first journal that can be read, and warns of one before it that may not be.
func firstJournal(dirs []string, open func(dir string) (*journal.Journal, error), logger *slog.Logger) (*journal.Journal, error) {
	var missing, closed error
	for _, dir := range dirs {
		j, err := open(dir)
		switch {
		case errors.Is(err, fs.ErrPermission):
			closed = cmp.Or(closed, err)
		case errors.Is(err, fs.ErrNotExist):
			missing = err
		default:
			if err == nil && closed != nil {
				logger.Warn("a journal may not be read by this user: what is printed is another one", "err", closed, "printed", dir)
			}
			return j, err
		}
	}
	return nil, cmp.Or(closed, missing)
}
