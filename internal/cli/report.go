package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/ledger"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/regret"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

var reportCommand = command{
	name: "report",
	help: usage{
		summary: "Report what the exporter would have done, or did, for each target, whether those files were used again, and whether the target is ready for mode enforce.",
		effects: "none. It reads the journal, alongside a running exporter too, and what check reads. It asks the exporter at --web.listen-address which sources fail.",
		examples: [][2]string{
			{"spillway_exporter report --config.file=spillway.yml", "the last week"},
			{"spillway_exporter report --since=3d --target=orchestrator --config.file=spillway.yml", "one target, since its policy was changed"},
			{"spillway_exporter report --output=json --config.file=spillway.yml | jq '.targets[] | select(.verdict != \"ready\")'", "for programs: what is not ready"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		f := reportFlags{web: kingpinflag.AddFlags(c, defaultListenAddress)} // those of serve, to say what it would refuse
		telemetryPath := telemetryPathFlag(c)
		c.Flag("since", "The span of time before now that is reported, such as 7d.").Default("7d").StringVar(&f.since)
		c.Flag("target", "Only this target.").PlaceHolder("NAME").HintAction(e.targetNames).StringVar(&f.target)
		choose(c.Flag("output", "Form of the output: text, json.").Default("text"), &f.output, "text", "json")
		return func(ctx context.Context) error {
			f.telemetryPath = *telemetryPath
			return printReport(ctx, e, &f)
		}
	},
}

type reportFlags struct {
	since, target, output string
	telemetryPath         string
	web                   *web.FlagConfig
}

// weekReport is what the command report prints.
type weekReport struct {
	Since   time.Time      `json:"since"`
	Until   time.Time      `json:"until"`
	User    string         `json:"user"` // whose rights were looked at
	Notes   []string       `json:"notes,omitempty"`
	Targets []targetReport `json:"targets"`

	span units.Duration
}

type targetReport struct {
	Target  string         `json:"target"`
	Mode    string         `json:"mode"`
	First   time.Time      `json:"first_record,omitzero"` // of the last 30 days, or of the span where that is longer
	Actions []actionReport `json:"actions"`
	Runs    []runReport    `json:"runs"`
	Steps   []ledger.Step  `json:"steps"`  // that acted
	Advice  []string       `json:"advice"` // that follows from them
	Verdict string         `json:"verdict"`
	Reasons []string       `json:"reasons"` // why it is not ready, or what a person has to know
}

// runReport sums up the runs of one playbook in one mode.
type runReport struct {
	Playbook string         `json:"playbook"`
	Mode     string         `json:"mode"`
	Runs     int            `json:"runs"`
	Outcomes map[string]int `json:"outcomes"`
}

// actionReport sums up the steps of one action in one mode.
type actionReport struct {
	Action   string         `json:"action"`
	Mode     string         `json:"mode"`
	Runs     int            `json:"runs"`
	Files    int64          `json:"files"`       // of the largest dry run, since dry runs name the same files each time; else of all
	Freed    int64          `json:"freed_bytes"` // likewise
	Longest  float64        `json:"longest_seconds"`
	Outcomes map[string]int `json:"outcomes"`
	Again    *regret.Count  `json:"used_again"`           // null: not known
	OnFiles  bool           `json:"on_files"`             // it removes files that could be used again
	Error    string         `json:"error,omitempty"`      // of the newest that failed
	Bad      time.Time      `json:"last_failed,omitzero"` // when that was
}

// errNoJournal says what to do where there is no journal.
func errNoJournal(err error) error {
	return fmt.Errorf("there is no journal yet (%w): start the exporter, let it observe for some days, or name its configuration with --config.file", err)
}

// reportTargets returns the targets that a report is about.
func reportTargets(cfg *config.Config, name string) ([]*config.Target, error) {
	var out []*config.Target
	for i := range cfg.Targets {
		if t := &cfg.Targets[i]; name == "" || t.Name == name {
			out = append(out, t)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case name != "":
		return nil, withCode(ExitConfig, fmt.Errorf("--target %s: no such target in the configuration", name))
	}
	return nil, withCode(ExitConfig, errors.New("nothing to report: no target is configured; name the configuration with --config.file"))
}

// makeReport reads what a report says.
func (e *env) makeReport(ctx context.Context, f *reportFlags) (*weekReport, error) {
	cfg, err := e.config()
	if err != nil {
		return nil, err
	}
	span, err := units.ParseDuration(f.since)
	if err == nil && span <= 0 {
		err = fmt.Errorf("%s is not a span: write one such as 7d", f.since)
	}
	if err != nil {
		return nil, withCode(ExitConfig, fmt.Errorf("--since: %w", err))
	}
	targets, err := reportTargets(cfg, f.target)
	if err != nil {
		return nil, err
	}
	j, err := setup.ReadJournal(cfg, e.logger(e.logLevel))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoJournal(err)
	}
	if err != nil {
		return nil, err
	}
	defer j.Close()
	now := e.Now()
	w := &weekReport{Since: now.Add(-span.Std()), Until: now, span: span}
	sums, err := sumUp(j, w.Since, now)
	if err != nil {
		return nil, err
	}
	known := e.obstacles(ctx, f.web)
	w.User = known.user
	w.Notes = known.failingSources(ctx, f)
	for _, t := range targets {
		tr := targetReport{Target: t.Name, Mode: t.Mode, Actions: []actionReport{}, Runs: []runReport{}, Reasons: []string{}}
		sums.of(&tr, setup.Critical(cfg))
		for i := range tr.Actions {
			tr.usedAgain(ctx, &tr.Actions[i], t, e, j, w)
		}
		tr.judge(w, known)
		w.Targets = append(w.Targets, tr)
	}
	return w, nil
}

// printReport prints a report.
func printReport(ctx context.Context, e *env, f *reportFlags) error {
	w, err := e.makeReport(ctx, f)
	switch {
	case err != nil:
		return err
	case f.output == "json":
		return e.printJSON(w)
	}
	w.print(e.Stdout)
	return nil
}

// usedAgain adds whether what an action would have removed was used again. Policies of which that could not be read
// are reasons.
func (tr *targetReport) usedAgain(ctx context.Context, a *actionReport, t *config.Target, e *env, s regret.Source, w *weekReport) {
	spec, ok := action.SpecOf(a.Action)
	if a.OnFiles = ok && spec.Kind != "" && spec.Kind != policy.KindLog; !a.OnFiles || a.Mode == config.Enforce {
		return
	}
	folders := setup.Rooted(t, e.host)
	for _, p := range folders.Of(spec.Kind) {
		c := p.CommonKeys()
		if c.EntriesAreDirs() || c.Group != "" || c.Foreign() {
			continue // no victims are recorded, or this process does not see their folder
		}
		n, err := regret.Look(ctx, s, regret.Of{Target: t.Name, Kind: spec.Kind, Policy: c.Name}, regret.Options{Dir: c.Dir, Recursive: c.IsRecursive(), Since: w.Since, Now: w.Until})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			tr.Reasons = append(tr.Reasons, fmt.Sprintf("whether files were used again could not be read: %v", err))
		}
		if n.Victims == 0 {
			continue
		}
		if a.Again == nil {
			a.Again = &regret.Count{Scale: 1}
		}
		a.Again.Add(&n)
	}
}
