package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/regret"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The verdicts on a target.
const (
	verdictReady     = "ready"
	verdictYourCall  = "your_call" // nothing is in the way, but it is not known whether files are used again
	verdictNotReady  = "not_ready"
	verdictEnforcing = "enforcing"
)

const (
	day        = 24 * time.Hour
	readyAfter = 6 * day // since the first record: a week, less what the first day lacks
	leastSpan  = 2 * day // that a verdict rests on
	stillBad   = 2 * day // for so long a step that has failed is a reason
	mostAgain  = 0.01    // of the files that would have been removed
)

// obstacles are what stands in the way of mode enforce on this host.
type obstacles struct {
	of   map[string][]string // by target; those of "" hold for all
	user string              // whose rights were looked at
}

func (o *obstacles) add(target, text string) {
	if o.of == nil {
		o.of = make(map[string][]string)
	}
	if !slices.Contains(o.of[target], text) {
		o.of[target] = append(o.of[target], text)
	}
}

// obstacles asks what check and the start of an exporter that enforces would say.
func (e *env) obstacles(ctx context.Context, flags *web.FlagConfig) *obstacles {
	out := new(obstacles)
	cfg, err := e.config() // one of its own, which is changed
	if err != nil {
		out.add("", fmt.Sprintf("check fails: %v", err))
		return out
	}
	for i := range cfg.Targets {
		cfg.Targets[i].Mode = config.Enforce
	}
	if _, err := e.checkService(cfg, flags); err != nil {
		out.add("", fmt.Sprintf("mode enforce would be refused: %v", err))
	}
	p, err := check(ctx, e, flags, false)
	if err != nil {
		out.add("", fmt.Sprintf("check fails: %v", err))
		return out
	}
	for i := range p.Targets {
		t := &p.Targets[i]
		out.ofPlan(t, p.Warnings)
		if len(t.Processes) == 0 && slices.ContainsFunc(cfg.Targets, func(c config.Target) bool { return c.Name == t.Name && c.Processes != nil }) {
			out.add(t.Name, "no process matches it now, so nothing of its memory can be read")
		}
	}
	out.user = p.Host.User
	for i := range p.Host.Findings {
		if f := &p.Host.Findings[i]; !f.Unknown {
			out.add(f.Target, strings.TrimPrefix(f.Of+": "+f.Problem+" (check says what to write)", ": "))
		}
	}
	return out
}

// ofPlan adds what the plan of a target says.
func (o *obstacles) ofPlan(t *targetPlan, warnings []string) {
	for i := range t.Cleanup {
		if c := &t.Cleanup[i]; c.Error != "" && c.Outcome != action.DryRun {
			o.add(t.Name, fmt.Sprintf("%s %s: %s", c.Kind, c.Policy, c.Error))
		}
	}
	for _, w := range warnings {
		if text, ok := strings.CutPrefix(w, t.Name+": "); ok {
			o.add(t.Name, text)
		}
	}
}

// judge says whether a target is ready for mode enforce, and why not.
func (tr *targetReport) judge(w *weekReport, known *obstacles) {
	blocked := len(tr.Reasons) > 0
	add := func(format string, args ...any) {
		blocked = true
		tr.Reasons = append(tr.Reasons, fmt.Sprintf(format, args...))
	}
	tr.judgeSpan(w, add)
	var remarks []string
	for i := range tr.Actions {
		if a := &tr.Actions[i]; !a.Bad.IsZero() {
			text := fmt.Sprintf("%s ended %s, last %s ago%s", a.Action, outcomesText(a.Outcomes, isBad), age(w.Until.Sub(a.Bad)), after(": ", a.Error))
			if w.Until.Sub(a.Bad) < stillBad {
				add("%s", text)
			} else {
				remarks = append(remarks, text)
			}
		}
	}
	for i := range tr.Runs {
		r := &tr.Runs[i]
		if n := r.Outcomes[dispatch.OutcomeIneffective]; n > 0 {
			add("%s did not relieve the pressure in %d of %d runs", r.Playbook, n, r.Runs)
		}
		if n := r.Outcomes[dispatch.OutcomeNeedsHuman]; n > 0 {
			add("%s was due %d more %s than its budget allows", r.Playbook, n, plural(n, "time", "times"))
		}
	}
	unknown := tr.judgeUse(add)
	for _, text := range slices.Concat(known.of[""], known.of[tr.Target]) {
		add("%s", text)
	}
	tr.Reasons = slices.Concat(tr.Reasons, unknown, remarks)
	switch {
	case tr.Mode == config.Enforce:
		tr.Verdict = verdictEnforcing
	case blocked:
		tr.Verdict = verdictNotReady
	case len(unknown) > 0:
		tr.Verdict = verdictYourCall
	default:
		tr.Verdict = verdictReady
	}
}

// judgeSpan says whether what was seen suffices.
func (tr *targetReport) judgeSpan(w *weekReport, add func(format string, args ...any)) {
	seen := w.Until.Sub(tr.First)
	switch {
	case w.span.Std() < leastSpan:
		add("%s is too short to judge: write --since=7d", w.span)
	case len(tr.Actions)+len(tr.Runs) == 0:
		add("nothing was decided in the last %s: no alert asked for a playbook and no schedule was due, so there is nothing to judge by", w.span)
	case seen < readyAfter:
		add("the first decision is %s old: wait until it is %s old", age(seen), units.Duration(readyAfter))
	}
}

// judgeUse says which files were used again, and returns where that is not known.
func (tr *targetReport) judgeUse(add func(format string, args ...any)) (unknown []string) {
	for i := range tr.Actions {
		a := &tr.Actions[i]
		switch c := a.Again; {
		case a.Mode == config.Enforce || !a.OnFiles || a.Files == 0:
		case c != nil && float64(c.Used()) > mostAgain*float64(c.Known()):
			add("%s: %s: raise max_age or min_age, or keep the files out with keep or exclude", a.Action, usedText(c))
		case c == nil || c.Known() == 0:
			unknown = append(unknown, fmt.Sprintf("%s: whether the files are used again is not known%s", a.Action, after(" ", whyUnknown(c))))
		}
	}
	return unknown
}

// outcomesText writes those outcomes that are chosen: "failed 1 and partial 2 of 20 times".
func outcomesText(outcomes map[string]int, chosen func(string) bool) string {
	var parts []string
	total := 0
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		total += outcomes[outcome]
		if chosen(outcome) {
			parts = append(parts, fmt.Sprintf("%s %d", outcome, outcomes[outcome]))
		}
	}
	return fmt.Sprintf("%s of %d %s", strings.Join(parts, " and "), total, plural(total, "time", "times"))
}

// age writes a time that has passed, in whole days, hours or minutes.
func age(d time.Duration) string {
	for _, unit := range []time.Duration{day, time.Hour} {
		if d >= unit {
			return units.Duration(d - d%unit).String()
		}
	}
	return units.Duration(max(d-d%time.Minute, time.Minute)).String()
}

func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

func whyUnknown(c *regret.Count) string {
	switch {
	case c == nil:
		return ""
	case c.NoAtime:
		return "(the file system keeps no time of access)"
	case c.Recent > 0:
		return "(less than a day has passed)"
	}
	return "(the files are gone, or were read within the day before)"
}

// usedText says how many of the files of which it is known were used again.
func usedText(c *regret.Count) string {
	if c == nil || c.Known() == 0 {
		return "not known"
	}
	text := fmt.Sprintf("%d of %d files (%.1f%%) were used again, %d of them within a day", c.Used(), c.Known(), 100*float64(c.Used())/float64(c.Known()), c.Soon)
	if open := c.NotSeen + c.Recent; open > 0 {
		text += fmt.Sprintf("; of %d more it is not known", open)
	}
	return text
}
