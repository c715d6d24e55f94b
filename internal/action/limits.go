package action

import (
	"fmt"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// goal is what a clean-up that a limit asks for has to reach: down to mark, because there is more than
// limit. Both are unlimited where nothing is to be done.
type goal struct{ mark, limit amount }

// limiter returns the goal where sum is what is there. soon is how many files other than those in sum
// will be gone by themselves.
type limiter func(sum amount, soon int64) (goal, error)

// goalOf returns the goal of a policy: down to the share low of its limits where one of them is exceeded,
// or in any case.
func (r *dirRun) goalOf(p policy.Limited, low float64, always bool, sum amount, soon int64) (goal, error) {
	g := goal{amount{unlimited, unlimited}, amount{unlimited, unlimited}}
	free, err := r.free(p, soon)
	if err != nil {
		return g, err
	}
	limits := p.Limits(sum.files, sum.bytes, free)
	if ratio, limited := limits.UsedRatio(sum.files, sum.bytes); !limited || ratio <= 1 && !always {
		return g, nil
	}
	if limits.Entries != policy.Unlimited {
		g.limit.files, g.mark.files = limits.Entries, int64(low*float64(limits.Entries))
	}
	if limits.Bytes != policy.Unlimited {
		g.limit.bytes, g.mark.bytes = limits.Bytes, int64(low*float64(limits.Bytes))
	}
	return g, nil
}

// free returns what is free alongside the folder, with what a dry run would have freed by now.
func (r *dirRun) free(p policy.Limited, soon int64) (policy.Free, error) {
	if !p.NeedsFree() {
		return policy.Free{}, nil
	}
	look := r.opts.Free
	if look == nil {
		look = policy.FreeOf
	}
	free, err := look(r.common.Dir)
	if err == nil && r.req.DryRun {
		free.Bytes += r.res.FreedBytes
		free.Inodes += r.res.Files + r.res.Folders
	}
	free.Inodes += soon
	return free, err
}

// shortfall is what an eviction did not reach: how much more would have to go for its mark, and by how much
// what is left is over the limit itself.
type shortfall struct{ missing, over amount }

// fallsShort notes what a run did not reach. One that leaves the folder over its limit has not done its
// work.
func (r *dirRun) fallsShort(s shortfall) {
	r.res.MissingEntries, r.res.MissingBytes = s.missing.files, s.missing.bytes
	if s.missing != (amount{}) {
		r.opts.Logger.Warn("the folder is still above its target size: what is left is in use, too young or was just modified",
			"target", r.opts.Target, "kind", r.res.Kind, "policy", r.res.Policy, "missing_entries", s.missing.files,
			"missing", units.Bytes(s.missing.bytes).String(), "skipped", skippedText(r.res.Skipped))
	}
	if s.over == (amount{}) {
		return
	}
	r.res.Over = true
	var over []string
	if s.over.bytes > 0 {
		over = append(over, units.Bytes(s.over.bytes).String())
	}
	if s.over.files > 0 {
		over = append(over, fmt.Sprintf("%d files", s.over.files))
	}
	text := strings.Join(over, " and ") + " over the limit could not be removed"
	if why := skippedText(r.res.Skipped); why != "" {
		text += " (" + why + ")"
	}
	r.faults = append(r.faults, text)
}
