package dispatch

import (
	"log/slog"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// logBegin writes the line that an operator greps for when pressure rises.
func (d *Dispatcher) logBegin(r *run, now Reading, level series.Level) {
	args := []any{"target", r.target}
	if now.Known {
		args = append(args, "used", percent(now.Ratio))
	}
	args = append(args, "level", level.String(), "playbook", r.playbook, "mode", string(r.mode), "trigger", string(r.trigger), "run", r.id)
	if !r.guarded {
		d.log.Info("playbook begins", args...)
		return
	}
	switch r.subject {
	case SubjectHeap:
		d.log.Warn("heap pressure", args...)
	case SubjectCache:
		d.log.Warn("cache pressure", args...)
	case SubjectTemp:
		d.log.Warn("temp pressure", args...)
	case SubjectUpload:
		d.log.Warn("upload pressure", args...)
	case SubjectLog:
		d.log.Warn("log pressure", args...)
	default:
		d.log.Warn("memory pressure", args...)
	}
}

// logEnd writes how it went.
func (d *Dispatcher) logEnd(r *run, res *result) {
	args := []any{"target", r.target}
	if res.after.Known {
		args = append(args, "used", percent(res.after.Ratio))
	}
	args = append(args, "outcome", res.outcome, "playbook", r.playbook, "mode", string(r.mode), "files", res.files, "freed", units.Bytes(res.freed).Short(), "run", r.id)
	if res.err != nil {
		args = append(args, "err", res.err)
	}
	severity := slog.LevelInfo
	if res.outcome != OutcomeRelieved && res.err != nil || res.outcome == OutcomeIneffective {
		severity = slog.LevelWarn
	}
	ctx := d.runCtx
	switch {
	case !r.guarded:
		d.log.Log(ctx, severity, "playbook ended", args...)
	case r.subject == SubjectHeap:
		d.log.Log(ctx, severity, "heap after relief", args...)
	case r.subject == SubjectCache:
		d.log.Log(ctx, severity, "cache after relief", args...)
	case r.subject == SubjectTemp:
		d.log.Log(ctx, severity, "temp after relief", args...)
	case r.subject == SubjectUpload:
		d.log.Log(ctx, severity, "uploads after relief", args...)
	case r.subject == SubjectLog:
		d.log.Log(ctx, severity, "logs after relief", args...)
	default:
		d.log.Log(ctx, severity, "memory after relief", args...)
	}
}
