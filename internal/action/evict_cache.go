package action

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// EvictCache removes cache entries that are over age, and then the least recently used ones until
// the cache is down to the share of its limits that is asked for.
type EvictCache struct {
	opts     DirOptions
	policies []policy.Cache
}

// NewEvictCache returns the action evict_cache over the given policies, which have been validated.
func NewEvictCache(o DirOptions, policies []policy.Cache) *EvictCache {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &EvictCache{opts: o, policies: policies}
}

// Run implements Action.
func (a *EvictCache) Run(ctx context.Context, req Request) (Result, error) {
	var results []PolicyResult
	for i := range a.policies {
		p := &a.policies[i]
		if req.Only != "" && req.Only != p.Name {
			continue
		}
		res := runPolicy(ctx, req, &a.opts, KindCache, &p.Common, func(r *dirRun) error { return evictCache(r, p) })
		results = append(results, res)
		a.opts.Logger.Info("cache evicted", "target", a.opts.Target, "cache", p.Name, "entries", res.Files,
			"freed", units.Bytes(res.FreedBytes).Short(), "outcome", string(res.Outcome), "skipped", skippedText(res.Skipped), "err", res.Error)
	}
	return combine(req, results), ctx.Err()
}

func evictCache(r *dirRun, p *policy.Cache) error {
	o := &oldestFirst{
		dirRun: r, key: p.UsedNs, size: p.Size,
		skip: func(e *dirscan.Entry) bool { return p.Judge(e, r.now).Due() },
	}
	// One pass finds what is over age and counts the rest by last use.
	ages := &dirscan.Histogram{}
	var expired int64
	var sum amount
	res, err := r.scan(nil, nil, func(e *dirscan.Entry) error {
		if p.Judge(e, r.now).Due() {
			expired++
			return nil
		}
		sum.files++
		sum.bytes += p.Size(e)
		ages.Add(r.now.UnixNano()-p.UsedNs(e), p.Size(e), e.AllocatedBytes)
		return nil
	})
	r.mergeScan(&res)
	if err != nil {
		return err
	}
	need := evictNeed(r.req, p, sum)
	if err := r.checkFraction(expired+need.files, expired+sum.files); err != nil {
		return err
	}
	if expired > 0 {
		_, err := r.scan(nil, nil, func(e *dirscan.Entry) error {
			if p.Judge(e, r.now).Due() {
				r.remove(e, policy.Expired.Reason())
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if need == (amount{}) {
		return nil
	}
	missing, err := o.evict(ages, need, "over_limit")
	if err == nil && missing != (amount{}) && !r.req.DryRun {
		r.opts.Logger.Warn("the cache is not down to its mark: the rest is in use, too young or was touched meanwhile",
			"target", r.opts.Target, "cache", p.Name, "missing_entries", missing.files, "missing", units.Bytes(missing.bytes).Short())
	}
	return err
}

// evictNeed returns what has to go so that sum is down to the share of the limits that the
// request, or else the policy, asks for.
func evictNeed(req Request, p *policy.Cache, sum amount) amount {
	low := p.Low()
	ratio, limited := p.UsedRatio(sum.files, sum.bytes)
	switch {
	case !limited:
		return amount{}
	case req.EvictTo > 0:
		low = req.EvictTo
	case req.Relief: // above the low mark is enough
	case ratio <= 1:
		return amount{}
	}
	var need amount
	if p.MaxEntries > 0 {
		need.files = max(0, sum.files-int64(low*float64(p.MaxEntries)))
	}
	if p.MaxBytes > 0 {
		need.bytes = max(0, sum.bytes-int64(low*float64(p.MaxBytes)))
	}
	return need
}

// skippedText writes counts by reason in a stable order: "in_use=1 too_young=20".
func skippedText(skipped map[string]int64) string {
	var b strings.Builder
	for _, reason := range slices.SortedFunc(maps.Keys(skipped), cmp.Compare[string]) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(reason + "=" + strconv.FormatInt(skipped[reason], 10))
	}
	return b.String()
}
