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
	used, done := r.lastUse(p)
	defer done()
	verdict := func(e *dirscan.Entry) policy.Verdict { return p.Judge(e, r.now) }
	target := func(sum amount, soon int64) (goal, error) { return cacheGoal(r, p, sum, soon) }
	k := r.emptyFirst(used, p.Size, func(e *dirscan.Entry) bool { v := verdict(e); return v.Due() || v == policy.TooYoung })
	// One pass counts by last use what has not expired. What has expired goes at once, or is
	// counted too where the whole has to be known before the first file goes.
	guarded := p.MaxRemoveFraction != nil && !r.req.Force
	expired := int64(0)
	removeExpired := func(e *dirscan.Entry, n int64) {
		if why := r.remove(e, policy.Expired.Reason()); why != safefs.Removed {
			k.stays(e, n, why)
		}
	}
	res, err := r.survey(func(e *dirscan.Entry, n int64) {
		switch v := verdict(e); {
		case v == policy.TooYoung: // it goes with a later run
			r.res.Skipped[v.Reason()] += n
			k.goesLater(e, n)
		case !v.Due():
			k.weigh(e, n)
		case guarded:
			expired += n
		default:
			removeExpired(e, n)
		}
	}, used)
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
			if n := r.standsFor(e); n > 0 && verdict(e).Due() {
				removeExpired(e, n)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	short, err := k.evict(target)
	if err == nil {
		r.fallsShort(short)
	}
	return err
}

// lastUse returns when an entry was last used, also by the opens that were observed. What the run opens is
// not counted until done is called.
func (r *dirRun) lastUse(p *policy.Cache) (used func(*dirscan.Entry) int64, done func()) {
	opens, done := r.opts.Opens[p.Name], func() {}
	if opens == nil {
		return p.UsedNs, done
	}
	if r.req.DryRun { // which opens nothing: what is seen meanwhile is use
		opens.CatchUp()
	} else {
		done = opens.Pause()
	}
	x := r.remover.by
	switch {
	case p.LRUBy == policy.AgeMtime:
		return p.UsedNs, done
	case x != nil:
		x.lastUse = opens.LastUseNs
		return func(e *dirscan.Entry) int64 { return max(p.UsedNs(e), x.at.UsedNs) }, done
	}
	return func(e *dirscan.Entry) int64 {
		r.path = e.AppendPath(r.path[:0])
		return max(p.UsedNs(e), opens.LastUseNs(r.path))
	}, done
}

func saidCache(res *PolicyResult, dry bool) (msg string, args []any) {
	return said(dry, "cache evicted", "would evict from the cache"), saidFolders(res, append(append([]any{"cache", res.Policy}, countArgs(res, "entries")...), freedKey(dry), units.Bytes(res.FreedBytes).String()))
}

// cacheGoal returns the goal of a cache: the share of the limits that the request, or else the policy, asks
// for. Under pressure a cache above that share is trimmed to it although it is below its limits.
func cacheGoal(r *dirRun, p *policy.Cache, sum amount, soon int64) (goal, error) {
	if to := r.req.EvictTo; to > 0 {
		return r.goalOf(p, to, true, sum, soon)
	}
	return r.goalOf(p, p.Low(), r.req.Relief, sum, soon)
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
