package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

// print writes the plan for people: what is watched, from when a level holds, what would go now, and
// what an alert would start.
func (p *plan) print(w io.Writer) {
	source := p.Config
	if source == "" {
		source = "embedded defaults"
	}
	where := "evaluated by Prometheus"
	if p.Every != "" {
		where = "evaluated here every " + p.Every
	}
	if p.Reflex {
		where += ", the group " + rules.Reflex + " here"
	}
	fmt.Fprintf(w, "%s: ok, %d rules, %s\n", source, p.Rules, where)
	for _, warning := range p.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	for i := range p.Targets {
		p.print1(w, &p.Targets[i])
	}
	if p.Host != nil {
		printHost(w, p.Host)
	}
	p.summary(w)
}

func (p *plan) print1(w io.Writer, tp *targetPlan) {
	mode := tp.Mode
	if mode == "" {
		mode = "observed"
	}
	fmt.Fprintf(w, "\n%s (%s)\n", tp.Name, mode)
	tp.printProcesses(w)
	if tp.Limit > 0 {
		at := func(ratio float64) units.Bytes { return units.Bytes(ratio * float64(tp.Limit)) }
		fmt.Fprintf(w, "  memory limit %s (or the cgroup's or host's, if lower): warning at %s, critical at %s, emergency at %s\n",
			units.Bytes(tp.Limit), at(p.thresholds.Warning), at(p.thresholds.Critical), at(p.thresholds.Emergency))
	}
	if tp.Heap != "" {
		fmt.Fprintf(w, "  heap by %s\n", tp.Heap)
	}
	for _, a := range tp.Answers {
		if a.Error != "" {
			fmt.Fprintf(w, "  %s does not answer as it should: %s\n", a.Source, strings.Map(printable, a.Error))
			continue
		}
		fmt.Fprintf(w, "  %s answers: %s\n", a.Source, strings.Map(printable, a.Text))
	}
	for i := range tp.Cleanup {
		printPolicyPlan(w, &tp.Cleanup[i])
	}
	for _, b := range tp.Playbooks {
		when := "on an alert for " + b.Name
		if b.Name == dispatch.PlaybookOnExit {
			when = "when its last process has ended"
		}
		fmt.Fprintf(w, "  %s: %s\n", when, strings.Map(printable, strings.Join(b.Steps, ", then ")))
	}
}

func (tp *targetPlan) printProcesses(w io.Writer) {
	if len(tp.Processes) == 0 {
		fmt.Fprintln(w, "  no process matches now")
	} else {
		fmt.Fprintf(w, "  %d %s, %s resident\n", len(tp.Processes), plural(len(tp.Processes), "process", "processes"), units.Bytes(tp.Resident))
	}
	for i, m := range tp.Processes {
		if i == checkMembers {
			fmt.Fprintf(w, "    and %d more\n", len(tp.Processes)-i)
			break
		}
		child := ""
		if m.Child {
			child = "  (child)"
		}
		fmt.Fprintf(w, "    %7d  %-20s %10s%s\n", m.PID, quoteName(m.Name), units.Bytes(m.Resident), child)
	}
	for _, a := range tp.Also {
		fmt.Fprintf(w, "  %d of them %s the target %s too, which stands later in the file and does not get %s: such as %d %s\n",
			a.Processes, plural(a.Processes, "matches", "match"), a.Target, plural(a.Processes, "it", "them"), a.PID, quoteName(a.Name))
	}
	for _, advice := range tp.Advice {
		fmt.Fprintf(w, "  %s\n", strings.Map(printable, advice))
	}
}

func printPolicyPlan(w io.Writer, r *action.PolicyResult) {
	verb := "remove"
	if r.Quarantine != "" {
		verb = "move to " + quoteName(r.Quarantine)
	}
	what := fmt.Sprintf("%d of %d files", r.Files, r.Scanned)
	if r.Entry != "" {
		what = fmt.Sprintf("%d of %d entries (%d %s)", r.Entries, r.Scanned, r.Files, plural(int(r.Files), "file", "files"))
	}
	fmt.Fprintf(w, "  %s %s: would %s %s in %s, %s", r.Kind, r.Policy, verb, what, quoteName(r.Dir), units.Bytes(r.Bytes))
	if r.Place != "" {
		fmt.Fprintf(w, "; at present %s", quoteName(r.Place))
	}
	if r.Waits != "" {
		fmt.Fprintf(w, "; %s", strings.Map(printable, r.Waits))
	}
	if r.Rotated > 0 {
		fmt.Fprintf(w, "; would rotate %d", r.Rotated)
	}
	if s := skippedText(r.Skipped); s != "" {
		fmt.Fprintf(w, "; left alone: %s", s)
	}
	if len(r.KeptNames) > 0 {
		fmt.Fprintf(w, "; kept unless include names them: %s", strings.Join(each(r.KeptNames, quoteName), " "))
	}
	if r.MissingEntries > 0 || r.MissingBytes > 0 {
		fmt.Fprintf(w, "; %s", missingText(r))
	}
	if r.Error != "" {
		fmt.Fprintf(w, "; %s", strings.Map(printable, r.Error))
	}
	fmt.Fprintln(w)
}

// summary ends the plan with what all of it comes to and how to go on.
func (p *plan) summary(w io.Writer) {
	var files, bytes, rotated int64
	policies, enforced, proposed, named := 0, 0, 0, 0
	incomplete := false
	for i := range p.Targets {
		switch p.Targets[i].Mode {
		case config.Propose:
			proposed++
			named++
		case config.Enforce:
			enforced++
			fallthrough
		case config.DryRun:
			named++
		}
		incomplete = incomplete || inUseIncomplete(p.Targets[i].Cleanup)
		for j := range p.Targets[i].Cleanup {
			r := &p.Targets[i].Cleanup[j]
			policies++
			files, bytes, rotated = files+r.Files, bytes+r.Bytes, rotated+r.Rotated
		}
	}
	fmt.Fprintln(w, "\nnothing was changed")
	if policies > 0 {
		fmt.Fprintf(w, "a clean-up now would remove %d %s, %s", files, plural(int(files), "file", "files"), units.Bytes(bytes))
		if rotated > 0 {
			fmt.Fprintf(w, ", and rotate %d %s", rotated, plural(int(rotated), "log", "logs"))
		}
		fmt.Fprintf(w, "; to list them: spillway_exporter cleanup --dry-run --files --config.file=%s\n", p.Config)
	}
	if incomplete {
		fmt.Fprintln(w, action.InUseIncomplete)
	}
	switch {
	case p.Refused != "":
		fmt.Fprintln(w, "serve would refuse to start with this configuration and these flags: the error says why")
	case p.Config == "":
		fmt.Fprintln(w, "to watch services of your own, write a configuration: docs/quickstart.md begins with one")
	case enforced == 0 && proposed > 0:
		fmt.Fprintf(w, "serve would propose to a person what it would do, on %d of %d targets: those in mode propose\n", proposed, named)
	case enforced == 0:
		fmt.Fprintln(w, "serve would decide and record, and change nothing: no target is in mode enforce")
	default:
		fmt.Fprintf(w, "serve would act on %d of %d targets: those in mode enforce\n", enforced, named)
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
