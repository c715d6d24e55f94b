package action

import (
	"errors"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// logRun is one run over one policy.
type logRun struct {
	*dirRun
	p        *policy.Log
	rotator  *safefs.Rotator
	writers  []proc.Member // that handle the signal
	privates int64         // copies whose access list could not be kept
	planned  []string      // in a dry run: folder and name of the logs that would be rotated
}

// rotateLogs rotates logs that are over their size, compresses what has been rotated, and removes
// what has expired or is more than is to be kept. A log is copied and cut while its writer keeps it
// open, or renamed and its writers signalled.
func rotateLogs(r *dirRun, p *policy.Log) error {
	l := &logRun{dirRun: r, p: p}
	l.rotator = safefs.NewRotator(safefs.RotateOptions{
		DryRun: r.req.DryRun, Compress: p.Compress, Now: r.now, Oversize: p.Oversize, Remover: r.remover.Remover,
	})
	return l.run()
}

// run does it. A run that was told to end has not done its work, whichever log it was at.
func (l *logRun) run() error {
	err := l.rotate()
	if l.ctx.Err() == nil {
		// Logs that cannot be rotated are no reason to keep old ones.
		err = errors.Join(err, l.trim())
	}
	l.report()
	if err == nil {
		err = l.ctx.Err() // in the last log, which no further one was asked for after
	}
	return err
}

func saidLogs(res *PolicyResult, dry bool) (msg string, args []any) {
	return said(dry, "rotated logs", "would rotate logs"), []any{
		"dir", res.Policy, "logs", res.Rotated, "removed", res.Files, "lost_bytes", res.LostBytes,
		freedKey(dry), units.Bytes(res.FreedBytes).Short(),
	}
}

func detailLogs(policies []PolicyResult, dry bool) string {
	var rotated int64
	for i := range policies {
		rotated += policies[i].Rotated
	}
	switch {
	case rotated == 0:
		return ""
	case dry:
		return fmt.Sprintf("would rotate %d logs", rotated)
	}
	return fmt.Sprintf("rotated %d logs", rotated)
}

// report says what makes the run partial although nothing failed.
func (l *logRun) report() {
	say := func(n int64, text string) {
		if n > 0 {
			l.faults = append(l.faults, fmt.Sprintf(text, n))
		}
	}
	say(l.res.LostBytes, "%d bytes were written in the moment of a cut and are lost: use rotate: rename")
	say(l.res.Skipped[string(safefs.Busy)], "%d logs were not cut because they never stopped growing: use rotate: rename")
	say(l.res.Skipped[string(safefs.NotAppending)], "%d logs were not cut because a writer does not append (O_APPEND): make it append (>> in a shell), or use rotate: rename")
	say(l.privates, "%d rotated logs lost their access list and are readable for their owner only")
}

// private notes a copy whose access list could not be kept.
func (l *logRun) private(did safefs.Rotated) {
	if !did.Private {
		return
	}
	l.privates++
	l.opts.Logger.Warn("the access list of a log could not be kept: its copy is readable for its owner only",
		"target", l.opts.Target, "dir", l.p.Where(), "name", did.Name)
}

// rotate deals with every log that is over its size, and with what killed runs have left.
func (l *logRun) rotate() error {
	silent := false // nobody would be told: nothing is renamed
	var mute error
	res, err := l.walk(func(e *dirscan.Entry, kind policy.LogKind, _ policy.Rotation) {
		switch {
		case kind == policy.LogTemp:
			l.remove(e, "left_over")
		case kind != policy.LogLive || !l.p.Oversize(e.SizeBytes, e.AllocatedBytes):
		case !l.p.Renames():
			resume := l.opts.heart.pause() // a large log takes long to copy
			did, why := l.rotator.CopyTruncate(l.ctx, e)
			resume()
			l.rotated(e, did, why)
		case silent:
			l.res.Skipped["not_handled"]++
		default:
			if l.writers == nil {
				l.writers, mute = l.hearers()
			}
			if silent = len(l.writers) == 0; silent {
				l.res.Skipped["not_handled"]++
				return
			}
			name, why := l.rotator.Rename(e)
			l.rotated(e, safefs.Rotated{Name: name}, why)
		}
	})
	l.mergeScan(&res)
	if l.p.Renames() && l.res.Rotated > 0 {
		err = errors.Join(err, l.tell())
	}
	return errors.Join(err, mute)
}

// rotated counts what came of a rotation.
func (l *logRun) rotated(e *dirscan.Entry, did safefs.Rotated, why safefs.Reason) {
	if why != safefs.Removed {
		l.res.Skipped[string(why)]++
		return
	}
	l.res.Rotated++
	l.res.FreedBytes += did.FreedBytes
	l.res.LostBytes += did.LostBytes
	l.private(did)
	l.path = e.AppendPath(l.path[:0])
	if l.req.OnFile != nil {
		l.req.OnFile(l.res, l.path, "rotated")
	}
	if l.req.DryRun {
		l.planned = append(l.planned, string(l.path))
	}
	if l.req.Progress != nil {
		l.req.Progress(l.res)
	}
}

// hearers returns the processes of the target that handle the signal.
func (l *logRun) hearers() ([]proc.Member, error) {
	number, err := proc.SignalNumber(l.p.Signal)
	if err != nil {
		return nil, err
	}
	var out []proc.Member
	var errs []error
	if l.opts.Members != nil {
		for _, m := range recipients(l.opts.Members(), true) {
			if err := signalOne(m, l.p.Signal, number, true); err != nil {
				errs = append(errs, err)
				continue
			}
			out = append(out, m)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case len(errs) == 0:
		return nil, fmt.Errorf("nothing was renamed: no process of the target is there to be told with %s", l.p.Signal)
	}
	return nil, fmt.Errorf("nothing was renamed, because nobody would open a new log: %w", errors.Join(errs...))
}

// tell signals the writers of what has been renamed.
func (l *logRun) tell() error {
	if l.req.DryRun {
		return nil
	}
	number, err := proc.SignalNumber(l.p.Signal)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range l.writers {
		if err := signalOne(m, l.p.Signal, number, false); err != nil {
			errs = append(errs, err)
			continue
		}
		l.opts.Logger.Info("told a process to open its logs anew", "target", l.opts.Target, "pid", m.PID, "name", m.Name, "signal", l.p.Signal)
	}
	if len(errs) < len(l.writers) {
		return nil // a process that has ended needs no new log
	}
	return fmt.Errorf("logs were renamed, and nobody could be told: their writers go on in the renamed files: %w", errors.Join(errs...))
}

// trim removes the rotated logs that are due and compresses the others.
func (l *logRun) trim() error {
	tally := policy.NewTally(l.p)
	type rotated struct {
		found      safefs.Found
		compressed bool
		gone       bool
		dueNs      int64 // when it is older than min_age
	}
	var list []rotated
	var total int64
	_, err := l.walk(func(e *dirscan.Entry, kind policy.LogKind, r policy.Rotation) {
		total++
		if kind != policy.LogRotated {
			return
		}
		l.path = e.Parent.AppendPath(l.path[:0])
		if _, ok := tally.Add(l.path, r); ok {
			list = append(list, rotated{found: l.remover.Find(e), compressed: r.Compressed, dueNs: l.dueNs(e)})
		}
	})
	if err != nil {
		return err
	}
	for _, log := range l.planned { // a run would have made these by now
		if _, ok := tally.Add(nil, policy.Rotation{Log: []byte(log), At: l.now, Serial: 1}); ok {
			list = append(list, rotated{gone: true})
		}
	}
	due := tally.Due(l.now)
	if err := l.checkFraction(int64(len(due)), total); err != nil {
		return err
	}
	for _, d := range due {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		f := &list[d.Index]
		if f.gone {
			continue
		}
		f.gone = true
		l.owes(l.removeFound(f.found, d.Why.Reason()), f.dueNs)
	}
	for i := range list {
		if f := &list[i]; l.p.Compress && !f.compressed && !f.gone {
			if err := l.ctx.Err(); err != nil {
				return err
			}
			l.compress(f.found)
		}
	}
	return nil
}

// compress compresses a rotated log. One that was renamed just now is still young, or open.
func (l *logRun) compress(f safefs.Found) {
	resume := l.opts.heart.pause()
	did, why := l.rotator.Compress(l.ctx, f)
	resume()
	switch why {
	case safefs.Removed:
		l.res.FreedBytes += did.FreedBytes
		l.private(did)
		if l.req.OnFile != nil {
			l.req.OnFile(l.res, []byte(f.Path), "compressed")
		}
	case safefs.TooYoung: // its turn comes
	default:
		l.res.Skipped[string(why)]++
	}
}

// walk walks the policy's files: logs, rotated ones and what a rotation was writing.
func (l *logRun) walk(visit func(*dirscan.Entry, policy.LogKind, policy.Rotation)) (dirscan.Result, error) {
	l.kept = 0
	return l.remover.Scan(l.ctx, dirscan.Options{
		Recursive: l.common.IsRecursive(), Skip: policy.SkipFolder,
		Select: func(name []byte) bool {
			l.opts.heart.beat()
			kind, _ := l.names.KindOf(name)
			if kind == policy.LogOther && l.names.Kept(name) {
				l.kept++
			}
			return kind != policy.LogOther
		},
		Visit: func(e *dirscan.Entry) error {
			if err := l.ctx.Err(); err != nil {
				return err
			}
			kind, r := l.names.KindOf(e.Name)
			visit(e, kind, r)
			return nil
		},
	})
}
