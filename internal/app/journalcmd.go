package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// journalCommand prints the journal, oldest first. It works beside a running exporter.
func journalCommand(_ context.Context, o Options) error {
	cfg, err := loadConfig(&o)
	if err != nil {
		return err
	}
	since, err := units.ParseDuration(o.Journal.Since)
	if err != nil {
		return withCode(ExitConfig, fmt.Errorf("--since: %w", err))
	}
	logger := newLogger(o.Stderr, o.LogLevel, o.LogFormat)
	j, err := readJournal(cfg, logger)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no journal yet (%w): start the exporter or run cleanup first, or name its configuration with --config.file", err)
	}
	if err != nil {
		return err
	}
	defer j.Close()
	filter := journal.Filter{Since: o.Now().Add(-since.Std()), Target: o.Journal.Target}
	var records []journal.Record
	for len(records) < o.Journal.Limit {
		filter.Limit = min(o.Journal.Limit-len(records), journal.MaxLimit)
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
		if o.Journal.Target != "" {
			whose = fmt.Sprintf(" of target %s", quoteName(o.Journal.Target))
		}
		fmt.Fprintf(o.Stderr, "no record%s in the last %s: --since=30d looks further back\n", whose, o.Journal.Since)
	}
	return printRecords(&o, records)
}

func printRecords(o *Options, newestFirst []journal.Record) error {
	if o.Journal.Output == "json" {
		enc := json.NewEncoder(o.Stdout)
		for i := len(newestFirst) - 1; i >= 0; i-- {
			if err := enc.Encode(&newestFirst[i]); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(o.Stdout, "TIME", "TARGET", "PLAYBOOK", "ACTION", "TRIGGER", "MODE", "FILES", "FREED", "BEFORE", "AFTER", "OUTCOME", "ERROR")
	for i := len(newestFirst) - 1; i >= 0; i-- {
		r := &newestFirst[i]
		outcome, act := r.Outcome, r.Action
		if outcome == "" {
			outcome = journal.OutcomeOpen
		}
		if r.Step == 0 {
			act = "(run)"
		}
		t.row(r.Time.Local().Format(time.DateTime), r.Target, r.Playbook, act, r.Trigger, r.Mode,
			fmt.Sprint(r.Files), units.Bytes(r.FreedBytes).String(), r.Before, r.After, outcome, r.Error)
	}
	t.flush()
	return nil
}
