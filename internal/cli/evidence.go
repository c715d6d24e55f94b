package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/control"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

var evidenceCommand = command{
	name: "evidence",
	help: usage{
		summary: "Print what holds the memory of a target, and what grew.",
		effects: "none, or with --capture a pause of the service within the bounds of evidence.max_pause.",
		examples: [][2]string{
			{"spillway_exporter evidence orchestrator --config.file=spillway.yml", "what grew since the baseline"},
			{"spillway_exporter evidence orchestrator --capture --config.file=spillway.yml", "the running exporter captures now"},
			{"spillway_exporter evidence orchestrator --since=24h --output=pprof --config.file=spillway.yml > heap.pb.gz", "what grew in a day, for go tool pprof"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		var f evidenceFlags
		c.Arg("target", "The target.").Required().HintAction(e.targetNames).StringVar(&f.target)
		c.Flag("capture", "Have the running exporter capture now, whatever the mode of the target is.").BoolVar(&f.capture)
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
		if err := captureNow(ctx, e, cfg, f.target); err != nil {
			return err
		}
	}
	outside, reached := outsideOf(ctx, e, cfg, f.target)
	all, err := captured(e, cfg, f.target)
	switch {
	case errors.Is(err, errNothingCaptured) && !outside.Empty() && f.output != "pprof":
		fmt.Fprintln(e.Stderr, err)
	case err != nil:
		return err
	}
	if f.output == "json" {
		return e.printJSON(evidenceJSON(all, since, &outside))
	}
	if len(all) > 0 {
		if err := showEvidence(e, f, all, since); err != nil || f.output == "pprof" {
			return err
		}
	}
	if !reached {
		fmt.Fprintln(e.Stderr, "no exporter runs here that knows what grew in the folders and mappings")
	}
	showOutside(e, &outside)
	return nil
}

// captureNow has the running exporter capture a target, and prints how that ended.
func captureNow(ctx context.Context, e *env, cfg *config.Config, target string) error {
	client, err := dial(ctx, cfg)
	if errors.Is(err, control.ErrNone) {
		return fmt.Errorf("%w: start the exporter: what a service allocates is sampled from then on", err)
	}
	if err != nil {
		return err
	}
	defer client.Close()
	var said []string
	err = client.Cleanup(ctx, control.Cleanup{Targets: []string{target}, Capture: true}, func(ev control.Event) {
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
	return err
}

// outsideOf asks the running exporter what grew in folders and mappings, which it has in memory only.
func outsideOf(ctx context.Context, e *env, cfg *config.Config, target string) (out evidence.Outside, reached bool) {
	client, err := dial(ctx, cfg)
	if err == nil {
		defer client.Close()
		out, err = client.Outside(ctx, target)
	}
	if err != nil && !errors.Is(err, control.ErrNone) {
		fmt.Fprintf(e.Stderr, "what grew in the folders and mappings is not known: %v\n", err)
	}
	return out, err == nil || !errors.Is(err, control.ErrNone)
}

var errNothingCaptured = errors.New("nothing was captured")

// captured reads the captures of a target from the journal. That there is none is an errNothingCaptured.
func captured(e *env, cfg *config.Config, target string) ([]evidence.Profile, error) {
	j, err := e.readJournal(cfg, "start the exporter first")
	if err != nil {
		return nil, err
	}
	defer j.Close()
	all, err := evidence.NewStore(func() evidence.State { return j }).All(target)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%w of %s yet: in mode enforce its baseline is captured 5 minutes after its start; --capture does so now", errNothingCaptured, target)
	}
	return all, err
}

// evidenceJSON is the newest capture, what grew, and what grew outside of it.
func evidenceJSON(all []evidence.Profile, since time.Time, outside *evidence.Outside) any {
	var out struct {
		Newest *evidence.Profile    `json:"newest,omitempty"`
		Grew   *evidence.Difference `json:"grew,omitempty"`
		Why    string               `json:"why,omitempty"`
		evidence.Outside
	}
	out.Outside = *outside
	if len(all) > 0 {
		out.Newest = &all[len(all)-1]
	}
	if d, err := evidence.GrewIn(all, since); err == nil {
		out.Grew = &d
	} else {
		out.Why = err.Error()
	}
	return out
}

// showOutside prints what grew in folders and mappings.
func showOutside(e *env, o *evidence.Outside) {
	for i := range o.Folders {
		f := &o.Folders[i]
		fmt.Fprintf(e.Stdout, "\n%s folder %s, %s\n", f.Kind, f.Name, f)
		showGrown(e, f.Grew.Rows, evidence.KindFiles)
	}
	if o.Mappings != nil {
		fmt.Fprintf(e.Stdout, "\nmappings, since %s\n", o.Mappings.From.Local().Format(time.DateTime))
		showGrown(e, o.Mappings.Rows, evidence.KindMapping)
	}
}

func showGrown(e *env, rows []evidence.Growth, kind evidence.Kind) {
	t := newTable(e.Stdout, "GROWTH", "WHERE")
	for i := range rows {
		t.row(rows[i].Size(kind), evidence.Place(rows[i].Name, rows[i].File, 0))
	}
	t.flush()
}

// showEvidence prints what grew, as a table or for pprof.
func showEvidence(e *env, f *evidenceFlags, all []evidence.Profile, since time.Time) error {
	newest := &all[len(all)-1]
	d, err := evidence.GrewIn(all, since)
	if f.output == "pprof" {
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
