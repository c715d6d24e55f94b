package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

var cleanupCommand = command{
	name: "cleanup",
	help: usage{
		summary: "Apply the directory policies now, once, without a server.",
		effects: "removes files of targets in mode enforce, or of all with --enforce; none with --dry-run. The journal has each step first. An exporter that runs does it, and refuses when it has loaded another configuration of the targets. Exit code 3 means that a part of it could not be done.",
		examples: [][2]string{
			{"spillway_exporter cleanup --dry-run --files --config.file=spillway.yml", "every file that would be removed, and why"},
			{"spillway_exporter cleanup --enforce --target=orchestrator --config.file=spillway.yml", "remove now, for one target"},
			{"spillway_exporter cleanup --enforce --policy=tts --json --config.file=spillway.yml", "for a timer: one JSON object per policy"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		var f cleanupFlags
		c.Flag("target", "Only this target. Repeatable.").PlaceHolder("NAME").HintAction(e.targetNames).StringsVar(&f.targets)
		c.Flag("policy", "Only the policies with this name.").PlaceHolder("NAME").StringVar(&f.policy)
		c.Flag("dry-run", "Only say what would be removed, whatever the configuration's mode is.").BoolVar(&f.dryRun)
		c.Flag("enforce", "Remove, whatever the configuration's mode is.").BoolVar(&f.enforce)
		c.Flag("force", "Remove even where a policy would remove more than its max_remove_fraction.").BoolVar(&f.force)
		c.Flag("files", "Name each file that is removed, or would be.").BoolVar(&f.files)
		c.Flag("json", "Print one JSON object per policy.").BoolVar(&f.json)
		return func(ctx context.Context) error { return cleanup(ctx, e, &f) }
	},
}

type cleanupFlags struct {
	targets            []string
	policy             string
	dryRun, enforce    bool
	force, files, json bool
}

// cleanup applies the directory policies once, with no server: an age or an emptiness limit
// always, a size or entry limit only when it is exceeded. The intent is in the journal before the
// first file goes; an exporter that holds the journal is asked to do it.
func cleanup(ctx context.Context, e *env, f *cleanupFlags) error {
	if f.dryRun && f.enforce {
		return withCode(ExitConfig, errors.New("--dry-run and --enforce contradict each other: give one of them"))
	}
	if e.configFile == "" {
		return withCode(ExitConfig, errors.New("nothing to clean: name the directories in a configuration and give it with --config.file"))
	}
	cfg, err := e.config()
	if err != nil {
		return err
	}
	c := &cleaner{env: e, flags: f, out: newCleanupOutput(e, f.json)}
	targets, err := setup.CleanupTargets(cfg, f.targets, f.policy)
	if err != nil {
		return withCode(ExitConfig, err)
	}
	if done, err := c.ask(ctx, cfg, targets); done {
		return err
	}
	level := e.logLevel
	if level == "info" {
		level = "warn" // the table below says what was done
	}
	logger := e.logger(level)
	if err := c.openJournal(cfg, targets, logger); err != nil {
		return err
	}
	defer c.journal.Close()
	tracker, err := processes(ctx, cfg, targets, e)
	if err != nil {
		return err
	}
	if tracker != nil {
		defer tracker.Close()
	}
	roots := setup.Folders(cfg, e.host, &e.checks, nil)
	clock := setup.NewClock(e.Now, func() *journal.Journal { return c.journal })
	open := safefs.NewOpenFiles(e.host.ProcFS)
	for _, t := range targets {
		opts := setup.DirOptions(t.Name, cfg, e.host, logger, e.Now)
		opts.Clock, opts.Roots, opts.Open, opts.Patience = clock, roots, open, folderPatience
		if tracker != nil {
			opts.Members = setup.MembersOf(tracker, t.Name)
			opts.Inside = setup.Inside(t.Name, cfg, e.host, tracker, false)
		}
		for _, a := range setup.DirActions(t, e.host, opts) {
			if f.policy != "" && !slices.Contains(a.Policies, f.policy) {
				continue
			}
			err := c.run(ctx, t, a)
			if err != nil && ctx.Err() != nil {
				return errors.Join(c.out.finish(), withCode(ExitPartial, errors.New("interrupted: what was done is in the journal, the rest was left")))
			}
			if err != nil {
				return err
			}
		}
	}
	return c.out.finish()
}

// openJournal opens the journal where a target is cleaned for real, and else one in memory.
func (c *cleaner) openJournal(cfg *config.Config, targets []*config.Target, logger *slog.Logger) (err error) {
	if slices.ContainsFunc(targets, func(t *config.Target) bool { return !c.dryRun(t) }) {
		if err := setup.CheckFile(c.env.configFile, &c.env.checks); err != nil {
			return err
		}
		c.journal, err = setup.OpenJournal(enforcing(cfg), logger, prometheus.NewRegistry())
		return err
	}
	c.journal = journal.OpenMemory(journal.Options{Logger: logger})
	return nil
}

// processes looks for the processes of the targets where they are needed: a log is to be renamed and they
// are to be signalled, or a folder is named as they see it. It returns nil where neither is.
func processes(ctx context.Context, cfg *config.Config, targets []*config.Target, e *env) (*proc.Tracker, error) {
	if !slices.ContainsFunc(targets, func(t *config.Target) bool {
		return setup.IsForeign(t) || slices.ContainsFunc(t.Logs, func(l policy.Log) bool { return l.Renames() })
	}) {
		return nil, nil
	}
	tracker, err := setup.NewTracker(cfg, e.host, nil, e.logger("warn"))
	if err != nil {
		return nil, err
	}
	if err := tracker.Refresh(ctx, e.Now()); err != nil {
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

// folderPatience is how long a folder may take from one answer to the next. What hangs in the kernel
// ends with the process.
const folderPatience = 15 * time.Second

// incomplete are the outcomes that leave something to be done or to be looked at.
var incomplete = []action.Outcome{action.Partial, action.Failed, action.Unknown}

type cleaner struct {
	env     *env
	flags   *cleanupFlags
	journal *journal.Journal
	out     *cleanupOutput
}

func (c *cleaner) dryRun(t *config.Target) bool {
	switch {
	case c.flags.dryRun:
		return true
	case c.flags.enforce:
		return false
	}
	return t.Mode != config.Enforce
}

func (c *cleaner) run(ctx context.Context, t *config.Target, a setup.DirAction) error {
	dry := c.dryRun(t)
	c.out.freed = progressFreed(dry)
	req := action.Request{
		Target: t.Name, Trigger: string(alert.TriggerManual), DryRun: dry, Only: c.flags.policy,
		Force: c.flags.force, Progress: c.out.progress,
	}
	if c.flags.files {
		req.OnFile = c.out.file
	}
	mode := config.Enforce
	if dry {
		mode = config.DryRun
	}
	start := c.env.Now()
	id, err := c.journal.Begin(ctx, journal.Record{
		Time: start, Target: t.Name, Playbook: "cleanup", Step: 1, Action: a.Name, Trigger: req.Trigger, Mode: mode,
		Intent: "one shot by the command cleanup",
	})
	if err != nil {
		return fmt.Errorf("nothing was removed: %w", err)
	}
	res, runErr := a.Action.Run(ctx, req)
	c.out.policies(res.Policies)
	err = c.journal.Finish(context.WithoutCancel(ctx), id, func(r *journal.Record) {
		r.Files, r.Bytes, r.FreedBytes, r.Skipped = res.Files, res.Bytes, res.FreedBytes, res.Skipped
		r.LostBytes = res.LostBytes
		r.Outcome, r.DurationSecs = string(res.Outcome), c.env.Now().Sub(start).Seconds()
		if r.Detail = res.Detail; slices.Contains(incomplete, res.Outcome) {
			r.Error, r.Detail = res.Detail, ""
		}
	})
	return errors.Join(runErr, err)
}

// cleanupOutput prints what was done, as a table or as JSON lines, and a line of progress where
// someone watches.
type cleanupOutput struct {
	env      *env
	json     bool
	terminal bool
	width    int
	freed    string // ends a line of progress; "" where another process does it, in a mode of its own
	results  []action.PolicyResult
	faults   []string // of what failed as a whole
}

func newCleanupOutput(e *env, json bool) *cleanupOutput {
	return &cleanupOutput{env: e, json: json, terminal: isTerminal(e.Stderr)}
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
	line := fmt.Sprintf("%s/%s: %d files, %s%s", p.Target, p.Policy, p.Files, units.Bytes(p.FreedBytes), c.freed)
	fmt.Fprintf(c.env.Stderr, "\r%-*s", c.width, line)
	c.width = max(c.width, len(line))
}

func (c *cleanupOutput) clearProgress() {
	if c.width > 0 {
		fmt.Fprintf(c.env.Stderr, "\r%*s\r", c.width, "")
		c.width = 0
	}
}

func (c *cleanupOutput) file(p action.PolicyResult, path []byte, why string) {
	c.clearProgress()
	w := c.env.Stdout
	if c.json {
		w = c.env.Stderr // standard output has one object per policy
	}
	name := quoteName(p.Dir + "/" + string(path))
	if n := p.EntryFiles; n != nil {
		name += fmt.Sprintf("\t%d %s", *n, plural(int(*n), "file", "files"))
	}
	fmt.Fprintf(w, "%s\t%s\n", why, name)
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
	if !c.json {
		return
	}
	enc := json.NewEncoder(c.env.Stdout)
	for i := range list {
		if err := enc.Encode(&list[i]); err != nil {
			return // the reader has gone away
		}
	}
}

// finish prints the table and returns the error that carries the exit code.
func (c *cleanupOutput) finish() error {
	if !c.json {
		printPolicies(c.env.Stdout, c.results)
		if inUseIncomplete(c.results) {
			fmt.Fprintln(c.env.Stdout, action.InUseIncomplete)
		}
	}
	bad := slices.Clone(c.faults)
	failed := len(c.faults)
	for i := range c.results {
		r := &c.results[i]
		if slices.Contains(incomplete, r.Outcome) {
			bad = append(bad, fmt.Sprintf("%s/%s: %s: %s", r.Target, r.Policy, r.Outcome, r.Error))
		}
		if r.Outcome == action.Failed {
			failed++
		}
	}
	switch {
	case len(bad) == 0:
		return nil
	case failed == len(c.results)+len(c.faults):
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
	if r.Entries > 0 {
		text += fmt.Sprintf(", %d %s", r.Entries, plural(int(r.Entries), "entry", "entries"))
	}
	if r.Links > 0 {
		text += fmt.Sprintf(", %d %s", r.Links, plural(int(r.Links), "link", "links"))
	}
	if r.Rotated > 0 {
		text += fmt.Sprintf(", %d rotated", r.Rotated)
	}
	if r.LostBytes > 0 {
		text += ", " + units.Bytes(r.LostBytes).String() + " lost"
	}
	if r.Quarantine != "" && r.Files > 0 {
		text += ", moved to the quarantine"
	}
	if r.MissingEntries > 0 || r.MissingBytes > 0 {
		text += ", " + missingText(r)
	}
	if r.Waits != "" {
		text += ", " + r.Waits
	}
	return text
}

// missingText says how far a folder stays from the mark that its limits ask for.
func missingText(r *action.PolicyResult) string {
	var parts []string
	if r.MissingBytes > 0 {
		parts = append(parts, units.Bytes(r.MissingBytes).String())
	}
	if r.MissingEntries > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", r.MissingEntries, plural(int(r.MissingEntries), "file", "files")))
	}
	return strings.Join(parts, " and ") + " more would have to go to reach the target size"
}

func printPolicies(w io.Writer, results []action.PolicyResult) {
	var freed freedColumn
	for i := range results {
		freed.note(results[i].Outcome == action.DryRun, results[i].Outcome != action.Failed)
	}
	t := newTable(w, "TARGET", "KIND", "POLICY", "SCANNED", "FILES", "SIZE", freed.heading(), "SKIPPED", "OUTCOME")
	for i := range results {
		r := &results[i]
		t.row(r.Target, r.Kind, r.Policy, strconv.FormatInt(r.Scanned, 10), strconv.FormatInt(r.Files, 10),
			units.Bytes(r.Bytes).String(), freed.cell(r.FreedBytes, r.Outcome == action.DryRun), skippedText(r.Skipped), outcomeText(r))
	}
	t.flush()
}
