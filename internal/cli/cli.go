package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// The exit codes of every command.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitConfig  = 2  // the command line or the configuration is wrong
	ExitPartial = 3  // a clean-up removed only a part of what was due
	ExitLocked  = 75 // another instance holds the journal (EX_TEMPFAIL)
)

// Options connect the command line to its process.
type Options struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Reload         <-chan os.Signal // SIGHUP; may be nil
	Now            func() time.Time // default time.Now
	ConfigFile     string           // read where no flag names a file and this one exists; default /etc/spillway/spillway.yml
}

// env is what every command has: the connection to the process and the flags of every command.
type env struct {
	Options
	host                            hostfs.Roots
	checks                          config.Checks
	configFile, logLevel, logFormat string
	configNamed                     bool // --config.file was written, be it empty
}

// findConfig takes the configuration file of the host where no flag names one. A file that is there and cannot be
// looked at is taken, so that it is named in the error.
func (e *env) findConfig() {
	if e.configNamed || e.configFile != "" || e.ConfigFile == "" {
		return
	}
	if _, err := os.Stat(e.ConfigFile); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		e.configFile = e.ConfigFile
	}
}

func (e *env) config() (*config.Config, error) {
	e.checks.Host = e.host
	return setup.LoadConfig(e.configFile, &e.checks)
}

func (e *env) logger(level string) *slog.Logger {
	return setup.NewLogger(e.Stderr, level, e.logFormat)
}

func (e *env) printJSON(v any) error {
	enc := json.NewEncoder(e.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// targetNames returns the targets of the configuration file, and none where it cannot be read: it is
// called while someone types.
func (e *env) targetNames() []string {
	e.findConfig()
	if e.configFile == "" {
		return nil
	}
	cfg, err := e.config()
	if err != nil {
		return nil
	}
	out := make([]string, len(cfg.Targets))
	for i := range cfg.Targets {
		out[i] = cfg.Targets[i].Name
	}
	return out
}

// Main runs a command line, without the name of the program, and returns the exit code. Errors are
// printed here and nowhere else.
func Main(ctx context.Context, args []string, o Options) int {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.ConfigFile = cmp.Or(o.ConfigFile, defaultConfigFile)
	line := newCommandLine(o, completesWord(args))
	run, err := line.parse(args)
	if err != nil {
		fmt.Fprintf(o.Stderr, "spillway_exporter: %s\n", line.advise(args, err))
		return ExitConfig
	}
	line.env.findConfig()
	err = run(ctx)
	printError(o.Stderr, err)
	return exitCode(err)
}

func printError(w io.Writer, err error) {
	if err == nil || err.Error() == "" {
		return
	}
	var mistakes config.Errors
	if !errors.As(err, &mistakes) {
		fmt.Fprintf(w, "spillway_exporter: %v\n", err)
		return
	}
	fmt.Fprintf(w, "%v\nspillway_exporter: %d %s in the configuration\n", mistakes, len(mistakes), plural(len(mistakes), "mistake", "mistakes"))
}

// exitError carries the exit code of a command's failure.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withCode marks err with an exit code.
func withCode(code int, err error) error { return &exitError{code, err} }

func exitCode(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &exit):
		return exit.code
	case setup.IsMistake(err):
		return ExitConfig
	case errors.Is(err, journal.ErrLocked):
		return ExitLocked
	}
	return ExitFailure
}
