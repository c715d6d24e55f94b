package proc

import "time"

// settleAfter is the age from which on a member counts for the trend.
const settleAfter = time.Minute

// membership is the group that a process belongs to; group is nil while it belongs to none.
type membership struct {
	group   *group
	joined  int64
	index   int   // in Tracker.members
	via     int32 // the parent at the time when the group was inherited
	by      kinship
	settled bool   // old enough to count for the trend
	last    *group // the group it left last
}

// kinship says on what grounds a process is a member.
type kinship uint8

const (
	matched   kinship = iota // by its own properties
	descended                // an ancestor is a member, or was one when the process was made
)

// choose returns the group of a process whose facts are set: the first target in config order that
// matches it, else the group of discover that names it, else that of its nearest ancestor whose
// children are members, else the group of discover by one property.
func (t *Tracker) choose(p *process) (*group, kinship) {
	for _, g := range t.targets {
		if g.direct(&t.facts, t.self).ok && t.admits(g) {
			return g, matched
		}
	}
	if len(t.groupings) > 0 {
		if name, ok := t.nameOf(&t.facts); ok {
			return t.named(name), matched
		}
	}
	if g := t.inherited(p, t.admits); g != nil {
		return g, descended
	}
	if t.overflow == nil || len(t.groupings) > 0 {
		return nil, matched
	}
	return t.discovered(p), matched
}

// admits reports whether exclude lets the process whose facts are set into a group.
func (t *Tracker) admits(g *group) bool {
	refused, _ := g.refuses(&t.facts)
	return !refused
}

// inherited returns the group of the nearest ancestor whose children are members and that admits the
// process, nil when there is none. A process that inherited its group keeps it when its parent ends,
// whoever takes it over.
func (t *Tracker) inherited(p *process, admits func(*group) bool) *group {
	var kept *group
	if p.group != nil && p.by == descended && admits(p.group) {
		kept = p.group
	}
	if kept != nil && p.ppid != p.via {
		return kept
	}
	child := p
	for range deepest {
		parent := t.find(child.ppid)
		if parent == nil || parent.start > child.start { // the second: the pid was given out again
			break
		}
		if g := parent.group; g != nil && g.children && admits(g) {
			return g
		}
		child = parent
	}
	return kept
}

// adopt looks for children of processes that became members after their children were decided
// about.
func (t *Tracker) adopt(ms int64) {
	anyone := func(*group) bool { return true }
	for pass := 0; t.resweep && pass < deepest; pass++ {
		t.resweep = false
		for _, p := range t.procs {
			if p.life != running || p.start == 0 || p.group != nil && p.by == matched && !p.group.discovered {
				continue
			}
			if g := t.inherited(p, anyone); g == nil || g == p.group {
				continue
			}
			t.facts.reset(t.r, p.pid, p.comm, p.name)
			g, by := t.choose(p)
			t.move(p, g, by, ms)
		}
	}
	t.resweep = false
}

// move makes the process a member of g and of no other; g may be nil.
func (t *Tracker) move(p *process, g *group, by kinship, ms int64) {
	if p.group == g {
		if p.by != by {
			p.by, p.via = by, p.ppid
		}
		return
	}
	t.leave(p)
	if g == nil {
		p.last = nil
		return
	}
	p.slow = slowReadings{}
	g.members++
	g.dirty, g.seen = true, true
	p.membership = membership{group: g, last: g, joined: ms, index: len(t.members), via: p.ppid, by: by, settled: !t.listed || g.members == 1}
	t.members = append(t.members, p)
	if p.settled {
		t.repopulate(g)
	}
	if t.listed {
		g.starts++
		if g.discovered && !g.visible {
			t.overflow.starts++
		}
	}
	if g.children && p.review.decided {
		t.resweep = true
	}
}

// leave takes the process out of its group.
func (t *Tracker) leave(p *process) {
	g := p.group
	if g == nil {
		return
	}
	t.held.release(&p.statm)
	last := len(t.members) - 1
	t.members[p.index] = t.members[last]
	t.members[p.index].index = p.index
	t.members[last] = nil
	t.members = t.members[:last]
	p.group = nil
	g.members--
	g.dirty = true
	g.exits++
	if g.discovered && !g.visible {
		t.overflow.exits++
	}
	if p.settled {
		t.repopulate(g)
	}
}

// repopulate says that what the group used before cannot be compared with what it uses now.
func (t *Tracker) repopulate(g *group) {
	g.population++
	if g.discovered && !g.visible {
		t.overflow.population++
	}
}
