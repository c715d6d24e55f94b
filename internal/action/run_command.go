package action

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

const (
	maxOutput   = 60 << 10 // of a command or an answer, so that the record's text stays below 64 KiB
	maxArgs     = 256
	maxEnvValue = 4096 // of one variable that describes the alert
	envPrefix   = "SPILLWAY_"
)

// DefaultEnv are the variables that a command inherits unless its step says which.
var DefaultEnv = []string{"PATH", "LANG", "TZ"}

var (
	envForm   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	labelForm = regexp.MustCompile(`[^A-Z0-9_]`)
)

// CheckProgram says why a program is not one that a step may run, nil when it is.
func CheckProgram(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not absolute: write the whole path of the program, such as /usr/bin/systemctl; there is no shell and no search", path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("%q cannot be run (%w): write the path of a program that exists", path, reasonOf(err))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%q is not a file: write the path of a program", path)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("%q can be changed by everybody on this host: chmod o-w it", path)
	case unix.Access(path, unix.X_OK) != nil:
		return fmt.Errorf("%q is not executable for this user: chmod +x it, or write the interpreter first", path)
	}
	return nil
}

func reasonOf(err error) error {
	if pathErr, ok := err.(*fs.PathError); ok { //nolint:errorlint // os.Stat returns it as such
		return pathErr.Err
	}
	return err
}

// CommandSettings are what a step gives the action command.
type CommandSettings struct {
	Argv []string `yaml:"argv"` // the program, absolute, and its arguments
	Env  []string `yaml:"env"`  // names of variables that are passed on
}

// String implements Settings. Of a URL among the arguments only the host is shown.
func (s *CommandSettings) String() string { return "command " + shownArgv(s.Argv) }

// shownArgv writes a command line for people. What the arguments hold beyond URLs is not hidden, as it is not
// from the users of this host.
func shownArgv(argv []string) string { return fetch.PublicText(fmt.Sprintf("%q", argv)) }

// CheckOwners says which user other than root and that of this process can change the program, and what to do. It is
// asked again before each run.
func (s *CommandSettings) CheckOwners() error { return checkOwners(s.Argv, s.lookup()) }

// lookup returns the PATH that the program is given.
func (s *CommandSettings) lookup() string {
	if slices.Contains(s.Env, "PATH") {
		return os.Getenv("PATH")
	}
	return ""
}

// Validate implements Settings.
func (s *CommandSettings) Validate(report report.Func) {
	switch {
	case len(s.Argv) == 0:
		report("argv", "is missing: write the program and its arguments, such as [/usr/bin/systemctl, restart, app]")
	case len(s.Argv) > maxArgs:
		report("argv", "%d arguments are too many: write at most %d", len(s.Argv), maxArgs)
	default:
		if err := CheckProgram(s.Argv[0]); err != nil {
			report("argv[0]", "%s", err)
		}
	}
	for i, arg := range s.Argv {
		if strings.ContainsRune(arg, 0) {
			report(fmt.Sprintf("argv[%d]", i), "holds a NUL, which no argument can: remove it")
		}
	}
	if len(s.Env) > maxArgs {
		report("env", "%d variables are too many: write at most %d", len(s.Env), maxArgs)
	}
	if s.Env == nil {
		s.Env = slices.Clone(DefaultEnv)
	}
	for i, name := range s.Env {
		switch {
		case !envForm.MatchString(name):
			report(fmt.Sprintf("env[%d]", i), "%q is not the name of a variable: write names only, such as HOME", name)
		case strings.HasPrefix(name, envPrefix):
			report(fmt.Sprintf("env[%d]", i), "%q is given by the exporter: remove it", name)
		}
	}
}

// Command runs a program that a step names. It never uses a shell, and never a text of an alert as
// anything but the value of a variable or a part of the JSON on the program's standard input.
type Command struct{ logger *slog.Logger }

// NewCommand returns the action.
func NewCommand(logger *slog.Logger) *Command { return &Command{logger} }

// Run implements Action. Done is an exit status of 0, Failed another one or a program that could
// not be started, Unknown one that was killed at its timeout or whose end was not seen.
func (a *Command) Run(ctx context.Context, req Request) (Result, error) {
	settings, ok := req.Settings.(*CommandSettings)
	if !ok || len(settings.Argv) == 0 {
		return Result{Outcome: Failed}, fmt.Errorf("command: %w: write argv in the step", ErrNotConfigured)
	}
	argv := settings.Argv
	if err := CheckProgram(argv[0]); err != nil { // it may have changed since the configuration was read
		return Result{Outcome: Failed}, fmt.Errorf("command: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("command was not started: %w", err)
	}
	if req.DryRun {
		if err := settings.CheckOwners(); err != nil { // as execute does
			return Result{Outcome: Failed}, fmt.Errorf("command %q could not be started: %w", argv[0], err)
		}
	}
	stdin, err := json.Marshal(newMessage(&req))
	if err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("command: write the alert as JSON: %w", err)
	}
	if req.DryRun {
		return Result{Outcome: DryRun, Detail: "would run " + shownArgv(argv) + req.Removed.text(), Output: shown(stdin)}, nil
	}
	out := &capped{}
	start := time.Now()
	end := execute(ctx, execution{argv: argv, env: environment(&req, settings.Env, os.Getenv), lookup: settings.lookup(), stdin: append(stdin, '\n'), out: out})
	res := Result{Output: out.text()}
	took := time.Since(start).Round(time.Millisecond)
	switch {
	case !end.started:
		res.Outcome = Failed
		return res, fmt.Errorf("command %q could not be started: %w", argv[0], end.err)
	case end.killed:
		res.Outcome = Unknown
		res.Detail = fmt.Sprintf("%q was killed with its process group after %s: how far it came is not known", argv[0], took)
		if !end.seen {
			res.Detail = fmt.Sprintf("%q was killed after %s and its end was not seen", argv[0], took)
		}
		err = fmt.Errorf("command %q was stopped: %w", argv[0], context.Cause(ctx))
	case end.signal != "":
		res.Outcome = Failed
		err = fmt.Errorf("command %q was ended by %s after %s", argv[0], end.signal, took)
	case end.code != 0:
		res.Outcome = Failed
		err = fmt.Errorf("command %q ended with exit status %d after %s", argv[0], end.code, took)
	case end.err != nil:
		res.Outcome = Unknown
		err = fmt.Errorf("command %q: %w", argv[0], end.err)
	default:
		res.Outcome = Done
		res.Detail = fmt.Sprintf("exit status 0 after %s", took)
	}
	a.logger.Info("ran a command", "target", req.Target, "run", req.RunID, "program", argv[0], "outcome", string(res.Outcome), "took", took)
	return res, err
}

// environment is what the program sees: the variables of the list, and what the exporter adds.
func environment(req *Request, names []string, getenv func(string) string) []string {
	var out []string
	for _, name := range names {
		if v := getenv(name); v != "" {
			out = append(out, name+"="+v)
		}
	}
	tell := func(name, value string) {
		if strings.ContainsRune(value, 0) {
			value = strings.ReplaceAll(value, "\x00", "")
		}
		if len(value) > maxEnvValue {
			value = strings.ToValidUTF8(value[:maxEnvValue], "")
		}
		out = append(out, envPrefix+name+"="+value)
	}
	tell("RUN_ID", req.RunID)
	tell("TARGET", req.Target)
	tell("PLAYBOOK", req.Playbook)
	tell("TRIGGER", req.Trigger)
	tell("LEVEL", req.Level.String())
	if a := req.Alert; a != nil {
		tell("ALERTNAME", a.Name())
		tell("STATUS", string(a.Status))
		tell("FINGERPRINT", a.Fingerprint)
		tell("STARTS_AT", a.StartsAt.UTC().Format(time.RFC3339Nano))
		for _, name := range sortedKeys(a.Labels) {
			tell("LABEL_"+variableName(name), a.Labels[name])
		}
		for _, name := range sortedKeys(a.Annotations) {
			tell("ANNOTATION_"+variableName(name), a.Annotations[name])
		}
	}
	return out
}

func variableName(label string) string {
	return labelForm.ReplaceAllString(strings.ToUpper(label), "_")
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// capped keeps the beginning of an output and counts the rest.
type capped struct {
	kept    []byte
	dropped int64
}

// Write implements io.Writer. It always takes everything.
func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-len(c.kept))
	c.kept = append(c.kept, p[:n]...)
	c.dropped += int64(len(p) - n)
	return len(p), nil
}

func (c *capped) text() string {
	s := string(c.kept)
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) > maxOutput { // what is not UTF-8 grows
		s = strings.ToValidUTF8(s[:maxOutput], "")
	}
	if c.dropped > 0 {
		s += fmt.Sprintf("\n... and %d bytes more", c.dropped)
	}
	return s
}
