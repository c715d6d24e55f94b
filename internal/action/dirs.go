package action

import (
	"context"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// Dirs enforces the directory policies of one kind: clean_temp, evict_cache, enforce_uploads or
// rotate_logs.
type Dirs struct {
	opts     DirOptions
	kind     string
	policies []policy.Policy
}

// NewDirs returns the action over the policies of a kind, which have been validated. Of logs that are
// renamed it needs DirOptions.Members.
func NewDirs(o DirOptions, kind string, folders *policy.Folders) *Dirs {
	return &Dirs{opts: o.complete(), kind: kind, policies: folders.Of(kind)}
}

// Run implements Action.
func (a *Dirs) Run(ctx context.Context, req Request) (Result, error) {
	kind := dirKinds[a.kind]
	var results []PolicyResult
	for _, p := range a.policies {
		if req.Only != "" && req.Only != p.CommonKeys().Name {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		res := patiently(ctx, req, &a.opts, newPolicyResult(&a.opts, a.kind, p), func(ctx context.Context, req Request, o *DirOptions) PolicyResult {
			return runPolicy(ctx, req, o, a.kind, p, func(r *dirRun) error { return kind.work(r, p) })
		})
		results = append(results, res)
		msg, args := kind.said(&res, req.DryRun)
		args = append([]any{"target", a.opts.Target}, args...)
		if len(res.KeptNames) > 0 {
			args = append(args, "kept_names", strings.Join(res.KeptNames, " "))
		}
		args = append(args, "outcome", string(res.Outcome))
		if skipped := skippedText(res.Skipped); skipped != "" {
			args = append(args, "skipped", skipped)
		}
		if res.Error != "" {
			args = append(args, "err", res.Error)
		}
		a.opts.Logger.Info(msg, args...) //nolint:sloglint // a constant of the table
	}
	res := combine(ctx, req, results)
	if res.Detail == "" && kind.detail != nil {
		res.Detail = kind.detail(results, req.DryRun)
	}
	if res.Detail == "" {
		res.Detail = entriesDetail(results, req.DryRun)
	}
	return res, ctx.Err()
}
