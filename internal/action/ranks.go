package action

import (
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// overLimit is why a file goes that only a limit takes.
const overLimit = "over_limit"

// limiter returns how much of sum may stay. soon is how many files other than those in sum go before.
type limiter func(sum amount, soon int64) (amount, error)

// ranks are the two orders in which a limit takes files. By emptyFirst these are those without content,
// which are worth nothing, and then those with content, each the oldest first. A file without content
// never pushes out one with content: where it cannot go yet it is passed over and counted as missing,
// and the next run takes it. By oldestFirst all files are of the second order.
type ranks struct {
	empty, full *oldestFirst
	apart       bool // files without content are of an order of their own
}

// emptyFirst returns the orders of a policy's files by key. due says which entries another rule deals
// with; in a dry run they are still there afterwards.
func (r *dirRun) emptyFirst(key, size func(*dirscan.Entry) int64, due func(*dirscan.Entry) bool) *ranks {
	k := r.oldestFirst(key, size, func(e *dirscan.Entry) bool { return e.SizeBytes == 0 || due(e) })
	k.apart = true
	k.empty.skip = func(e *dirscan.Entry) bool { return e.SizeBytes > 0 || due(e) }
	return k
}

// oldestFirst is emptyFirst for a policy to which a file without content is one like any other.
func (r *dirRun) oldestFirst(key, size func(*dirscan.Entry) int64, due func(*dirscan.Entry) bool) *ranks {
	order := func() *oldestFirst {
		return &oldestFirst{dirRun: r, key: key, size: size, start: first, target: amount{unlimited, unlimited}, skip: due}
	}
	return &ranks{empty: order(), full: order()}
}

func (k *ranks) of(e *dirscan.Entry) *oldestFirst {
	if k.apart && e.SizeBytes == 0 {
		return k.empty
	}
	return k.full
}

// weigh counts an entry that only a limit may take.
func (k *ranks) weigh(e *dirscan.Entry) { k.of(e).weigh(e) }

// stays counts an entry that was due for itself and could not be removed.
func (k *ranks) stays(e *dirscan.Entry) {
	o := k.of(e)
	o.fixed.add(o.size(e))
}

// goesLater counts an entry that goes by itself as soon as it is old enough: it pushes nothing out.
func (k *ranks) goesLater(e *dirscan.Entry) {
	o := k.empty
	size := o.size(e)
	o.fixed.add(size)
	o.waits(e, size)
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

// needEmpty aims at a number of files of all, and returns how many without content have to go.
func (k *ranks) needEmpty(limit amount) amount {
	k.empty.target = amount{max(limit.files-k.full.there().files, 0), unlimited}
	if limit.files == unlimited {
		k.empty.target.files = unlimited
	}
	return k.empty.need(k.empty.sum)
}

// forecast returns about how many files evict would remove after so many others have gone.
func (k *ranks) forecast(target limiter, soon int64) (int64, error) {
	limit, err := target(k.all(), soon)
	if err != nil {
		return 0, err
	}
	files := k.empty.forecast(k.needEmpty(limit))
	if k.full.target, err = target(k.full.there(), soon+files); err != nil {
		return 0, err
	}
	return files + k.full.forecast(k.full.need(k.full.sum)), nil
}

// evict removes what is beyond the target, after weigh, stays or goesLater was called for each
// entry. target is asked for all files, which those without content are to make up for, and then for those
// with content alone. missing is what is there beyond
// it in the end.
func (k *ranks) evict(target limiter) (missing amount, err error) {
	limit, err := target(k.all(), 0)
	if err != nil {
		return missing, err
	}
	need, left := k.needEmpty(limit), k.empty.there().files
	short, err := k.empty.evict(overLimit)
	if err != nil {
		return short, err
	}
	left -= need.files - short.files
	if k.full.target, err = target(k.full.there(), 0); err != nil {
		return missing, err
	}
	if missing, err = k.full.evict(overLimit); err == nil {
		k.full.lacks(missing, k.full.young)
	}
	short.files = min(left, short.files)
	k.empty.lacks(amount{files: short.files}, k.empty.young)
	missing.files += short.files
	return missing, err
}
