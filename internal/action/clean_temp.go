package action

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// CleanTemp removes temporary files that are expired or empty for too long, and then the oldest
// of those that exceed max_files.
type CleanTemp struct {
	opts     DirOptions
	policies []policy.Temp
}

// NewCleanTemp returns the action clean_temp over the given policies, which have been validated.
func NewCleanTemp(o DirOptions, policies []policy.Temp) *CleanTemp {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &CleanTemp{opts: o, policies: policies}
}

// Run implements Action.
func (a *CleanTemp) Run(ctx context.Context, req Request) (Result, error) {
	var results []PolicyResult
	for i := range a.policies {
		p := &a.policies[i]
		if req.Only != "" && req.Only != p.Name {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		res := runPolicy(ctx, req, &a.opts, KindTemp, &p.Common, "", func(r *dirRun) error { return cleanTemp(r, p) })
		results = append(results, res)
		a.opts.Logger.Info("cleaned temp files", "target", a.opts.Target, "dir", p.Name, "files", res.Files,
			"freed", units.Bytes(res.FreedBytes).Short(), "outcome", string(res.Outcome), "skipped", skippedText(res.Skipped), "err", res.Error)
	}
	return combine(ctx, req, results), ctx.Err()
}

func cleanTemp(r *dirRun, p *policy.Temp) error {
	if p.MaxRemoveFraction != nil {
		if err := checkTempFraction(r, p); err != nil {
			return err
		}
	}
	o := &oldestFirst{
		dirRun: r, key: p.AgeNs, size: func(*dirscan.Entry) int64 { return 0 },
		target: amount{p.MaxFiles, unlimited}, start: first,
		// What is due is dealt with below; in a dry run it is still there afterwards.
		skip: func(e *dirscan.Entry) bool { return p.Judge(e, r.now) != policy.NotDue },
	}
	res, err := r.scan(func(e *dirscan.Entry) error {
		switch v := p.Judge(e, r.now); {
		case v == policy.NotDue && p.MaxFiles > 0:
			o.weigh(e)
		case v == policy.NotDue:
		case !v.Due():
			r.res.Skipped[v.Reason()]++
			o.fixed.add(0)
		case r.remove(e, v.Reason()) != safefs.Removed:
			o.fixed.add(0)
		}
		return nil
	})
	r.mergeScan(&res)
	if err != nil || p.MaxFiles == 0 {
		return err
	}
	missing, err := o.evict("over_limit")
	if err == nil && missing != (amount{}) {
		r.opts.Logger.Warn("there are more temporary files than max_files: the rest is in use, too young or was touched meanwhile",
			"target", r.opts.Target, "dir", p.Name, "missing_files", missing.files)
	}
	return err
}

// checkTempFraction counts what would go before the first file does.
func checkTempFraction(r *dirRun, p *policy.Temp) error {
	var due, total int64
	_, err := r.scan(func(e *dirscan.Entry) error {
		total++
		if p.Judge(e, r.now).Due() {
			due++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.MaxFiles > 0 {
		due = max(due, total-p.MaxFiles)
	}
	return r.checkFraction(due, total)
}
