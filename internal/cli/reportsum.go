package cli

import (
	"cmp"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/ledger"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// firstWithin is how far back the first record of a target is looked for.
const firstWithin = 30 * 24 * time.Hour

// journalSum is what the journal has of all targets.
type journalSum struct {
	targets map[string]*targetSum
	book    *ledger.Book
}

// targetSum is what it has of one.
type targetSum struct {
	first   time.Time
	actions []actionReport
	runs    []runReport
}

// sumUp reads the records since a time, and when the first one of the last weeks was.
func sumUp(j *journal.Journal, since, now time.Time) (*journalSum, error) {
	sums := &journalSum{targets: make(map[string]*targetSum), book: ledger.New(ledger.Options{Relieves: setup.Relieves})}
	filter := journal.Filter{Since: since, Limit: journal.MaxLimit}
	if first := now.Add(-firstWithin); first.Before(since) {
		filter.Since = first
	}
	for {
		records, next, err := j.Query(filter)
		if err != nil {
			return nil, err
		}
		for i := range records {
			r := &records[i]
			s := sums.targets[r.Target]
			if s == nil {
				s = new(targetSum)
				sums.targets[r.Target] = s
			}
			s.add(r, since)
			if !r.Time.Before(since) {
				sums.book.Add(r)
			}
		}
		if next == "" {
			return sums, nil
		}
		filter.After = next
	}
}

// of fills in what the journal has of a target.
func (j *journalSum) of(tr *targetReport, critical float64) {
	account := j.book.Account(tr.Target)
	tr.Steps = slices.DeleteFunc(account.Steps, func(s ledger.Step) bool { return s.Acted == 0 })
	tr.Advice = account.Advice(critical)
	if s := j.targets[tr.Target]; s != nil {
		tr.First = s.first
		tr.Actions, tr.Runs = append(tr.Actions, s.actions...), append(tr.Runs, s.runs...)
	}
}

// add takes in a record; the newest comes first.
func (s *targetSum) add(r *journal.Record, since time.Time) {
	if r.Mode == "" { // a pause, or its end
		return
	}
	s.first = r.Time
	if r.Time.Before(since) {
		return
	}
	outcome := cmp.Or(r.Outcome, journal.OutcomeOpen)
	if r.Step == 0 {
		s.run(r).Outcomes[outcome]++
		return
	}
	a := s.action(r)
	a.Runs++
	a.Outcomes[outcome]++
	a.Longest = max(a.Longest, r.DurationSecs)
	if a.Bad.IsZero() && isBad(outcome) {
		a.Bad, a.Error = r.Time, cmp.Or(r.Error, r.Detail)
	}
	if r.Mode == config.DryRun {
		a.Files, a.Freed = max(a.Files, r.Files), max(a.Freed, r.FreedBytes)
	} else {
		a.Files, a.Freed = a.Files+r.Files, a.Freed+r.FreedBytes
	}
}

// isBad reports whether a step ended in a way that a person should look at. One that the end of the exporter
// interrupted says nothing about the policy.
func isBad(outcome string) bool {
	return slices.Contains(incomplete, action.Outcome(outcome))
}

func (s *targetSum) action(r *journal.Record) *actionReport {
	i := slices.IndexFunc(s.actions, func(a actionReport) bool { return a.Action == r.Action && a.Mode == r.Mode })
	if i < 0 {
		i, s.actions = len(s.actions), append(s.actions, actionReport{Action: r.Action, Mode: r.Mode, Outcomes: make(map[string]int)})
	}
	return &s.actions[i]
}

func (s *targetSum) run(r *journal.Record) *runReport {
	i := slices.IndexFunc(s.runs, func(x runReport) bool { return x.Playbook == r.Playbook && x.Mode == r.Mode })
	if i < 0 {
		i, s.runs = len(s.runs), append(s.runs, runReport{Playbook: r.Playbook, Mode: r.Mode, Outcomes: make(map[string]int)})
	}
	s.runs[i].Runs++
	return &s.runs[i]
}
