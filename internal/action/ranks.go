package action

import (
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// overLimit is why a file goes that only a limit takes.
const overLimit = "over_limit"

// ranks are the two orders in which a limit takes files: those without content, which are worth nothing, and
// then those with content, each the oldest first. A file without content never pushes out one with content:
// where it cannot go yet it is passed over and counted as missing, and the next run takes it. The same holds
// for a file that is due for itself and goes as soon as it is old enough or no longer in use.
type ranks struct {
	empty, full *oldestFirst
	later       int64 // bytes of what is due for itself and goes later; it is fixed in the order of the empty ones
	soon        int64 // files that no limit has to wait for: they are merely too young
}

// emptyFirst returns the orders of a policy's files by key. due says which entries another rule deals
// with; in a dry run they are still there afterwards.
func (r *dirRun) emptyFirst(key, size func(*dirscan.Entry) int64, due func(*dirscan.Entry) bool) *ranks {
	order := func(skip func(*dirscan.Entry) bool) *oldestFirst {
		return &oldestFirst{dirRun: r, key: r.keyed(key), size: size, start: first, target: amount{unlimited, unlimited}, skip: skip}
	}
	return &ranks{
		empty: order(func(e *dirscan.Entry) bool { return e.SizeBytes > 0 || due(e) }),
		full:  order(func(e *dirscan.Entry) bool { return e.SizeBytes == 0 || due(e) }),
	}
}

func (k *ranks) of(e *dirscan.Entry) *oldestFirst {
	if e.SizeBytes == 0 {
		return k.empty
	}
	return k.full
}

// weigh counts an entry, which stands for n names, that only a limit may take. The same holds for those below.
func (k *ranks) weigh(e *dirscan.Entry, n int64) {
	o := k.of(e)
	o.weigh(e, n)
	if o == k.empty && o.allowed(e) == safefs.TooYoung {
		k.soon += n
	}
}

// stays counts an entry that was due for itself and could not be removed. One that is in use goes as soon as
// it is not, so that it pushes nothing out.
func (k *ranks) stays(e *dirscan.Entry, n int64, why safefs.Reason) {
	o := k.of(e)
	size := o.size(e)
	if why == safefs.InUse {
		o, k.later = k.empty, k.later+size
	}
	o.fixed.addNames(n, size)
}

// goesLater counts an entry that goes by itself as soon as it is old enough: it pushes nothing out.
func (k *ranks) goesLater(e *dirscan.Entry, n int64) {
	o := k.empty
	size := o.size(e)
	o.fixed.addNames(n, size)
	k.later += size
	k.soon += n
	o.waits(e, n, size)
	o.owes(safefs.TooYoung, o.dueNs(e))
}

// there returns what has been counted of one order.
func (o *oldestFirst) there() amount {
	return amount{o.sum.files + o.fixed.files, o.sum.bytes + o.fixed.bytes}
}

func (k *ranks) all() amount {
	empty, full := k.empty.there(), k.full.there()
	return amount{empty.files + full.files, empty.bytes + full.bytes}
}

// needEmpty aims at a mark for all, and returns how many without content have to go. Of their bytes, which
// some have (fallocate(2)), only those count that would be free.
func (k *ranks) needEmpty(mark amount) amount {
	full := k.full.there()
	k.empty.target = amount{unlimited, unlimited}
	if mark.files != unlimited {
		k.empty.target.files = max(mark.files-full.files, 0)
	}
	if mark.bytes != unlimited {
		k.empty.target.bytes = max(mark.bytes-full.bytes, k.empty.fixed.bytes)
	}
	return k.empty.need(k.empty.sum)
}

// forecast returns about how many files evict would remove after so many others have gone.
func (k *ranks) forecast(target limiter, soon int64) (int64, error) {
	g, err := target(k.all(), soon)
	if err != nil {
		return 0, err
	}
	files := k.empty.forecast(k.needEmpty(g.mark))
	if g, err = target(k.full.there(), soon+files+k.soon); err != nil {
		return 0, err
	}
	k.full.target = g.mark
	return files + k.full.forecast(k.full.need(k.full.sum)), nil
}

// evict removes what is beyond the goal, after weigh, stays or goesLater was called for each entry. target is
// asked for all files, which those without content are to make up for, and then for those with content alone.
func (k *ranks) evict(target limiter) (short shortfall, err error) {
	before := k.all()
	all, err := target(before, 0)
	if err != nil {
		return short, err
	}
	need, left := k.needEmpty(all.mark), k.empty.there().files
	empty, err := k.empty.evict(overLimit)
	if err != nil {
		return short, err
	}
	left -= need.files - empty.files
	empty.files = min(left, empty.files)
	full, err := target(k.full.there(), k.soon)
	if err != nil {
		return short, err
	}
	k.full.target = full.mark
	if short.missing, err = k.full.evict(overLimit); err != nil {
		return short, err
	}
	k.full.lacks(short.missing, k.full.young)
	k.empty.lacks(empty, k.empty.young)
	short.missing.files += empty.files
	short.missing.bytes += empty.bytes
	rest := amount{before.files - k.empty.gone.files - k.full.gone.files, before.bytes - k.empty.gone.bytes - k.full.gone.bytes}
	short.missing.bytes += min(k.later, max(all.mark.over(rest).bytes-short.missing.bytes, 0))
	short.over = all.limit.over(rest)
	return short, nil
}
