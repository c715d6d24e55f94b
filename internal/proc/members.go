package proc

import (
	"slices"
	"time"
)

// settleAfter is the age from which on a member counts for the trend.
const settleAfter = time.Minute

// membership is the group that a process belongs to; group is nil while it belongs to none.
type membership struct {
	group   *group
	joined  int64
	index   int // in Tracker.members
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

// choose returns the target of a process whose facts are set: the first in config order that
// matches it, else its discovered group.
func (t *Tracker) choose(p *process) (*group, kinship) {
	for _, g := range t.targets {
		by := matched
		if v := g.direct(&t.facts, t.self); !v.ok {
			if !g.children || !t.descends(p, g) {
				continue
			}
			by = descended
		}
		if refused, _ := g.refuses(&t.facts); !refused {
			return g, by
		}
	}
	if t.overflow == nil {
		return nil, matched
	}
	return t.discovered(p), matched
}

// descends reports whether an ancestor is a member, or the process became one while its parent
// still lived.
func (t *Tracker) descends(p *process, g *group) bool {
	if p.by == descended && p.group == g {
		return true
	}
	for range deepest {
		parent := t.find(p.ppid)
		if parent == nil || parent.start > p.start { // the second: the pid was given out again
			return false
		}
		if parent.group == g {
			return true
		}
		p = parent
	}
	return false
}

// adopt looks for children of processes that became members after their children were decided
// about.
func (t *Tracker) adopt(ms int64) {
	for pass := 0; t.resweep && pass < deepest; pass++ {
		t.resweep = false
		for _, p := range t.procs {
			if p.life != running || p.start == 0 || p.group != nil && !p.group.discovered {
				continue
			}
			if !slices.ContainsFunc(t.targets, func(g *group) bool { return g.children && t.descends(p, g) }) {
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
		p.by = by
		return
	}
	t.leave(p)
	if g == nil {
		p.last = nil
		return
	}
	p.slow = slowReadings{}
	g.members++
	g.dirty = true
	p.membership = membership{group: g, last: g, joined: ms, index: len(t.members), by: by, settled: !t.listed || g.members == 1}
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
