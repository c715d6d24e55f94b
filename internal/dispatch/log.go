package dispatch

import (
	"log/slog"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// logBegin writes the line that an operator greps for when pressure rises.
func (d *Dispatcher) logBegin(r *run, now Reading, level series.Level) {
	args := []any{"target", r.target}
	if now.Known {
		args = append(args, "used", percent(now.Ratio))
	}
	args = append(args, "level", level.String(), "playbook", r.playbook, "mode", string(r.mode), "trigger", string(r.trigger), "run", r.id)
	if r.why != "" {
		args = append(args, "reason", r.why)
	}
	if !r.guarded || r.why != "" {
		d.log.Info("playbook begins", args...)
		return
	}
	d.log.Warn(subject.Of(r.subject).Pressure, args...) //nolint:sloglint // a constant of the table
}

// logEnd writes how it went.
func (d *Dispatcher) logEnd(r *run, res *result) {
	args := []any{"target", r.target}
	if res.after.Known {
		args = append(args, "used", percent(res.after.Ratio))
	}
	freed := "freed"
	if r.mode == dryRun {
		freed = "would_free"
	}
	args = append(args, "outcome", res.outcome, "playbook", r.playbook, "mode", string(r.mode), "files", res.files, freed, units.Bytes(res.freed).String(), "run", r.id)
	if res.err != nil {
		args = append(args, "err", res.err)
	}
	severity := slog.LevelInfo
	if res.outcome != OutcomeRelieved && res.err != nil || res.outcome == OutcomeIneffective {
		severity = slog.LevelWarn
	}
	msg := "playbook ended"
	if r.guarded && r.why == "" {
		msg = subject.Of(r.subject).Relief
	}
	d.log.Log(d.runCtx, severity, msg, args...) //nolint:sloglint // a constant of the table
}
