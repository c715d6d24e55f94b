package action

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// judged are the rules of a policy that judges each file by itself, and then takes the oldest until
// the rest is within a limit. Clean_temp and enforce_uploads are of this form.
type judged struct {
	*dirRun
	judge func(*dirscan.Entry, time.Time) policy.Verdict
	limit policy.Limited
}

func (j *judged) target(sum amount, soon int64) (goal, error) {
	return j.goalOf(j.limit, j.limit.Low(), false, sum, soon)
}

func (j *judged) limited() bool {
	return j.limit.Limits(0, 0, policy.Free{}) != policy.Limits{Entries: policy.Unlimited, Bytes: policy.Unlimited}
}

// order returns the order of the files that only the limit may take. What the judgement takes is dealt
// with before; in a dry run it is still there afterwards.
func (j *judged) order() *ranks {
	return j.emptyFirst(j.common.AgeNs, j.common.Size, func(e *dirscan.Entry) bool { return j.judge(e, j.now) != policy.NotDue })
}

// enforce removes what is due, and then what is beyond the limit.
func (j *judged) enforce() error {
	if err := j.checkShare(); err != nil {
		return err
	}
	k, limited := j.order(), j.limited()
	res, err := j.survey(func(e *dirscan.Entry, n int64) {
		switch v := j.judge(e, j.now); {
		case v == policy.NotDue && limited:
			k.weigh(e, n)
		case v == policy.NotDue:
		case v == policy.TooYoung: // it goes with a later run
			j.res.Skipped[v.Reason()] += n
			k.goesLater(e, n)
		case !v.Due():
			j.res.Skipped[v.Reason()] += n
			k.stays(e, n, safefs.Future)
		default:
			if why := j.remove(e, v.Reason()); why != safefs.Removed {
				k.stays(e, n, why)
			}
		}
	}, j.common.AgeNs)
	j.mergeScan(&res)
	if err != nil || !limited {
		return err
	}
	short, err := k.evict(j.target)
	if err == nil {
		j.fallsShort(short)
	}
	return err
}

// survey is the first scan of a run: it looks at each file, one with several names once all of them are known.
// n is how many names the entry stands for.
func (r *dirRun) survey(look func(e *dirscan.Entry, n int64), key func(*dirscan.Entry) int64) (dirscan.Result, error) {
	r.links = links{}
	res, err := r.scan(func(e *dirscan.Entry) error {
		if r.remover.by != nil || !r.links.take(e, key) { // an entry of several files stands for itself
			look(e, 1)
		}
		return nil
	})
	if err != nil {
		return res, err
	}
	for _, g := range r.links.found() {
		if err := r.ctx.Err(); err != nil {
			return res, err
		}
		look(&g.entry, g.names())
	}
	return res, nil
}

// checkShare counts what would go before the first file does.
func (j *judged) checkShare() error {
	if j.common.MaxRemoveFraction == nil || j.req.Force {
		return nil
	}
	k, limited := j.order(), j.limited()
	var due, total int64
	_, err := j.survey(func(e *dirscan.Entry, n int64) {
		total += n
		switch v := j.judge(e, j.now); {
		case v == policy.NotDue && limited:
			k.weigh(e, n)
		case v.Due():
			due += n
		case v == policy.TooYoung:
			k.goesLater(e, n)
		case v != policy.NotDue:
			k.stays(e, n, safefs.Future)
		}
	}, j.common.AgeNs)
	if err != nil {
		return err
	}
	more, err := k.forecast(j.target, due)
	if err != nil {
		return err
	}
	return j.checkFraction(due+more, total)
}
