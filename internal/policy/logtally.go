package policy

import (
	"cmp"
	"slices"
	"time"
)

// maxTally bounds the rotated logs that are looked at in one run. When there are more, what is
// found due among these is due in any case, and the rest waits for the next run.
const maxTally = 4096

// Tally collects the rotated logs of a policy and says which are to go.
type Tally struct {
	policy  *Log
	list    []tallied
	current map[int]bool // self-dated files that are, or may be, written to
}

type tallied struct {
	log    string
	at     time.Time
	known  time.Time // from when on its age is measured
	own    bool
	serial int
	empty  bool
	index  int
}

// NewTally returns an empty tally.
func NewTally(l *Log) *Tally { return &Tally{policy: l} }

// Add adds a rotated log. folder is the path of its folder; empty says that it has no content. It returns a
// number from 0 up, and false when there is no more room.
func (t *Tally) Add(folder []byte, r Rotation, empty bool) (index int, ok bool) {
	if len(t.list) >= maxTally {
		return 0, false
	}
	index = len(t.list)
	t.list = append(t.list, tallied{string(folder) + string(r.Log), r.At, r.Known(), r.Own, r.Serial, empty, index})
	return index, true
}

// DueLog is a rotated log that is to go, by the number that Add gave it.
type DueLog struct {
	Index int
	Why   Verdict // Expired or Surplus
}

// Due returns the rotated logs that are to go: those over max_age, and of each log those without content
// and then the oldest beyond keep_files. Their age is measured from when they were rotated, which their
// name says; of one that names a day only from its end. The newest self-dated file, and any whose day has
// not ended, is what its program writes to: it is neither counted nor due.
func (t *Tally) Due(now time.Time) []DueLog {
	slices.SortFunc(t.list, func(a, b tallied) int { // of each log the newest first
		return cmp.Or(cmp.Compare(a.log, b.log), b.at.Compare(a.at), cmp.Compare(b.serial, a.serial))
	})
	var out []DueLog
	t.current = make(map[int]bool)
	for rest := t.list; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].log == rest[0].log {
			n++
		}
		out = t.policy.dueOf(out, t.past(rest[:n], now), now)
		rest = rest[n:]
	}
	return out
}

// past returns which files of one log, the newest first, are not written to any more, and notes the others.
func (t *Tally) past(list []tallied, now time.Time) []tallied {
	out := make([]tallied, 0, len(list))
	for i := range list {
		if f := &list[i]; f.own && (i == 0 || f.known.After(now)) {
			t.current[f.index] = true
			continue
		}
		out = append(out, list[i])
	}
	return out
}

// dueOf appends those of one log that are to go. list is the newest first.
func (l *Log) dueOf(out []DueLog, list []tallied, now time.Time) []DueLog {
	room := l.Keeps()
	for i := range list { // what has content comes before what has none
		if !list[i].empty && room > 0 && !l.expired(&list[i], now) {
			room--
		}
	}
	kept := 0
	for i := range list {
		f := &list[i]
		switch {
		case kept >= l.Keeps() || f.empty && room <= 0:
			out = append(out, DueLog{f.index, Surplus})
		case l.expired(f, now):
			out = append(out, DueLog{f.index, Expired})
		default:
			kept++
			if f.empty {
				room--
			}
		}
	}
	return out
}

func (l *Log) expired(f *tallied, now time.Time) bool {
	return l.MaxAge > 0 && now.Sub(f.known) >= l.MaxAge.Std()
}

// Current reports whether a file is one that its program may be writing to, after Due.
func (t *Tally) Current(index int) bool { return t.current[index] }

// Latest collects when each log was last rotated.
type Latest struct {
	policy *Log
	last   map[string]Rotation
	full   bool // there are more
}

// NewLatest returns an empty Latest.
func NewLatest(l *Log) *Latest { return &Latest{policy: l, last: make(map[string]Rotation)} }

// Add adds a rotated log. folder is that of its log. Of more than maxTally logs only those that were added
// first are rotated by age.
func (t *Latest) Add(folder []byte, r *Rotation) {
	if r.Own {
		return
	}
	key := string(folder) + string(r.Log)
	old, ok := t.last[key]
	if !ok && len(t.last) >= maxTally {
		t.full = true
		return
	}
	if ok && !old.At.Before(r.At) {
		return
	}
	t.last[key] = Rotation{At: r.At, Day: r.Day}
}

// Aged reports whether a log is to be rotated because of its age: since its last rotation, or else since
// it was made. born is not asked for where a rotation is known; zero means that it is not known, and then
// the log is rotated, so that its age is known from then on.
func (t *Latest) Aged(folder, log []byte, now time.Time, born func() time.Time) bool {
	last, ok := t.last[string(folder)+string(log)]
	at := last.At
	if !ok && t.full { // it may be one of those that there was no room for
		return false
	}
	if !ok {
		if at = born(); at.IsZero() {
			return true
		}
	}
	after := t.policy.RotateAfter.Std()
	if t.policy.DateExt { // at the turn of a day, whenever in it the last one was
		at = at.Local()
		y, m, d := at.Date()
		days := int(after / oneDay.Std())
		return !now.Before(time.Date(y, m, d+days, 0, 0, 0, 0, time.Local).Add(after % oneDay.Std()))
	}
	return now.Sub(at) >= after-min(after/100, time.Minute) // a schedule of that length is not exact
}
