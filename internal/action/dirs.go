package action

import (
	"context"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// dirKind is how the policies of one kind are enforced.
type dirKind struct {
	// work does it for one policy.
	work func(*dirRun, policy.Policy) error
	// said returns the message of the log for what was done, and what only this kind says in it.
	said func(*PolicyResult) (msg string, args []any)
	// detail, where it is set, says in the journal what was done, when nothing else has to be said there.
	detail func(policies []PolicyResult, dry bool) string
}

// dirKinds are the kinds by their names in policy.Kinds.
var dirKinds = map[string]dirKind{
	policy.KindCache:  {work: on(evictCache), said: saidCache},
	policy.KindTemp:   {work: on(cleanTemp), said: saidTemp},
	policy.KindUpload: {work: on(enforceUploads), said: saidUploads},
	policy.KindLog:    {work: on(rotateLogs), said: saidLogs, detail: detailLogs},
}

// on makes work on policies of one kind one on any policy.
func on[P policy.Policy](work func(*dirRun, P) error) func(*dirRun, policy.Policy) error {
	return func(r *dirRun, p policy.Policy) error { return work(r, p.(P)) }
}

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
		res := runPolicy(ctx, req, &a.opts, a.kind, p, func(r *dirRun) error { return kind.work(r, p) })
		results = append(results, res)
		msg, args := kind.said(&res)
		args = append([]any{"target", a.opts.Target}, args...)
		a.opts.Logger.Info(msg, append(args, "outcome", string(res.Outcome), "skipped", skippedText(res.Skipped), "err", res.Error)...) //nolint:sloglint // a constant of the table
	}
	res := combine(ctx, req, results)
	if res.Detail == "" && kind.detail != nil {
		res.Detail = kind.detail(results, req.DryRun)
	}
	return res, ctx.Err()
}
