package proc

import "time"

const (
	// awayAtMost is how long a discovered group may have been without a process for its next one to
	// be a restart. A service manager restarts within seconds; what starts later was started anew,
	// by a timer for example, and no one expects a group that was merely seen to run.
	awayAtMost = 15 * time.Second

	// bootError bounds how far startOf is off: the kernel gives the time of the boot in whole seconds.
	bootError = time.Second
)

// restarts counts the restarts of one group.
//
// A restart is the replacement of all direct members: each present one started after each of those
// that were there when there was one last. So neither a worker that is replaced while others run
// nor a process that leaves and joins again is one, and a child that outlives its parent does not
// hide one. The first start is not a restart.
type restarts struct {
	count  uint64
	newest uint64 // start of the youngest direct member when there was one last; 0 = there was none
	seenAt int64  // when that was
}

// countRestarts is called when all members have been read.
func (t *Tracker) countRestarts(ms int64) {
	for _, g := range t.targets {
		t.countRestart(g, ms)
	}
	for _, g := range t.groups {
		if t.restartable(g) {
			t.countRestart(g, ms)
		}
	}
}

func (t *Tracker) countRestart(g *group, ms int64) {
	r, s := &g.restarts, &g.sum
	if s.directNewest == 0 { // no direct member
		return
	}
	away := time.Duration(ms-r.seenAt) * time.Millisecond
	if r.newest != 0 && s.directOldest > r.newest && !t.overlaps(s.directOldest, r.seenAt) && (!g.discovered || away <= awayAtMost) {
		r.count++
	}
	r.newest, r.seenAt = s.directNewest, ms
}

// overlaps reports whether a process had started before the former members were seen last: a host
// with very many processes is listed so rarely that a whole rolling reload can lie between two
// listings.
func (t *Tracker) overlaps(start uint64, seenAt int64) bool {
	at := t.startOf(start)
	return !at.IsZero() && at.Add(bootError).UnixMilli() <= seenAt
}

// restartable reports whether the restarts of a group are counted: those of a target, and of a
// discovered group that is one service or container. Other groups are processes that have a name
// or a user in common; that one of them ends and another starts says nothing.
func (t *Tracker) restartable(g *group) bool {
	if !g.discovered {
		return true
	}
	if g.key == "" || g.key == noUnit { // Overflow, and what is in no unit
		return false
	}
	switch t.opts.Discover.By {
	case ByUnit, ByCgroup:
		return true
	case ByContainer, ByPod:
		return isContainerKey(g.key) || unitOf(g.key) != ""
	}
	return false
}
