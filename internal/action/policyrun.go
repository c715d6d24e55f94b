package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	progressFiles = 1000
	progressEvery = 100 * time.Millisecond
)

// ErrTooMany says that a run would remove more than max_remove_fraction allows.
var ErrTooMany = errors.New("more would be removed than max_remove_fraction allows: look at the plan, then run cleanup with --force")

// DirOptions are what the actions on directories share.
type DirOptions struct {
	Target   string
	Reserved []string      // folders that no root may touch: the journal's
	Places   []string      // folders that any policy names: none goes because it is empty
	Roots    *safefs.Roots // which folders the roots were when the configuration was loaded; nil = not compared
	Logger   *slog.Logger
	Now      func() time.Time // default time.Now
	// Members are the processes of the target at present, to be notified of a renamed log.
	Members func() []proc.Member
	// Opens are the watches of caches, by name. A cache without one goes by the times on disk.
	Opens map[string]Opens
	Clock *Clock                                // nil = the clock is trusted
	Free  func(dir string) (policy.Free, error) // default policy.FreeOf
	// Inside returns what opens a folder that the target has under a name of its own; nil where no
	// policy has one.
	Inside func(*policy.Common) func() (dirscan.Opened, error)

	ProcFS string            // where open files are looked up; default /proc
	Open   *safefs.OpenFiles // shared by the folders of one command; nil = each run looks for itself
	unseen *sync.Once        // says InUseIncomplete in the log

	// Patience, when above 0, is how long a folder may take from one answer to the next before a run
	// goes on without it. It is for commands; in the exporter a step has a timeout.
	Patience time.Duration
	heart    *heartbeat // of the run
}

// InUseIncomplete is what a dry run without the rights to see all open files says of its result.
const InUseIncomplete = "not every process may be inspected here, so a file that only such a process has open may be listed: run as root, in a container with CAP_SYS_PTRACE"

// complete applies the defaults.
func (o DirOptions) complete() DirOptions {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.unseen = new(sync.Once)
	return o
}

// Opens says when the files of a cache were opened, and does not count what a clean-up of ours
// opens.
type Opens interface {
	// LastUseNs returns when the file with this path, relative to the root, was last opened, in
	// nanoseconds since 1970; 0 when that is not known.
	LastUseNs(path []byte) int64
	// CatchUp takes in what was opened until now.
	CatchUp()
	// Pause does that too, and then stops counting until resume is called.
	Pause() (resume func())
}

// dirRun is one run over one policy.
type dirRun struct {
	ctx      context.Context
	req      Request
	opts     *DirOptions
	common   *policy.Common
	names    *policy.Names
	remover  *remover
	now      time.Time
	res      PolicyResult
	path     []byte
	reported time.Time
	ticks    int
	faults   []string // what makes the outcome partial although nothing failed
	others   []uint32 // users whose files stay because of their owner, the first few
	kept     int64    // names that the last scan passed over because of keep
	links    links    // files with several names that the first scan has found
}

// newPolicyResult returns the result of a run that has done nothing yet.
func newPolicyResult(o *DirOptions, kind string, p policy.Policy) PolicyResult {
	c := p.CommonKeys()
	return PolicyResult{
		Target: o.Target, Policy: c.Name, Kind: kind, Dir: c.Where(), Quarantine: quarantineOf(p), Skipped: make(map[string]int64), Outcome: Done,
	}
}

// runPolicy checks the root again, as it is now, and runs work on it. Files are moved into the
// policy's quarantine where it names one.
func runPolicy(ctx context.Context, req Request, o *DirOptions, kind string, p policy.Policy, work func(*dirRun) error) PolicyResult {
	res := newPolicyResult(o, kind, p)
	c, quarantine := p.CommonKeys(), res.Quarantine
	if req.DryRun {
		res.Outcome = DryRun
	}
	openRoot, err := o.rootOf(c)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			o.Logger.Debug("nothing to clean: the folder does not exist", "target", o.Target, kind, c.Name, "dir", c.Dir)
			return res
		}
		res.Outcome, res.Error = Failed, err.Error()
		return res
	}
	if err := o.Clock.Check(); err != nil && !req.Force {
		o.Logger.Error("nothing is cleaned", "target", o.Target, kind, c.Name, "dir", c.Where(), "err", err)
		res.Outcome, res.Error = Failed, err.Error()
		return res
	}
	names, err := c.Compile()
	owners, ownersErr := c.Owners()
	err = errors.Join(err, ownersErr)
	if err == nil && quarantine != "" {
		err = checkQuarantine(c.Dir, quarantine, o.Reserved)
	}
	if err != nil {
		res.Outcome, res.Error = Failed, err.Error()
		return res
	}
	r := &dirRun{ctx: ctx, req: req, opts: o, common: c, names: names, now: o.Now(), res: res}
	open := o.Open
	if open == nil {
		open = safefs.NewOpenFiles(o.ProcFS)
	}
	r.remover = &remover{Remover: safefs.NewRemover(safefs.Options{
		Open: open,
		Dir:  c.Where(), OpenRoot: openRoot, Roots: o.Roots, DryRun: req.DryRun, RemoveLinks: c.Links == policy.LinksRemove, MinAge: c.Floor(),
		AgeNs: c.AgeNs, Strict: c.Strict, Quarantine: quarantine, Owners: owners, Now: r.now,
		Pulse: func() error { o.heart.beat(); return ctx.Err() },
	})}
	defer r.remover.Close()
	if err := r.remover.Open(); err != nil {
		r.notOpened(kind, err)
		return r.res
	}
	r.res.Place = r.remover.Place()
	r.sweep(kind)
	if err = r.useEntries(); err == nil {
		err = work(r)
		r.finishEntries()
	}
	r.notFreed()
	r.ownersLeft()
	r.finish(err)
	if r.res.InUseIncomplete = req.DryRun && open.Incomplete(); r.res.InUseIncomplete {
		o.unseen.Do(func() { o.Logger.Info("dry run: "+InUseIncomplete, "target", o.Target) })
	}
	return r.res
}

// rootOf checks a root by its path, as it is now. For one that only the target has under its name it
// returns what opens and checks it.
func (o *DirOptions) rootOf(c *policy.Common) (open func() (dirscan.Opened, error), err error) {
	switch {
	case !c.Foreign():
		return nil, safefs.CheckRoot(c.Dir, o.Reserved...)
	case o.Inside == nil:
		return nil, fmt.Errorf("%s: the processes of the target are not known here", c.Where())
	}
	return o.Inside(c), nil
}

// notOpened ends a run whose root could not be opened. A folder that the target does not have at present
// is not a failure: the run says what it waits for.
func (r *dirRun) notOpened(kind string, err error) {
	log := r.opts.Logger.With("target", r.opts.Target, kind, r.common.Name, "dir", r.common.Where(), "err", err)
	if r.common.Foreign() && (errors.Is(err, dirscan.ErrAway) || errors.Is(err, fs.ErrNotExist)) {
		log.Debug("nothing to clean: the target does not have the folder at present")
		r.res.Waits = err.Error()
		return
	}
	if exchanged := (*safefs.ExchangedError)(nil); errors.As(err, &exchanged) {
		log.Error("nothing is cleaned")
	}
	r.finish(err)
}

// quarantineOf returns the folder that a policy's files are moved into in place of being removed; "" for
// one whose files are removed.
func quarantineOf(p policy.Policy) string {
	for _, place := range p.Places() {
		if place.Key == policy.KeyQuarantine {
			return *place.Dir
		}
	}
	return ""
}

func checkQuarantine(dir, quarantine string, reserved []string) error {
	err := safefs.CheckQuarantine(hostfs.Roots{}, dir, quarantine, reserved...)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the quarantine does not exist: mkdir -m 0700 it (%w)", err)
	}
	return err
}

// sweep finishes what strict runs that were killed have begun, and says what it leaves.
func (r *dirRun) sweep(kind string) {
	log := r.opts.Logger.With("target", r.opts.Target, kind, r.common.Name, "dir", r.common.Where())
	removed, freed, err := r.remover.Sweep(r.ctx)
	if removed > 0 {
		log.Warn("removed from the quarantine what a run that was cut off had put there", "files", removed, "freed", units.Bytes(freed).String())
	}
	n, leftErr := r.remover.Leftovers()
	if n > 0 {
		log.Warn("files are left in the quarantine that are not what was to be removed: look at them and move them back or remove them", "files", n)
	}
	if err := errors.Join(err, leftErr); err != nil {
		log.Warn("the quarantine of an earlier run could not be read", "err", err)
	}
}

// notFreed takes back what was counted as freed and is not, because someone still holds the file.
func (r *dirRun) notFreed() {
	held := r.remover.Held()
	if held == 0 {
		return
	}
	r.res.FreedBytes = max(0, r.res.FreedBytes-held)
	r.opts.Logger.Info("some of what was removed is still held by a process: its space is free once that closes it",
		"target", r.opts.Target, "dir", r.common.Where(), "held", units.Bytes(held).String())
}

// maxOthers bounds how many users are named whose files stay.
const maxOthers = 5

// ownersLeft names the users whose files stay, which the key owner could list.
func (r *dirRun) ownersLeft() {
	if len(r.others) == 0 {
		return
	}
	slices.Sort(r.others)
	r.opts.Logger.Warn("files stay because they do not belong to the owner of the folder: if they are the service's, write owner with these users",
		"target", r.opts.Target, "dir", r.common.Where(), "owner", r.others)
}

// finish sets the outcome from what happened.
func (r *dirRun) finish(err error) {
	if err != nil {
		r.res.Error = strings.Join(append(r.faults, err.Error()), "; ")
		r.res.Outcome = Failed
		if r.res.Files > 0 || r.res.Rotated > 0 {
			r.res.Outcome = Partial
		}
		if r.ctx.Err() != nil {
			r.res.Outcome, r.res.Error = Partial, "stopped before its end: "+r.res.Error
		}
		return
	}
	if r.req.DryRun {
		return
	}
	if faults := append(r.faults, refusals(r.res.Skipped)...); len(faults) > 0 {
		r.res.Outcome, r.res.Error = Partial, strings.Join(faults, "; ")
	}
}

// refusals says what could not be removed although it was due: first what a person can change, then
// the errors of the system with their counts, the most frequent first.
func refusals(skipped map[string]int64) []string {
	var out, errnos []string
	if n := skipped[string(safefs.NoLease)]; n > 0 {
		out = append(out, fmt.Sprintf("%d files stay because it is not known whether they are open: run as their owner or with CAP_LEASE", n))
	}
	for reason, n := range skipped {
		if n > 0 && strings.HasPrefix(reason, "error_") && reason != string(safefs.NoLease) {
			errnos = append(errnos, reason)
		}
	}
	slices.SortFunc(errnos, func(a, b string) int { return cmp.Or(cmp.Compare(skipped[b], skipped[a]), cmp.Compare(a, b)) })
	for i, reason := range errnos {
		errnos[i] = fmt.Sprintf("%s=%d", reason, skipped[reason])
	}
	if len(errnos) > 0 {
		out = append(out, "some files could not be removed: "+strings.Join(errnos, " "))
	}
	return out
}

// scan walks the policy's files once. Cancelled, it stops before the next file.
func (r *dirRun) scan(visit func(*dirscan.Entry) error) (dirscan.Result, error) {
	r.kept = 0
	return r.remover.Scan(r.ctx, dirscan.Options{
		Recursive: r.common.IsRecursive(), Select: r.selects, Except: r.counted(r.names.Except()), Skip: r.names.SkipFolder,
		Visit: func(e *dirscan.Entry) error {
			if err := r.ctx.Err(); err != nil {
				return err
			}
			r.opts.heart.beat()
			return visit(e)
		},
	})
}

// remove removes an entry that is due, with its other names, and counts what came of it.
func (r *dirRun) remove(e *dirscan.Entry, why string) safefs.Reason {
	if g := r.links.of(e); g != nil {
		return r.removeLinked(g, why)
	}
	var freed int64
	skipped := r.chosen(func() uint64 { return r.keyOf(e, string(e.AppendPath(nil))) }, func() (why safefs.Reason) {
		freed, why = r.remover.Remove(e)
		return why
	})
	if skipped == safefs.Removed && r.req.OnFile != nil {
		r.path = e.AppendPath(r.path[:0])
		r.onFile(r.path, why)
	}
	if skipped == safefs.Owner && len(r.others) < maxOthers && !slices.Contains(r.others, e.UID) {
		r.others = append(r.others, e.UID)
	}
	if why != overLimit { // a limit takes another one instead
		r.owes(skipped, r.dueNs(e))
	}
	r.count(e.SizeBytes, freed, skipped)
	return skipped
}

// removeFound is remove for a file that was found earlier in the run.
func (r *dirRun) removeFound(f safefs.Found, why string) safefs.Reason {
	var freed int64
	skipped := r.chosen(func() uint64 { return r.foundKey(&f) }, func() (why safefs.Reason) {
		freed, why = r.remover.RemoveFound(f)
		return why
	})
	if skipped == safefs.Removed && r.req.OnFile != nil {
		r.onFile([]byte(f.Path), why)
	}
	r.count(f.Identity.SizeBytes, freed, skipped)
	return skipped
}

func (r *dirRun) count(size, freed int64, skipped safefs.Reason) {
	r.opts.heart.beat()
	if skipped != safefs.Removed {
		r.res.Skipped[string(skipped)]++
	} else {
		r.countEntry()
		r.res.Bytes += size
		r.res.FreedBytes += freed
	}
	if r.req.Progress == nil {
		return
	}
	if r.ticks++; r.ticks%progressFiles == 0 || r.ticks%16 == 0 && time.Since(r.reported) > progressEvery {
		r.reported = time.Now()
		r.req.Progress(r.res)
	}
}

// mergeScan adds what the walk itself passed over.
func (r *dirRun) mergeScan(res *dirscan.Result) {
	r.res.Scanned = max(r.res.Scanned, res.Files)
	if r.kept > 0 {
		r.res.Skipped["kept"] = r.kept
	}
	for reason, n := range res.SkippedByReason() {
		r.res.Skipped[reason] = max(r.res.Skipped[reason], n)
	}
}

// checkFraction refuses a run that would remove a larger share of the files than is allowed.
func (r *dirRun) checkFraction(due, total int64) error {
	limit := r.common.MaxRemoveFraction
	if limit == nil || r.req.Force || total == 0 || float64(due) <= float64(*limit)*float64(total) {
		return nil
	}
	return fmt.Errorf("%d of %d %s (limit %s): %w", due, total, r.common.EntryNoun(), *limit, ErrTooMany)
}

// combine makes the result of an action from those of its policies, which are not all there when
// the action was cancelled.
func combine(ctx context.Context, req Request, policies []PolicyResult) Result {
	out := Result{Outcome: Done, Skipped: make(map[string]int64), Policies: policies}
	if req.DryRun {
		out.Outcome = DryRun
	}
	failed, partial, unknown := 0, 0, 0
	for i := range policies {
		p := &policies[i]
		out.Files += p.Files
		out.Bytes += p.Bytes
		out.FreedBytes += p.FreedBytes
		out.LostBytes += p.LostBytes
		for reason, n := range p.Skipped {
			out.Skipped[reason] += n
		}
		switch p.Outcome {
		case Failed:
			failed++
		case Partial:
			partial++
		case Unknown:
			unknown++
		}
		out.InUse, out.Over = out.InUse || p.InUse, out.Over || p.Over
		if !p.DueAt.IsZero() && (out.DueAt.IsZero() || p.DueAt.Before(out.DueAt)) {
			out.DueAt = p.DueAt
		}
		if text := cmp.Or(p.Error, p.Waits); text != "" && out.Detail == "" {
			out.Detail = p.Policy + ": " + text
		}
	}
	switch {
	case failed > 0 && failed == len(policies):
		out.Outcome = Failed
	case unknown > 0:
		out.Outcome = Unknown
	case failed+partial > 0 || ctx.Err() != nil:
		out.Outcome = Partial
	}
	return out
}
