package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// verdictText is what is printed for each verdict.
var verdictText = map[string]string{
	verdictReady:     "ready: write mode: enforce for this target",
	verdictYourCall:  "your call: nothing is in the way, but what follows is for you to judge",
	verdictNotReady:  "not ready:",
	verdictEnforcing: "already enforcing",
}

// print writes the report for people.
func (w *weekReport) print(out io.Writer) {
	fmt.Fprintf(out, "the last %s, by the journal; rights are those of %s\n", w.span, quoteName(w.User))
	for _, note := range w.Notes {
		fmt.Fprintf(out, "note: %s\n", strings.Map(printable, note))
	}
	dry := false
	for i := range w.Targets {
		tr := &w.Targets[i]
		fmt.Fprintf(out, "\n%s (%s)\n", quoteName(tr.Target), tr.Mode)
		dry = tr.printActions(out) || dry
		tr.printSteps(out)
		fmt.Fprintln(out, verdictText[tr.Verdict])
		for _, reason := range tr.Reasons {
			fmt.Fprintf(out, "  - %s\n", strings.Map(printable, reason))
		}
		for _, advice := range tr.Advice {
			fmt.Fprintf(out, "  advice: %s\n", strings.Map(printable, advice))
		}
	}
	if dry {
		fmt.Fprintln(out, "\nOf dry runs, FILES and the space are those of the largest run: each dry run names the same files again.")
	}
}

// printActions prints what was done or would have been, and reports whether a dry run is among it.
func (tr *targetReport) printActions(out io.Writer) (dry bool) {
	if len(tr.Actions) == 0 {
		fmt.Fprintln(out, "no action was due")
		return false
	}
	var freed freedColumn
	for i := range tr.Actions {
		freed.note(tr.Actions[i].Mode == config.DryRun, true)
	}
	t := newTable(out, "ACTION", "MODE", "RUNS", "FILES", freed.heading(), "LONGEST")
	for i := range tr.Actions {
		a := &tr.Actions[i]
		t.row(a.Action, a.Mode, fmt.Sprint(a.Runs), fmt.Sprint(a.Files), freed.cell(a.Freed, a.Mode == config.DryRun), seconds(a.Longest))
	}
	t.flush()
	for i := range tr.Actions {
		if a := &tr.Actions[i]; a.OnFiles && a.Mode == config.DryRun && a.Files > 0 {
			fmt.Fprintf(out, "%s: used again: %s\n", a.Action, usedText(a.Again))
		}
	}
	return freed.dry
}

// printSteps prints what steps that acted have achieved.
func (tr *targetReport) printSteps(out io.Writer) {
	if len(tr.Steps) == 0 {
		return
	}
	t := newTable(out, "PLAYBOOK", "STEP", "RELIEVED", "FREED/S", "LEVEL BACK AFTER")
	for i := range tr.Steps {
		s := &tr.Steps[i]
		share, per, back := "", "", ""
		if s.Pressure > 0 {
			share = fmt.Sprintf("%d of %d", s.Relieved, s.Pressure)
		}
		if rate, ok := s.BytesPerSecond(); ok {
			per = units.Bytes(rate).String()
		}
		if s.BackSeconds != nil {
			back = seconds(*s.BackSeconds)
		}
		t.row(s.Playbook, fmt.Sprintf("%d %s", s.Number, s.Action), share, per, back)
	}
	t.flush()
}

// seconds writes a duration of a record.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}
