package action

import (
	"context"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// EnforceUploads removes uploaded files, or moves them into a quarantine: those that are too large,
// those that are over age, and then the oldest until the rest is within its limit. A file that is
// still being written is open, and stays.
type EnforceUploads struct {
	opts     DirOptions
	policies []policy.Upload
}

// NewEnforceUploads returns the action enforce_uploads over the given policies, which have been
// validated.
func NewEnforceUploads(o DirOptions, policies []policy.Upload) *EnforceUploads {
	return &EnforceUploads{opts: o.complete(), policies: policies}
}

// Run implements Action.
func (a *EnforceUploads) Run(ctx context.Context, req Request) (Result, error) {
	var results []PolicyResult
	for i := range a.policies {
		p := &a.policies[i]
		if req.Only != "" && req.Only != p.Name {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		res := runPolicy(ctx, req, &a.opts, KindUpload, &p.Common, p.Quarantine, func(r *dirRun) error { return enforceUploads(r, p) })
		results = append(results, res)
		a.opts.Logger.Info("uploads enforced", "target", a.opts.Target, "dir", p.Name, "files", res.Files, "size", units.Bytes(res.Bytes).Short(),
			"freed", units.Bytes(res.FreedBytes).Short(), "quarantine", p.Quarantine, "outcome", string(res.Outcome), "skipped", skippedText(res.Skipped), "err", res.Error)
	}
	return combine(ctx, req, results), ctx.Err()
}

func enforceUploads(r *dirRun, p *policy.Upload) error {
	o := &oldestFirst{
		dirRun: r, key: p.AgeNs, size: p.Size, target: amount{unlimited, unlimited}, start: first,
		// What goes by itself is dealt with below; in a dry run it is still there afterwards.
		skip: func(e *dirscan.Entry) bool { return p.Judge(e, r.now) != policy.NotDue },
	}
	if p.MaxBytes > 0 {
		o.target.bytes = int64(p.MaxBytes)
	}
	if err := checkUploadFraction(r, p, o); err != nil {
		return err
	}
	res, err := r.scan(func(e *dirscan.Entry) error {
		switch v := p.Judge(e, r.now); {
		case v == policy.NotDue:
			o.weigh(e)
		case v == policy.TooYoung: // it goes with a later run, and pushes nothing out
			r.res.Skipped[v.Reason()]++
			r.owes(safefs.TooYoung, r.dueNs(e))
		case !v.Due():
			r.res.Skipped[v.Reason()]++
			o.fixed.add(p.Size(e))
		case r.remove(e, v.Reason()) != safefs.Removed:
			o.fixed.add(p.Size(e))
		}
		return nil
	})
	r.mergeScan(&res)
	if err != nil || p.MaxBytes == 0 {
		return err
	}
	missing, err := o.evict(overLimit)
	if err == nil && missing != (amount{}) {
		r.lacks(missing, o.young)
		r.opts.Logger.Warn("the uploads are not down to max_bytes: the rest is in use, too young or was touched meanwhile",
			"target", r.opts.Target, "dir", p.Name, "missing", units.Bytes(missing.bytes).Short())
	}
	return err
}

// checkUploadFraction counts what would go before the first file does.
func checkUploadFraction(r *dirRun, p *policy.Upload, o *oldestFirst) error {
	if p.MaxRemoveFraction == nil || r.req.Force {
		return nil
	}
	plan := *o // what it counts is counted again
	var due, total int64
	_, err := r.scan(func(e *dirscan.Entry) error {
		total++
		switch v := p.Judge(e, r.now); {
		case v == policy.NotDue:
			plan.weigh(e)
		case v.Due():
			due++
		case v == policy.TooYoung:
		default:
			plan.fixed.add(p.Size(e))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.checkFraction(due+plan.forecast(plan.need(plan.sum)), total)
}
