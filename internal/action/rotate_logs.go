package action

import (
	"errors"
	"fmt"
	"strconv"
	"time"

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
	privates int64         // copies whose access list or label could not be kept
	planned  []string      // in a dry run: folder and name of the logs that would be rotated
	known    *policy.LogFiles
	latest   *policy.Latest // when each log was last rotated; nil where that decides nothing
	aged     int64          // size of the log at hand, where it is rotated because of its age; else 0
}

// rotateLogs rotates logs that are over their size or their age, compresses what has been rotated, and removes
// what has expired or is more than is to be kept. A log is copied and cut while its writer keeps it
// open, or renamed and its writers signalled.
func rotateLogs(r *dirRun, p *policy.Log) error {
	l := &logRun{dirRun: r, p: p, known: policy.NewLogFiles(p, r.names)}
	l.rotator = safefs.NewRotator(safefs.RotateOptions{
		DryRun: r.req.DryRun, Compress: p.Compress, Now: r.now, Naming: p.Naming(), OldDir: p.OldDir, Oversize: l.oversize, Remover: r.remover.Remover,
	})
	return l.run()
}

// run does it. A run that was asked to end has not done its work, whichever log it was at.
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
		freedKey(dry), units.Bytes(res.FreedBytes).String(),
	}
}

func detailLogs(policies []PolicyResult, dry bool) string {
	var rotated, unsure int64
	for i := range policies {
		rotated += policies[i].Rotated
		unsure += policies[i].MayHaveLost
	}
	switch {
	case rotated == 0:
		return ""
	case dry:
		return fmt.Sprintf("would rotate %d logs", rotated)
	case unsure > 0:
		return fmt.Sprintf("rotated %d logs; for %d of them a loss in the moment of the cut cannot be ruled out", rotated, unsure)
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
	if l.p.OldDir != "" {
		say(l.res.Skipped[string(safefs.OldDirMount)], "%d logs were not rotated because the olddir "+strconv.Quote(l.p.OldDir)+" next to them is another mount, and what is rotated is renamed, never copied: unmount it, or write another name")
	}
	say(l.privates, "%d rotated logs lost their access list or security label and are readable for their owner only")
}

// private notes a copy whose access list could not be kept.
func (l *logRun) private(did safefs.Rotated) {
	if !did.Private {
		return
	}
	l.privates++
	l.opts.Logger.Warn("the access list or security label of a log could not be kept: its copy is readable for its owner only",
		"target", l.opts.Target, "dir", l.p.Where(), "name", did.Name)
}

// oversize is what the rotator asks of a log that it holds: one that is due by age is what it was, or
// has grown since; else another rotation was faster.
func (l *logRun) oversize(sizeBytes, allocatedBytes int64) bool {
	return l.p.Oversize(sizeBytes, allocatedBytes) || l.aged > 0 && sizeBytes >= l.aged
}

// lookBack learns when each log was last rotated, where logs are rotated by age.
func (l *logRun) lookBack() error {
	if l.p.RotateAfter == 0 {
		return nil
	}
	l.latest = policy.NewLatest(l.p)
	_, err := l.walk(func(_ *dirscan.Entry, kind policy.LogKind, r policy.Rotation, folder []byte) {
		if kind == policy.LogRotated {
			l.latest.Add(folder, &r)
		}
	})
	return err
}

// isDue reports whether a log is to be rotated, and notes if that is because of its age. An empty one has
// nothing to rotate.
func (l *logRun) isDue(e *dirscan.Entry, folder []byte) bool {
	l.aged = 0
	if l.p.Oversize(e.SizeBytes, e.AllocatedBytes) {
		return true
	}
	if l.latest == nil || e.SizeBytes == 0 || !l.latest.Aged(folder, e.Name, l.now, func() time.Time { return safefs.Born(e) }) {
		return false
	}
	l.aged = e.SizeBytes
	return true
}

// rotate deals with every log that is due, and with what killed runs have left.
func (l *logRun) rotate() error {
	if err := l.lookBack(); err != nil {
		return err
	}
	silent := false // no one would open a new log: nothing is renamed
	var mute error
	res, err := l.walk(func(e *dirscan.Entry, kind policy.LogKind, _ policy.Rotation, folder []byte) {
		switch {
		case kind == policy.LogTemp:
			l.remove(e, whyLeftOver)
		case kind != policy.LogLive || !l.isDue(e, folder):
		case !l.p.Renames():
			l.copyTruncate(e)
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
			l.rename(e)
		}
	})
	l.mergeScan(&res)
	if l.p.Renames() && l.res.Rotated > 0 {
		err = errors.Join(err, l.tell())
	}
	return errors.Join(err, mute)
}

// copyTruncate copies a log and cuts it.
func (l *logRun) copyTruncate(e *dirscan.Entry) {
	var did safefs.Rotated
	why := l.chosen(l.keyOfLog(e), func() (why safefs.Reason) {
		defer l.opts.heart.pause()() // a large log takes long to copy
		did, why = l.rotator.CopyTruncate(l.ctx, e)
		return why
	})
	l.rotated(e, did, why)
}

// rename renames a log.
func (l *logRun) rename(e *dirscan.Entry) {
	name := ""
	why := l.chosen(l.keyOfLog(e), func() (why safefs.Reason) {
		name, why = l.rotator.Rename(e)
		return why
	})
	l.rotated(e, safefs.Rotated{Name: name}, why)
}

func (l *logRun) keyOfLog(e *dirscan.Entry) func() uint64 {
	return func() uint64 { return l.logKey(string(e.AppendPath(nil)), e.Ino) }
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
	if did.MayHaveLost {
		l.res.MayHaveLost++
		l.opts.Logger.Warn("a log was cut to nothing while it was written, and its writers cannot all be seen: a loss in that moment cannot be ruled out",
			"target", l.opts.Target, "dir", l.p.Where(), "name", did.Name, "hint", "use rotate: rename, or give the exporter CAP_SYS_PTRACE and the host's PID namespace")
	}
	l.private(did)
	l.path = e.AppendPath(l.path[:0])
	if l.req.OnFile != nil {
		l.req.OnFile(l.res, l.path, whyRotated)
	}
	if l.req.DryRun {
		l.planned = append(l.planned, string(l.path))
	}
	if l.req.Progress != nil {
		l.req.Progress(l.res)
	}
}

// receivers returns the processes of the target that handle the signal.
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
		return nil, fmt.Errorf("nothing was renamed: no process of the target is there to receive %s", l.p.Signal)
	}
	return nil, fmt.Errorf("nothing was renamed, because no one would open a new log: %w", errors.Join(errs...))
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
		l.opts.Logger.Info("asked a process to open its logs anew", "target", l.opts.Target, "pid", m.PID, "name", m.Name, "signal", l.p.Signal)
	}
	if len(errs) < len(l.writers) {
		return nil // a process that has ended needs no new log
	}
	return fmt.Errorf("logs were renamed, and no process could be notified: their writers go on in the renamed files: %w", errors.Join(errs...))
}

// trim removes the rotated logs that are due and compresses the others.
func (l *logRun) trim() error {
	tally := policy.NewTally(l.p)
	type rotated struct {
		found      safefs.Found
		compressed bool
		gone       bool
		index      int   // in the tally
		dueNs      int64 // when it is older than min_age
	}
	var list []rotated
	var total int64
	_, err := l.walk(func(e *dirscan.Entry, kind policy.LogKind, r policy.Rotation, folder []byte) {
		if kind == policy.LogOther {
			return
		}
		total++
		if kind != policy.LogRotated {
			return
		}
		if index, ok := tally.Add(folder, r, e.SizeBytes == 0); ok {
			list = append(list, rotated{found: l.remover.Find(e), compressed: r.Compressed, index: index, dueNs: l.dueNs(e)})
		}
	})
	if err != nil {
		return err
	}
	for _, log := range l.planned { // a run would have made these by now
		if _, ok := tally.Add(nil, policy.Rotation{Log: []byte(log), At: l.now, Serial: 1}, false); ok {
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
		if f := &list[i]; l.p.Compress && !f.compressed && !f.gone && !tally.Current(f.index) {
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
	var did safefs.Rotated
	why := l.chosen(func() uint64 { return l.logKey(f.Path, f.Identity.Ino) }, func() (why safefs.Reason) {
		defer l.opts.heart.pause()()
		did, why = l.rotator.Compress(l.ctx, f)
		return why
	})
	switch why {
	case safefs.Removed:
		l.res.FreedBytes += did.FreedBytes
		l.private(did)
		if l.req.OnFile != nil {
			l.req.OnFile(l.res, []byte(f.Path), whyCompressed)
		}
	case safefs.TooYoung: // its turn comes
	default:
		l.res.Skipped[string(why)]++
	}
}

// walk walks the policy's files: logs, rotated ones and what a rotation was writing. What is a log by
// its name and lies in an olddir is LogOther. folder is that of the log, valid during the call.
func (l *logRun) walk(visit func(e *dirscan.Entry, kind policy.LogKind, r policy.Rotation, folder []byte)) (dirscan.Result, error) {
	l.kept = 0
	o := dirscan.Options{
		Select: func(name []byte) bool {
			l.opts.heart.beat()
			kind, _ := l.known.KindOf(name)
			if kind == policy.LogOther {
				l.keeps(name)
			}
			return kind != policy.LogOther
		},
		Visit: func(e *dirscan.Entry) error {
			if err := l.ctx.Err(); err != nil {
				return err
			}
			kind, r, folder := l.known.Look(e)
			visit(e, kind, r, folder)
			return nil
		},
	}
	l.known.Scan(&o)
	o.Except = l.counted(o.Except)
	return l.remover.Scan(l.ctx, o)
}
