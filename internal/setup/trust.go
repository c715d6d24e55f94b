package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/listen"
)

// Service is what a configuration is served with.
type Service struct {
	File      string   // of the configuration; "" = the embedded defaults
	Addresses []string // to listen on
	Auth      listen.Auth
}

// CheckService refuses a configuration in mode enforce that must not be served like this: callers from other hosts
// need prove nothing, or users other than root and this process's own can change one of the files that it rests
// on. What mode enforce would refuse is a warning in mode dry_run.
func CheckService(cfg *config.Config, s Service, checks *config.Checks) error {
	if err := cfg.CheckListener(s.Addresses, s.Auth.Decided()); err != nil {
		return err
	}
	return checkTrust(cfg, s.files(cfg), checks, hostfs.CheckTrusted)
}

// CheckServiceAsRoot is CheckService for root, who asks about an exporter of which it is not known as whom it
// runs: what belongs to another user is only warned of.
func CheckServiceAsRoot(cfg *config.Config, s Service, checks *config.Checks) error {
	if err := cfg.CheckListener(s.Addresses, s.Auth.Decided()); err != nil {
		return err
	}
	if err := checkTrust(cfg, s.files(cfg), checks, hostfs.CheckModes); err != nil {
		return err
	}
	if cfg.Enforces() {
		warn(cfg, config.Untrusted(s.files(cfg), checks, hostfs.CheckTrusted), "mode enforce is refused unless the exporter runs as that user")
	}
	return nil
}

// CheckEnforced refuses what CheckService and CheckJournal refuse in mode enforce, whatever the mode is.
func CheckEnforced(cfg *config.Config, s Service, j *journal.Journal, checks *config.Checks) error {
	if found := config.Untrusted(s.files(cfg), checks, hostfs.CheckTrusted); len(found) > 0 {
		return found
	}
	return trusted(j)
}

// CheckFile refuses a configuration file by which a clean-up is done for real, and which others can change.
func CheckFile(file string, checks *config.Checks) error {
	if found := config.Untrusted([]config.NamedFile{{File: file, Path: file}}, checks, hostfs.CheckTrusted); len(found) > 0 {
		return found
	}
	return nil
}

func (s *Service) files(cfg *config.Config) []config.NamedFile {
	files := cfg.Files()
	for i := range files {
		files[i].File = s.File
	}
	if s.File != "" {
		files = append(files, config.NamedFile{File: s.File, Path: s.File})
	}
	for _, path := range s.Auth.Files {
		files = append(files, config.NamedFile{File: "--web.config.file", Path: path})
	}
	return files
}

func checkTrust(cfg *config.Config, files []config.NamedFile, checks *config.Checks, judge func(string) error) error {
	found := config.Untrusted(files, checks, judge)
	switch {
	case len(found) == 0:
		return nil
	case cfg.Enforces():
		return found
	}
	warn(cfg, found, "mode enforce would be refused")
	return nil
}

func warn(cfg *config.Config, found config.Errors, follows string) {
	for _, e := range found {
		e.Msg += " (" + follows + ")"
		cfg.Warnings = append(cfg.Warnings, e)
	}
}

// OpenServedJournal is OpenJournal for an exporter that serves: in mode enforce a journal that others can change is
// refused.
func OpenServedJournal(cfg *config.Config, logger *slog.Logger, reg prometheus.Registerer) (*journal.Journal, error) {
	j, err := OpenJournal(cfg, logger, reg)
	if err != nil {
		return nil, err
	}
	if err := CheckJournal(cfg, j); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if err := trusted(j); err != nil {
		logger.Warn("others can change the journal: mode enforce would be refused", "err", err)
	}
	return j, nil
}

// CheckJournal refuses a configuration in mode enforce with an open journal that is not on the disk, or that users
// other than root and this process's own can change.
func CheckJournal(cfg *config.Config, j *journal.Journal) error {
	switch {
	case !cfg.Enforces():
		return nil
	case !j.Durable():
		return errors.New("mode enforce needs a journal on the disk, and this process has none: write journal: {dir: ...} and restart")
	}
	if err := trusted(j); err != nil {
		return Mistake(fmt.Errorf("mode enforce needs a journal that no one else can change: %w", err))
	}
	return nil
}

func trusted(j *journal.Journal) error {
	if j.Path() == "" {
		return nil
	}
	err := hostfs.CheckTrustedIn(journal.DefaultDir, j.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was removed or moved: nothing runs without it, and this is asked again when it is opened anew
	}
	return err
}
