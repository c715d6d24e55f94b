package action

import (
	"context"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// CleanTemp removes temporary files that are expired or empty for too long, and then, of those that
// exceed max_files, the empty ones and the oldest.
type CleanTemp struct {
	opts     DirOptions
	policies []policy.Temp
}

// NewCleanTemp returns the action clean_temp over the given policies, which have been validated.
func NewCleanTemp(o DirOptions, policies []policy.Temp) *CleanTemp {
	return &CleanTemp{opts: o.complete(), policies: policies}
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
	limit := amount{unlimited, unlimited}
	if p.MaxFiles > 0 {
		limit.files = p.MaxFiles
	}
	target := func(amount, int64) (amount, error) { return limit, nil }
	if err := checkTempFraction(r, p, target); err != nil {
		return err
	}
	k := tempRanks(r, p)
	res, err := r.scan(func(e *dirscan.Entry) error {
		switch v := p.Judge(e, r.now); {
		case v == policy.NotDue && p.MaxFiles > 0:
			k.weigh(e)
		case v == policy.NotDue:
		case v == policy.TooYoung:
			r.res.Skipped[v.Reason()]++
			k.goesLater(e)
		case !v.Due():
			r.res.Skipped[v.Reason()]++
			k.stays(e)
		case r.remove(e, v.Reason()) != safefs.Removed:
			k.stays(e)
		}
		return nil
	})
	r.mergeScan(&res)
	if err != nil || p.MaxFiles == 0 {
		return err
	}
	missing, err := k.evict(target)
	if err == nil && missing != (amount{}) {
		r.opts.Logger.Warn("there are more temporary files than max_files: the rest is in use, too young or was touched meanwhile",
			"target", r.opts.Target, "dir", p.Name, "missing_files", missing.files, "skipped", skippedText(r.res.Skipped))
	}
	return err
}

func tempRanks(r *dirRun, p *policy.Temp) *ranks {
	return newRanks(r, p.AgeNs, func(*dirscan.Entry) int64 { return 0 },
		func(e *dirscan.Entry) bool { return p.Judge(e, r.now) != policy.NotDue })
}

// checkTempFraction counts what would go before the first file does.
func checkTempFraction(r *dirRun, p *policy.Temp, target limiter) error {
	if p.MaxRemoveFraction == nil || r.req.Force {
		return nil
	}
	k := tempRanks(r, p)
	var due, total int64
	_, err := r.scan(func(e *dirscan.Entry) error {
		total++
		switch v := p.Judge(e, r.now); {
		case v == policy.NotDue && p.MaxFiles > 0:
			k.weigh(e)
		case v.Due():
			due++
		case v == policy.TooYoung:
			k.goesLater(e)
		case v != policy.NotDue:
			k.stays(e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	more, err := k.forecast(target, due)
	if err != nil {
		return err
	}
	return r.checkFraction(due+more, total)
}
