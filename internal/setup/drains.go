package setup

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
)

const (
	drainLooks = 30 * time.Second // between two looks at a service that may still be drained
	drainTries = 3                // of undo
	drainLasts = 24 * time.Hour   // after which a service is no longer taken for drained
)

// nameUndoDrain is the action of the record of an undo that no step posts.
const nameUndoDrain = "undo_drain"

// Drains has services take work again that were drained for a restart which did not happen: because the exporter was
// killed, or because undo failed. All fields are required.
type Drains struct {
	Ledger  *restart.Ledger
	Journal dispatch.Journal
	Targets func() map[string]dispatch.Target
	Logger  *slog.Logger
	Now     func() time.Time
}

// Run looks once the first sweep has ended, after each service that is left drained, and while there is one. It returns
// when ctx ends.
func (d *Drains) Run(ctx context.Context, swept <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-swept:
	}
	tries := make(map[string]int) // by attempt
	tick := time.NewTicker(drainLooks)
	defer tick.Stop()
	for ctx.Err() == nil {
		targets, err := d.Ledger.LeftDrained()
		if err != nil {
			d.Logger.Error("which services were left drained is not known", "err", err)
		}
		for _, target := range targets {
			d.look(ctx, target, tries)
		}
		again := tick.C
		if len(targets) == 0 && err == nil {
			again = nil
		}
		select {
		case <-ctx.Done():
		case <-d.Ledger.Left():
		case <-again:
		}
	}
}

// undrainer is the action that drains.
type undrainer interface {
	Undrain(ctx context.Context, steps []action.DrainStep, post bool, record action.RecordFunc) (over bool, err error)
}

// look looks at one target.
func (d *Drains) look(ctx context.Context, target string, tries map[string]int) {
	at, left, err := d.Ledger.Drained(target)
	if err != nil || !left {
		return
	}
	t := d.Targets()[target]
	restarts, ok := t.Actions[action.NameRestart].(undrainer)
	if !ok || d.Now().Sub(at.Time) > drainLasts {
		d.Logger.Warn("a service was drained for a restart that did not happen, and is not looked at any longer", "target", target, "run", at.Key, "since", at.Time)
		err = d.Ledger.Undrained(ctx, target, at.Key)
	} else {
		_, err = restarts.Undrain(ctx, drainStepsOf(&t), d.Journal.Durable() && tries[at.Key] < drainTries, d.recorder(target, tries))
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	d.Logger.Warn("a service may still be drained for a restart that did not happen", "target", target, "run", at.Key, "since", at.Time, "err", err)
	d.Ledger.Stuck(target, true)
}

// recorder returns what writes an undo into the journal, and counts it.
func (d *Drains) recorder(target string, tries map[string]int) action.RecordFunc {
	return func(ctx context.Context, run, intent string) (end func(error) error, err error) {
		id, err := d.Journal.Begin(ctx, journal.Record{
			RunID: run, Time: d.Now(), Target: target, Action: nameUndoDrain, Trigger: string(alert.TriggerSchedule), Mode: dispatch.ModeEnforce, Intent: intent,
		})
		if err != nil {
			return nil, err
		}
		tries[run]++
		return func(failed error) error {
			return d.Journal.Finish(context.WithoutCancel(ctx), id, func(r *journal.Record) {
				r.Outcome = string(action.Done)
				if failed != nil {
					r.Outcome, r.Error = string(action.Failed), failed.Error()
				}
			})
		}, nil
	}
}

// drainStepsOf returns the steps of a target that restart it.
func drainStepsOf(t *dispatch.Target) []action.DrainStep {
	var out []action.DrainStep
	for _, name := range slices.Sorted(maps.Keys(t.Playbooks)) {
		for _, s := range t.Playbooks[name].Steps {
			if with, ok := s.With.(*action.RestartSettings); ok {
				out = append(out, action.DrainStep{Settings: with, Enforces: t.Mode == dispatch.ModeEnforce && (s.Mode == "" || s.Mode == dispatch.ModeEnforce)})
			}
		}
	}
	return out
}
