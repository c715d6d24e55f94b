package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// DefaultListenAddress is where the exporter serves unless told otherwise.
const DefaultListenAddress = ":10042"

// The commands of the command line.
const (
	CommandServe       = "serve"
	CommandCheck       = "check"
	CommandCleanup     = "cleanup"
	CommandJournal     = "journal"
	CommandExplain     = "explain"
	CommandExport      = "export"
	CommandDemo        = "demo"
	CommandDemoService = "demo-service"
)

// The exit codes of every command.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitConfig  = 2  // the command line or the configuration is wrong
	ExitPartial = 3  // a clean-up removed only a part of what was due
	ExitLocked  = 75 // another instance holds the journal (EX_TEMPFAIL)
)

// Options are what the command line says.
type Options struct {
	ConfigFile            string // "" = embedded defaults
	ProcFS, SysFS, RootFS string
	LogLevel, LogFormat   string
	TelemetryPath         string
	Web                   *web.FlagConfig
	JSON                  bool
	PID                   int
	ExportDir             string
	FromProcessExporter   string // a configuration of process-exporter to be written as ours
	Cleanup               CleanupOptions
	Journal               JournalOptions
	Demo                  DemoOptions
	Stdout, Stderr        io.Writer
	ReloadSignal          <-chan os.Signal // SIGHUP; may be nil
	Now                   func() time.Time // default time.Now
}

// CleanupOptions are the flags of the cleanup command.
type CleanupOptions struct {
	Targets         []string
	Policy          string
	DryRun, Enforce bool
	Force, Files    bool
}

// JournalOptions are the flags of the journal command.
type JournalOptions struct {
	Since, Target, Output string
	Limit                 int
}

// DemoOptions are the flags of the demo.
type DemoOptions struct {
	Duration   time.Duration
	Address    string
	ServiceDir string
}

// Version returns the text of --version. A binary that was not built by make knows its version from
// what Go itself has noted.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && version.Version == "" {
		version.Version = info.Main.Version
	}
	return version.Print("spillway_exporter")
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

// Main runs a command and returns the process' exit code. Errors are printed here and nowhere
// else.
func Main(ctx context.Context, command string, o Options) int {
	if o.Now == nil {
		o.Now = time.Now
	}
	commands := map[string]func(context.Context, Options) error{
		CommandServe:       serve,
		CommandCheck:       check,
		CommandCleanup:     cleanup,
		CommandJournal:     journalCommand,
		CommandExplain:     explain,
		CommandExport:      export,
		CommandDemo:        demo,
		CommandDemoService: demoService,
	}
	err := commands[command](ctx, o)
	if err == nil {
		return ExitOK
	}
	code := exitCode(err)
	var mistakes config.Errors
	switch {
	case errors.As(err, &mistakes):
		fmt.Fprintf(o.Stderr, "%v\n", mistakes)
		noun := "mistake"
		if len(mistakes) != 1 {
			noun += "s"
		}
		fmt.Fprintf(o.Stderr, "spillway_exporter: %d %s in the configuration\n", len(mistakes), noun)
	case err.Error() != "":
		fmt.Fprintf(o.Stderr, "spillway_exporter: %v\n", err)
	}
	return code
}

func exitCode(err error) int {
	var (
		exit     *exitError
		mistakes config.Errors
	)
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &mistakes):
		return ExitConfig
	case errors.Is(err, journal.ErrLocked):
		return ExitLocked
	}
	return ExitFailure
}
