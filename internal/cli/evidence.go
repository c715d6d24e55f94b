package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/control"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

var evidenceCommand = command{
	name: "evidence",
	help: usage{
		summary: "Print what holds the memory of a target, and what grew.",
		effects: "none, or with --capture a pause of the service within the bounds of evidence.max_pause.",
		examples: [][2]string{
			{"spillway_exporter evidence orchestrator --config.file=spillway.yml", "what grew since the baseline"},
			{"spillway_exporter evidence orchestrator --capture --config.file=spillway.yml", "have the exporter that runs capture now"},
			{"spillway_exporter evidence orchestrator --since=24h --output=pprof --config.file=spillway.yml > heap.pb.gz", "what grew in a day, for go tool pprof"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		var f evidenceFlags
		c.Arg("target", "The target.").Required().HintAction(e.targetNames).StringVar(&f.target)
		c.Flag("capture", "Have the exporter that runs capture now, whatever the mode of the target is.").BoolVar(&f.capture)
		c.Flag("since", "Compare with the first capture of this last span of time, such as 24h; else with the baseline.").PlaceHolder("SPAN").StringVar(&f.since)
		choose(c.Flag("output", "Form of the output: table, json, pprof.").Default("table"), &f.output, "table", "json", "pprof")
		return func(ctx context.Context) error { return printEvidence(ctx, e, &f) }
	},
}

type evidenceFlags struct {
	target, since, output string
	capture               bool
}

// printEvidence prints the captures of a target. It works alongside a running exporter.
func printEvidence(ctx context.Context, e *env, f *evidenceFlags) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var since time.Time
	if f.since != "" {
		span, err := units.ParseDuration(f.since)
		if err != nil {
			return withCode(ExitConfig, fmt.Errorf("--since: %w", err))
		}
		since = e.Now().Add(-span.Std())
	}
	var names []string
	for i := range cfg.Targets {
		names = append(names, cfg.Targets[i].Name)
	}
	if !slices.Contains(names, f.target) {
		return withCode(ExitConfig, fmt.Errorf("%q is not a target: write one of %s", f.target, strings.Join(names, ", ")))
	}
	if f.capture {
		client, err := dial(ctx, cfg)
		if errors.Is(err, control.ErrNone) {
			return fmt.Errorf("%w: start the exporter: what a service allocates is sampled from then on", err)
		}
		if err != nil {
			return err
		}
		defer client.Close()
		var said []string
		err = client.Cleanup(ctx, control.Cleanup{Targets: []string{f.target}, Capture: true}, func(ev control.Event) {
			if ev.Error != "" {
				said = append(said, ev.Error)
			}
			if ev.Detail != "" {
				fmt.Fprintln(e.Stderr, ev.Detail)
			}
		})
		if err == nil && len(said) > 0 {
			err = errors.New(strings.Join(said, "; "))
		}
		if err != nil {
			return err
		}
	}
	all, err := captured(e, cfg, f.target)
	if err != nil {
		return err
	}
	return showEvidence(e, f, all, since)
}

// captured reads the captures of a target from the journal. That there is none is an error.
func captured(e *env, cfg *config.Config, target string) ([]evidence.Profile, error) {
	j, err := setup.ReadJournal(cfg, e.logger(e.logLevel))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no journal yet (%w): start the exporter first, or name its configuration with --config.file", err)
	}
	if err != nil {
		return nil, err
	}
	defer j.Close()
	all, err := evidence.NewStore(func() evidence.State { return j }).All(target)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("nothing was captured of %s yet: in mode enforce its baseline is captured 5 minutes after its start; --capture does so now", target)
	}
	return all, err
}

// showEvidence prints what grew, in one of the forms.
func showEvidence(e *env, f *evidenceFlags, all []evidence.Profile, since time.Time) error {
	newest := &all[len(all)-1]
	d, err := evidence.GrewIn(all, since)
	switch f.output {
	case "json":
		out := map[string]any{"newest": newest}
		if err == nil {
			out["grew"] = d
		} else {
			out["why"] = err.Error()
		}
		return e.printJSON(out)
	case "pprof":
		var base *evidence.Profile
		if !since.IsZero() {
			for _, p := range evidence.Comparable(all, newest) {
				if !p.Time.Before(since) {
					base = &p
					break
				}
			}
			if base == nil {
				return fmt.Errorf("%w: there is no capture of the same start since then: leave --since out for the newest as it is", evidence.ErrIncomparable)
			}
		}
		return evidence.WritePprof(e.Stdout, newest, base)
	}
	fmt.Fprintf(e.Stdout, "%s: %s of %s, captured at %s (%s)\n", newest.Target, newest.Rung, newest.Runtime, newest.Time.Local().Format(time.DateTime), newest.Reason)
	if err != nil {
		fmt.Fprintf(e.Stdout, "%v\n\n", err)
		t := newTable(e.Stdout, "LIVE", "OBJECTS", "WHERE")
		for i := range newest.Rows[:min(10, len(newest.Rows))] {
			r := &newest.Rows[i]
			t.row(units.Bytes(r.Bytes).String(), countOf(r.Objects), evidence.Place(r.Name, r.File, r.Line))
		}
		t.flush()
		return nil
	}
	text := d.String()
	if text == "" {
		text = "nothing grew since " + d.From.Local().Format(time.DateTime)
	}
	fmt.Fprintf(e.Stdout, "%s\n\n", text)
	t := newTable(e.Stdout, "GROWTH", "SHARE", "BEFORE", "AFTER", "OBJECTS", "WHERE")
	for i := range d.Rows[:min(10, len(d.Rows))] {
		g := &d.Rows[i]
		mark := ""
		if !g.Sure {
			mark = " (within the error)"
		}
		t.row("+"+units.Bytes(g.Bytes).String(), fmt.Sprintf("%.0f%%", 100*g.Share), units.Bytes(g.Before).String(), units.Bytes(g.After).String(), countOf(g.Objects), evidence.Place(g.Name, g.File, g.Line)+mark)
	}
	t.flush()
	return nil
}

func countOf(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
