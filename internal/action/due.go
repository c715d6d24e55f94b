package action

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// dueParts is into how many parts min_age is divided to say when a file is old enough: for the default
// of 60 s a part is 59 ms.
const dueParts = 1024

// young counts the files that a limit may take as soon as they are older than min_age, by when that
// is. Its memory is bounded; a time is late by one part at most.
type young struct {
	parts [dueParts]amount
	last  amount // what is older than min_age only after all parts: its time lies ahead
}

// dueNs returns when a file will be old enough, in nanoseconds since 1970.
func (r *dirRun) dueNs(e *dirscan.Entry) int64 { return r.common.AgeNs(e) + int64(r.common.Floor()) }

func (r *dirRun) partNs() int64 { return max(int64(r.common.Floor())/dueParts, 1) }

// add counts a file with n names that is due, apart from its age, at a time.
func (y *young) add(r *dirRun, e *dirscan.Entry, n, size int64) {
	i := (r.dueNs(e) - r.now.UnixNano()) / r.partNs()
	if i >= dueParts {
		y.last.addNames(n, size)
		return
	}
	y.parts[max(i, 0)].addNames(n, size)
}

// when returns the earliest time at which enough of the files are old enough, and whether they are
// enough at all. When they are not, it is the time of the last of them; zero when there are none.
func (y *young) when(r *dirRun, need amount) (at time.Time, enough bool) {
	if y == nil {
		return at, false
	}
	var sum amount
	for i := range dueParts + 1 {
		part := y.last
		if i < dueParts {
			part = y.parts[i]
		}
		if part.files == 0 {
			continue
		}
		sum.files, sum.bytes = sum.files+part.files, sum.bytes+part.bytes
		at = r.now.Add(time.Duration(int64(i+1) * r.partNs()))
		if sum.enough(need) {
			return at, true
		}
	}
	return at, false
}

// later notes a time at which something becomes due. Everything noted is needed, so the latest counts.
func (r *dirRun) later(at time.Time) {
	if at.After(r.res.DueAt) {
		r.res.DueAt = at
	}
}

// owes notes why an entry that is due for itself is still there.
func (r *dirRun) owes(why safefs.Reason, dueNs int64) {
	switch why {
	case safefs.InUse:
		r.res.InUse = true
	case safefs.TooYoung:
		r.later(time.Unix(0, dueNs))
	}
}

// lacks notes when what a limit still lacks becomes due. Where too little is merely too young, what is
// in use, or was touched meanwhile, may be free again at any time.
func (r *dirRun) lacks(missing amount, y *young) {
	if missing == (amount{}) {
		return
	}
	at, enough := y.when(r, missing)
	r.later(at)
	if !enough && r.res.Skipped[string(safefs.InUse)]+r.res.Skipped[string(safefs.Changed)] > 0 {
		r.res.InUse = true
	}
}
