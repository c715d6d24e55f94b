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
	size  func(*dirscan.Entry) int64
	limit amount
	ranks func(key, size func(*dirscan.Entry) int64, due func(*dirscan.Entry) bool) *ranks
}

func (j *judged) target(amount, int64) (amount, error) { return j.limit, nil }

func (j *judged) limited() bool { return j.limit != amount{unlimited, unlimited} }

// order returns the order of the files that only the limit may take. What the judgement takes is dealt
// with before; in a dry run it is still there afterwards.
func (j *judged) order() *ranks {
	return j.ranks(j.common.AgeNs, j.size, func(e *dirscan.Entry) bool { return j.judge(e, j.now) != policy.NotDue })
}

// enforce removes what is due, and what is beyond the limit. missing is what is there beyond it in the end.
func (j *judged) enforce() (missing amount, err error) {
	if err := j.checkShare(); err != nil {
		return missing, err
	}
	k, limited := j.order(), j.limited()
	res, err := j.scan(func(e *dirscan.Entry) error {
		switch v := j.judge(e, j.now); {
		case v == policy.NotDue && limited:
			k.weigh(e)
		case v == policy.NotDue:
		case v == policy.TooYoung: // it goes with a later run
			j.res.Skipped[v.Reason()]++
			k.goesLater(e)
		case !v.Due():
			j.res.Skipped[v.Reason()]++
			k.stays(e)
		case j.remove(e, v.Reason()) != safefs.Removed:
			k.stays(e)
		}
		return nil
	})
	j.mergeScan(&res)
	if err != nil || !limited {
		return missing, err
	}
	return k.evict(j.target)
}

// checkShare counts what would go before the first file does.
func (j *judged) checkShare() error {
	if j.common.MaxRemoveFraction == nil || j.req.Force {
		return nil
	}
	k, limited := j.order(), j.limited()
	var due, total int64
	_, err := j.scan(func(e *dirscan.Entry) error {
		total++
		switch v := j.judge(e, j.now); {
		case v == policy.NotDue && limited:
			k.weigh(e)
		case v.Due():
			due++
		case v == policy.TooYoung:
			k.goesLater(e)
		case v != policy.NotDue:
			k.stays(e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	more, err := k.forecast(j.target, due)
	if err != nil {
		return err
	}
	return j.checkFraction(due+more, total)
}
