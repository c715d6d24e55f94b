package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// cleanup applies the directory policies once, with no server: an age or an emptiness limit
// always, a size or entry limit only when it is exceeded. The intent is in the journal before the
// first file goes; while an exporter holds the journal nothing is removed.
func cleanup(ctx context.Context, o Options) error {
	if o.Cleanup.DryRun && o.Cleanup.Enforce {
		return withCode(ExitConfig, errors.New("--dry-run and --enforce contradict each other: give one of them"))
	}
	if o.ConfigFile == "" {
		return withCode(ExitConfig, errors.New("nothing to clean: name the directories in a configuration and give it with --config.file"))
	}
	cfg, err := loadConfig(&o)
	if err != nil {
		return err
	}
	roots := rootsOf(cfg, &o, nil)
	targets, err := cleanupTargets(cfg, &o.Cleanup)
	if err != nil {
		return withCode(ExitConfig, err)
	}
	level := o.LogLevel
	if level == "" || level == "info" {
		level = "warn" // the table below says what was done
	}
	logger := newLogger(o.Stderr, level, o.LogFormat)
	c := &cleaner{cfg: cfg, opts: &o, out: newCleanupOutput(&o)}
	for _, t := range targets {
		if c.dryRun(t) {
			continue
		}
		if c.journal, err = openJournal(enforcing(cfg), logger, prometheus.NewRegistry()); err != nil {
			return err
		}
		defer c.journal.Close()
		break
	}
	if c.journal == nil {
		c.journal = journal.OpenMemory(journal.Options{Logger: logger})
		defer c.journal.Close()
	}
	tracker, err := logWriters(ctx, cfg, targets, &o)
	if err != nil {
		return err
	}
	if tracker != nil {
		defer tracker.Close()
	}
	clock := newClock(o.Now, func() *journal.Journal { return c.journal })
	open := safefs.NewOpenFiles(o.ProcFS)
	for _, t := range targets {
		opts := dirOptions(t.Name, cfg, logger, o.Now)
		opts.Clock, opts.Roots, opts.Open = clock, roots, open
		if tracker != nil {
			opts.Members = membersOf(tracker, t.Name)
		}
		if o.Cleanup.Files {
			opts.OnFile = c.out.file
		}
		for _, a := range dirActions(t, &o, opts) {
			if err := c.run(ctx, t, a); err != nil {
				return err
			}
		}
	}
	return c.out.finish()
}

// logWriters looks for the processes of the targets where a log is to be renamed and they are to be
// told; it returns nil where none is.
func logWriters(ctx context.Context, cfg *config.Config, targets []*config.Target, o *Options) (*proc.Tracker, error) {
	if !slices.ContainsFunc(targets, func(t *config.Target) bool {
		return slices.ContainsFunc(t.Logs, func(l policy.Log) bool { return l.Renames() })
	}) {
		return nil, nil
	}
	tracker, err := newTracker(cfg, o, newCgroups(o), newLogger(o.Stderr, "warn", o.LogFormat))
	if err != nil {
		return nil, err
	}
	if err := tracker.Refresh(ctx, o.Now()); err != nil {
		tracker.Close()
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	return tracker, nil
}

// enforcing returns the configuration as one that changes things, so that a journal which cannot
// be written is refused.
func enforcing(cfg *config.Config) *config.Config {
	c := *cfg
	c.Targets = []config.Target{{Mode: config.Enforce}}
	return &c
}

// cleanupTargets returns the targets that the flags choose and that have directories.
func cleanupTargets(cfg *config.Config, o *CleanupOptions) ([]*config.Target, error) {
	var out []*config.Target
	var known []string
	policyFound := o.Policy == ""
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		actions := dirActions(t, &Options{}, action.DirOptions{})
		if len(actions) == 0 {
			continue
		}
		known = append(known, t.Name)
		if len(o.Targets) > 0 && !slices.Contains(o.Targets, t.Name) {
			continue
		}
		out = append(out, t)
		for _, a := range actions {
			policyFound = policyFound || slices.Contains(a.policies, o.Policy)
		}
	}
	for _, name := range o.Targets {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("--target %s: no such target with directories: write one of %s", name, strings.Join(known, ", "))
		}
	}
	switch {
	case len(out) == 0:
		return nil, errors.New("nothing to clean: no target has caches, temp_dirs, uploads or logs")
	case !policyFound:
		return nil, fmt.Errorf("--policy %s: the chosen targets have no directory policy of this name", o.Policy)
	}
	return out, nil
}

type cleaner struct {
	cfg     *config.Config
	opts    *Options
	journal *journal.Journal
	out     *cleanupOutput
}

func (c *cleaner) dryRun(t *config.Target) bool {
	switch {
	case c.opts.Cleanup.DryRun:
		return true
	case c.opts.Cleanup.Enforce:
		return false
	}
	return t.Mode != config.Enforce
}

func (c *cleaner) run(ctx context.Context, t *config.Target, a dirAction) error {
	dry := c.dryRun(t)
	req := action.Request{
		Target: t.Name, Trigger: string(alert.TriggerManual), DryRun: dry, Only: c.opts.Cleanup.Policy,
		Force: c.opts.Cleanup.Force, Progress: c.out.progress,
	}
	mode := config.Enforce
	if dry {
		mode = config.DryRun
	}
	start := c.opts.Now()
	id, err := c.journal.Begin(ctx, journal.Record{
		Time: start, Target: t.Name, Playbook: "cleanup", Step: 1, Action: a.name, Trigger: req.Trigger, Mode: mode,
		Intent: "one shot by the command cleanup",
	})
	if err != nil {
		return fmt.Errorf("nothing was removed: %w", err)
	}
	res, runErr := a.action.Run(ctx, req)
	c.out.policies(res.Policies)
	err = c.journal.Finish(context.WithoutCancel(ctx), id, func(r *journal.Record) {
		r.Files, r.Bytes, r.FreedBytes, r.Skipped = res.Files, res.Bytes, res.FreedBytes, res.Skipped
		r.Outcome, r.DurationSecs = string(res.Outcome), c.opts.Now().Sub(start).Seconds()
		if r.Detail = res.Detail; res.Outcome == action.Partial || res.Outcome == action.Failed {
			r.Error, r.Detail = res.Detail, ""
		}
	})
	return errors.Join(runErr, err)
}

// cleanupOutput prints what was done, as a table or as JSON lines, and a line of progress where
// somebody watches.
type cleanupOutput struct {
	opts     *Options
	terminal bool
	width    int
	results  []action.PolicyResult
}

func newCleanupOutput(o *Options) *cleanupOutput {
	return &cleanupOutput{opts: o, terminal: isTerminal(o.Stderr)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (c *cleanupOutput) progress(p action.PolicyResult) {
	if !c.terminal {
		return
	}
	line := fmt.Sprintf("%s/%s: %d files, %s freed", p.Target, p.Policy, p.Files, units.Bytes(p.FreedBytes))
	fmt.Fprintf(c.opts.Stderr, "\r%-*s", c.width, line)
	c.width = max(c.width, len(line))
}

func (c *cleanupOutput) clearProgress() {
	if c.width > 0 {
		fmt.Fprintf(c.opts.Stderr, "\r%*s\r", c.width, "")
		c.width = 0
	}
}

func (c *cleanupOutput) file(p action.PolicyResult, path []byte, why string) {
	c.clearProgress()
	w := c.opts.Stdout
	if c.opts.JSON {
		w = c.opts.Stderr // standard output has one object per policy
	}
	fmt.Fprintf(w, "%s\t%s\n", why, quoteName(p.Dir+"/"+string(path)))
}

// quoteName writes a name so that no control character reaches the terminal.
func quoteName(s string) string {
	if q := strconv.Quote(s); q[1:len(q)-1] != s {
		return q
	}
	return s
}

func (c *cleanupOutput) policies(list []action.PolicyResult) {
	c.clearProgress()
	c.results = append(c.results, list...)
	if !c.opts.JSON {
		return
	}
	enc := json.NewEncoder(c.opts.Stdout)
	for i := range list {
		if err := enc.Encode(&list[i]); err != nil {
			return // the reader has gone away
		}
	}
}

// finish prints the table and returns the error that carries the exit code.
func (c *cleanupOutput) finish() error {
	if !c.opts.JSON {
		printPolicies(c.opts.Stdout, c.results)
		if inUseIncomplete(c.results) {
			fmt.Fprintln(c.opts.Stdout, action.InUseIncomplete)
		}
	}
	var bad []string
	failed := 0
	for i := range c.results {
		r := &c.results[i]
		if r.Outcome == action.Partial || r.Outcome == action.Failed {
			bad = append(bad, fmt.Sprintf("%s/%s: %s: %s", r.Target, r.Policy, r.Outcome, r.Error))
		}
		if r.Outcome == action.Failed {
			failed++
		}
	}
	switch {
	case len(bad) == 0:
		return nil
	case failed == len(c.results):
		return withCode(ExitFailure, errors.New(strings.Join(bad, "\n")))
	}
	return withCode(ExitPartial, errors.New(strings.Join(bad, "\n")))
}

func inUseIncomplete(results []action.PolicyResult) bool {
	return slices.ContainsFunc(results, func(r action.PolicyResult) bool { return r.InUseIncomplete })
}

// outcomeText says too what the other columns have no place for.
func outcomeText(r *action.PolicyResult) string {
	text := string(r.Outcome)
	if r.Rotated > 0 {
		text += fmt.Sprintf(", %d rotated", r.Rotated)
	}
	if r.LostBytes > 0 {
		text += ", " + units.Bytes(r.LostBytes).String() + " lost"
	}
	if r.Quarantine != "" && r.Files > 0 {
		text += ", moved to the quarantine"
	}
	return text
}

func printPolicies(w io.Writer, results []action.PolicyResult) {
	t := newTable(w, "TARGET", "KIND", "POLICY", "SCANNED", "FILES", "SIZE", "FREED", "SKIPPED", "OUTCOME")
	for i := range results {
		r := &results[i]
		t.row(r.Target, r.Kind, r.Policy, strconv.FormatInt(r.Scanned, 10), strconv.FormatInt(r.Files, 10),
			units.Bytes(r.Bytes).String(), units.Bytes(r.FreedBytes).String(), skippedText(r.Skipped), outcomeText(r))
	}
	t.flush()
}
