package dispatch

import (
	"context"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// finish records how a run ended, together with its cooldown, and reports it.
func (d *Dispatcher) finish(r *run, res result) {
	now := d.opts.Now()
	took := now.Sub(r.since)
	end, first := d.end(r, &res, now)
	if !first {
		return // Drain has given it up, and it came back after all
	}
	defer d.ended(r, &res)
	defer d.written()
	key, kept := "", []byte(nil)
	if end.save {
		key, kept = d.encode(r.key, end.state)
	}
	if !res.until.IsZero() {
		res.notes = append(res.notes, "what is left is too young or in use: goes again at "+clock(res.until))
	}
	d.metrics.playbook.WithLabelValues(r.target, r.playbook, string(r.trigger), res.outcome).Inc()
	d.logEnd(r, &res)
	d.rouse()
	if end.id == "" {
		return // of a schedule, and not recorded
	}
	err := d.opts.Journal.FinishKeeping(context.WithoutCancel(d.runCtx), end.id, func(rec *journal.Record) {
		rec.Outcome, rec.Level, rec.Before, rec.After, rec.Alerts = res.outcome, end.level.String(), res.before.Text, res.after.Text, end.alerts
		rec.Files, rec.Bytes, rec.FreedBytes, rec.DurationSecs = res.files, res.bytes, res.freed, took.Seconds()
		rec.LostBytes = res.lost
		rec.Detail, rec.WaitsUntil = strings.Join(res.notes, "; "), res.until
		if len(res.skipped) > 0 {
			rec.Skipped = res.skipped
		}
		if res.err != nil {
			rec.Error = res.err.Error()
		}
	}, key, kept)
	if err != nil {
		d.log.Error("the result of a run is not in the journal yet", "run", r.id, "target", r.target, "outcome", res.outcome, "err", err)
	}
}

// endState is what a run was when it ended.
type endState struct {
	id     string // of the record; "" when there is none
	level  series.Level
	alerts int
	save   bool // state has changed
	state  savedState
}

// end takes a run from the open ones and lets its playbook rest. It is false when the run has
// ended already.
func (d *Dispatcher) end(r *run, res *result, now time.Time) (end endState, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &r.progress
	if p.ended {
		return end, false
	}
	p.ended = true
	d.ending++
	delete(d.open, r)
	end.id, end.level, end.alerts = r.id, p.level, p.alerts
	if r.state == nil {
		return end, true
	}
	if end.save = r.state.ended(r, res, now); end.save {
		end.state = r.state.saved()
	}
	return end, true
}

// written notes that the end of a run has been written, or cannot be.
func (d *Dispatcher) written() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ending--
}
