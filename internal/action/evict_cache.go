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
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
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
		if ctx.Err() != nil {
			break
		}
		res := runPolicy(ctx, req, &a.opts, KindCache, &p.Common, "", func(r *dirRun) error { return evictCache(r, p) })
		results = append(results, res)
		a.opts.Logger.Info("cache evicted", "target", a.opts.Target, "cache", p.Name, "entries", res.Files,
			"freed", units.Bytes(res.FreedBytes).Short(), "outcome", string(res.Outcome), "skipped", skippedText(res.Skipped), "err", res.Error)
	}
	return combine(ctx, req, results), ctx.Err()
}

func evictCache(r *dirRun, p *policy.Cache) error {
	used := p.UsedNs
	if opens := r.opts.Opens[p.Name]; opens != nil {
		defer opens.Pause()()
		if p.LRUBy != policy.AgeMtime {
			used = func(e *dirscan.Entry) int64 {
				r.path = e.AppendPath(r.path[:0])
				return max(p.UsedNs(e), opens.LastUseNs(r.path))
			}
		}
	}
	o := &oldestFirst{
		dirRun: r, key: used, size: p.Size, start: first,
		skip: func(e *dirscan.Entry) bool { return p.Judge(e, r.now).Due() },
	}
	// One pass counts by last use what is not over age. What is over age goes at once, or is
	// counted too where the whole has to be known before the first file goes.
	guarded := p.MaxRemoveFraction != nil && !r.req.Force
	expired := int64(0)
	removeExpired := func(e *dirscan.Entry) {
		if r.remove(e, policy.Expired.Reason()) != safefs.Removed {
			o.fixed.add(p.Size(e))
		}
	}
	res, err := r.scan(func(e *dirscan.Entry) error {
		switch {
		case !o.skip(e):
			o.weigh(e)
		case guarded:
			expired++
		default:
			removeExpired(e)
		}
		return nil
	})
	r.mergeScan(&res)
	if err != nil {
		return err
	}
	if guarded {
		o.target = evictTarget(r.req, p, o.sum)
		if err := r.checkFraction(expired+o.forecast(o.need(o.sum)), expired+o.sum.files); err != nil {
			return err
		}
	}
	if expired > 0 {
		if _, err := r.scan(func(e *dirscan.Entry) error {
			if o.skip(e) {
				removeExpired(e)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	o.target = evictTarget(r.req, p, amount{o.sum.files + o.fixed.files, o.sum.bytes + o.fixed.bytes})
	missing, err := o.evict("over_limit")
	if err == nil && missing != (amount{}) {
		r.opts.Logger.Warn("the cache is not down to its mark: the rest is in use, too young or was touched meanwhile",
			"target", r.opts.Target, "cache", p.Name, "missing_entries", missing.files, "missing", units.Bytes(missing.bytes).Short())
	}
	return err
}

// evictTarget returns what may stay of sum: the share of the limits that the request, or else the
// policy, asks for, and everything where nothing is to be done.
func evictTarget(req Request, p *policy.Cache, sum amount) amount {
	target := amount{unlimited, unlimited}
	low := p.Low()
	ratio, limited := p.UsedRatio(sum.files, sum.bytes)
	switch {
	case !limited:
		return target
	case req.EvictTo > 0:
		low = req.EvictTo
	case req.Relief: // above the low mark is enough
	case ratio <= 1:
		return target
	}
	if p.MaxEntries > 0 {
		target.files = int64(low * float64(p.MaxEntries))
	}
	if p.MaxBytes > 0 {
		target.bytes = int64(low * float64(p.MaxBytes))
	}
	return target
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
