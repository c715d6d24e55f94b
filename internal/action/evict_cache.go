package action

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// evictCache removes cache entries that have expired, and then, until the cache is down to the share
// of its limits that is asked for, entries without content and the least recently used ones.
func evictCache(r *dirRun, p *policy.Cache) error {
	if err := r.removeEmptyDirs(p.EmptyDirs()); err != nil { // their inodes are free before the first file goes
		return err
	}
	used := p.UsedNs
	if opens := r.opts.Opens[p.Name]; opens != nil {
		if r.req.DryRun { // which opens nothing: what is seen meanwhile is use
			opens.CatchUp()
		} else {
			defer opens.Pause()()
		}
		if p.LRUBy != policy.AgeMtime {
			used = func(e *dirscan.Entry) int64 {
				r.path = e.AppendPath(r.path[:0])
				return max(p.UsedNs(e), opens.LastUseNs(r.path))
			}
		}
	}
	due := func(e *dirscan.Entry) bool { return p.Judge(e, r.now).Due() }
	target := func(sum amount, soon int64) (amount, error) { return evictTarget(r, p, sum, soon) }
	k := r.emptyFirst(used, p.Size, due)
	// One pass counts by last use what is not over age. What is over age goes at once, or is
	// counted too where the whole has to be known before the first file goes.
	guarded, expired := p.MaxRemoveFraction != nil && !r.req.Force, int64(0)
	removeExpired := func(e *dirscan.Entry) {
		if r.remove(e, policy.Expired.Reason()) != safefs.Removed {
			k.stays(e)
		}
	}
	res, err := r.scan(func(e *dirscan.Entry) error {
		switch {
		case !due(e):
			k.weigh(e)
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
		more, err := k.forecast(target, expired)
		if err != nil {
			return err
		}
		if err := r.checkFraction(expired+more, expired+k.all().files); err != nil {
			return err
		}
	}
	if expired > 0 {
		if _, err := r.scan(func(e *dirscan.Entry) error {
			if due(e) {
				removeExpired(e)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	missing, err := k.evict(target)
	if err == nil && missing != (amount{}) {
		r.opts.Logger.Warn("the cache is not down to its mark: the rest is in use, too young or was touched meanwhile",
			"target", r.opts.Target, "cache", p.Name, "missing_entries", missing.files, "missing", units.Bytes(missing.bytes).Short(), "skipped", skippedText(r.res.Skipped))
	}
	return err
}

func saidCache(res *PolicyResult, dry bool) (msg string, args []any) {
	return said(dry, "cache evicted", "would evict from the cache"), saidFolders(res, []any{"cache", res.Policy, "entries", res.Files, freedKey(dry), units.Bytes(res.FreedBytes).Short()})
}

// evictTarget returns what may stay of sum: the share of the limits that the request, or else the
// policy, asks for, and everything where nothing is to be done. soon is how many files beside sum
// go anyway.
func evictTarget(r *dirRun, p *policy.Cache, sum amount, soon int64) (amount, error) {
	target := amount{unlimited, unlimited}
	free, err := r.free(p, soon)
	if err != nil {
		return target, err
	}
	low := p.Low()
	limits := p.Limits(sum.files, sum.bytes, free)
	ratio, limited := limits.UsedRatio(sum.files, sum.bytes)
	switch {
	case !limited:
		return target, nil
	case r.req.EvictTo > 0:
		low = r.req.EvictTo
	case r.req.Relief: // above the low mark is enough
	case ratio <= 1:
		return target, nil
	}
	if limits.Entries != policy.Unlimited {
		target.files = int64(low * float64(limits.Entries))
	}
	if limits.Bytes != policy.Unlimited {
		target.bytes = int64(low * float64(limits.Bytes))
	}
	return target, nil
}

// free returns what is free beside the cache, with what a dry run would have freed by now.
func (r *dirRun) free(p *policy.Cache, soon int64) (policy.Free, error) {
	if !p.NeedsFree() {
		return policy.Free{}, nil
	}
	look := r.opts.Free
	if look == nil {
		look = policy.FreeOf
	}
	free, err := look(p.Dir)
	if err == nil && r.req.DryRun {
		free.Bytes += r.res.FreedBytes
		free.Inodes += r.res.Files + r.res.Folders
	}
	free.Inodes += soon
	return free, err
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
