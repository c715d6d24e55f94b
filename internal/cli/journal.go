package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

var journalCommand = command{
	name: "journal",
	help: usage{
		summary: "Print the journal: what was done, why, and with what result.",
		effects: "none. It works alongside a running exporter.",
		examples: [][2]string{
			{"spillway_exporter journal --config.file=spillway.yml", "the last day"},
			{"spillway_exporter journal --since=7d --target=orchestrator --config.file=spillway.yml", "a week of one target"},
			{"spillway_exporter journal --output=json --config.file=spillway.yml | jq 'select(.outcome != \"done\")'", "one JSON object per record"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		var f journalFlags
		c.Flag("since", "Only records of this last span of time, such as 24h or 7d.").Default("24h").StringVar(&f.since)
		c.Flag("target", "Only this target.").PlaceHolder("NAME").HintAction(e.targetNames).StringVar(&f.target)
		c.Flag("limit", "At most this many records, the newest.").Default("200").SetValue(number{name: "--limit", into: &f.limit, hint: "how many records to print, such as 200"})
		choose(c.Flag("output", "Form of the output: table, json.").Default("table"), &f.output, "table", "json")
		return func(context.Context) error { return printJournal(e, &f) }
	},
}

type journalFlags struct {
	since, target, output string
	limit                 int
}

// printJournal prints the journal, oldest first. It works alongside a running exporter.
func printJournal(e *env, f *journalFlags) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	since, err := units.ParseDuration(f.since)
	if err != nil {
		return withCode(ExitConfig, fmt.Errorf("--since: %w", err))
	}
	j, err := e.readJournal(cfg, "start the exporter or run cleanup first")
	if err != nil {
		return err
	}
	defer j.Close()
	filter := journal.Filter{Since: e.Now().Add(-since.Std()), Target: f.target}
	var records []journal.Record
	for len(records) < f.limit {
		filter.Limit = min(f.limit-len(records), journal.MaxLimit)
		page, next, err := j.Query(filter)
		records = append(records, page...)
		if err != nil {
			return err
		}
		if next == "" {
			break
		}
		filter.After = next
	}
	if len(records) == 0 {
		whose := ""
		if f.target != "" {
			whose = fmt.Sprintf(" of target %s", quoteName(f.target))
		}
		fmt.Fprintf(e.Stderr, "no record%s in the last %s: --since=30d looks further back\n", whose, f.since)
	}
	return printRecords(e, f.output, records)
}

// readJournal opens the journal for reading. first is what makes one where there is none.
func (e *env) readJournal(cfg *config.Config, first string) (*journal.Journal, error) {
	j, err := setup.ReadJournal(cfg, e.logger(e.logLevel))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: this user may not read the journal: use sudo, or run this as the user of the exporter", err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no journal yet (%w): %s, or name its configuration with --config.file", err, first)
	}
	return j, err
}

func printRecords(e *env, output string, newestFirst []journal.Record) error {
	if output == "json" {
		enc := json.NewEncoder(e.Stdout)
		for i := len(newestFirst) - 1; i >= 0; i-- {
			if err := enc.Encode(&newestFirst[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var freed freedColumn
	for i := range newestFirst {
		freed.note(newestFirst[i].Mode == config.DryRun, true)
	}
	t := newTable(e.Stdout, "TIME", "TARGET", "PLAYBOOK", "ACTION", "TRIGGER", "MODE", "FILES", freed.heading(), "BEFORE", "AFTER", "OUTCOME", "ERROR")
	for i := len(newestFirst) - 1; i >= 0; i-- {
		r := &newestFirst[i]
		outcome, act := r.Outcome, r.Action
		if outcome == "" {
			outcome = journal.OutcomeOpen
		}
		if r.Step == 0 && act == "" {
			act = "(run)"
		}
		t.row(r.Time.Local().Format(time.DateTime), r.Target, r.Playbook, act, r.Trigger, r.Mode,
			fmt.Sprint(r.Files), freed.cell(r.FreedBytes, r.Mode == config.DryRun), r.Before, r.After, outcome, r.Error)
	}
	t.flush()
	return nil
}
