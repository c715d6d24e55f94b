package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/replay"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// printReplay prints what the file would have done in a span that has just ended.
func printReplay(ctx context.Context, e *env, back time.Duration, asJSON bool) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	if len(cfg.Targets) == 0 {
		return withCode(ExitConfig, errors.New("--replay: there is no target to replay: name a file that has one with --config.file"))
	}
	set, err := setup.LoadRules(cfg, &e.checks)
	if err != nil {
		return err
	}
	past, err := setup.ReadPast(cfg, e.logger(e.logLevel))
	if err != nil {
		return err
	}
	defer past.Close()
	now := e.Now()
	limit, err := setup.LimitsNow(ctx, cfg, e.host, now, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	report, err := replay.Play(ctx, replay.Options{
		Config: cfg, Rules: set, History: past.History, Files: past.Files, Journal: past.Journal.Query, Limit: limit, From: now.Add(-back), To: now,
	})
	switch {
	case err != nil:
		return err
	case asJSON:
		return e.printJSON(report)
	}
	printPast(e.Stdout, e.configFile, report)
	return nil
}

// printPast writes a report for people.
func printPast(w io.Writer, file string, r *replay.Report) {
	if file == "" {
		file = "the embedded defaults"
	}
	fmt.Fprintf(w, "%s from %s to %s\n", file, r.From.Local().Format(time.DateTime), r.To.Local().Format(time.DateTime))
	fmt.Fprintln(w, "times are exact to five minutes; \"may have\" is a run that only the largest value of five minutes reaches")
	fmt.Fprintln(w)
	if len(r.Runs) == 0 {
		fmt.Fprintln(w, "no run would have started, and none did")
	} else {
		printRuns(w, r.Runs)
	}
	for i := range r.Folders {
		printVictims(w, &r.Folders[i])
	}
	for i, note := range r.Notes {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "note: %s\n", note)
	}
}

func printRuns(w io.Writer, runs []replay.Run) {
	counts := make(map[string]int)
	t := newTable(w, "TIME", "TARGET", "PLAYBOOK", "LEVEL", "HELD", "MODE", "FILE", "OUTCOME", "REALLY", "AFTER", "OUTCOME")
	for i := range runs {
		run := &runs[i]
		counts[run.Would]++
		held, really, took, outcome := "", "-", "", ""
		if run.Seconds > 0 {
			held = units.Duration(time.Duration(run.Seconds) * time.Second).String()
		}
		if x := run.Really; x != nil {
			really, outcome = x.Time.Local().Format(time.TimeOnly), x.Outcome
			took = (time.Duration(x.Seconds*10) * time.Second / 10).String()
		}
		t.row(run.Time.Local().Format(time.DateTime), run.Target, run.Playbook, run.Level, held, run.Mode, wouldText(run.Would), run.Outcome, really, took, outcome)
	}
	t.flush()
	fmt.Fprintf(w, "%d %s would have started, %d may have", counts[replay.WouldHave], plural(counts[replay.WouldHave], "run", "runs"), counts[replay.MayHave])
	if n := counts[replay.WouldNot]; n > 0 {
		fmt.Fprintf(w, "; %d really did that would not have", n)
	}
	fmt.Fprintln(w)
}

func wouldText(would string) string {
	switch would {
	case replay.WouldHave:
		return "run"
	case replay.MayHave:
		return "may have"
	}
	return "no run"
}

func printVictims(w io.Writer, f *replay.Folder) {
	fmt.Fprintf(w, "\n%s %s of %s: ", f.Kind, f.Policy, f.Target)
	if f.Files == 0 {
		fmt.Fprintln(w, "no file would have been removed")
		return
	}
	fmt.Fprintf(w, "%d %s, %s, would have been removed (%s)\n", f.Files, plural(int(f.Files), "file", "files"), units.Bytes(f.Bytes), skippedText(f.Why))
	fmt.Fprintf(w, "  %d of them %s used again within a day: regret %.1f %%\n", f.Again, plural(int(f.Again), "was", "were"), 100*f.Regret)
	if f.Recent > 0 {
		fmt.Fprintf(w, "  of %d the day is not over yet\n", f.Recent)
	}
	if f.Sample < 1 {
		fmt.Fprintf(w, "  estimated from one file in %.0f\n", 1/f.Sample)
	}
}
