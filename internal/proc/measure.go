package proc

import (
	"fmt"
	"time"
)

const (
	statusEvery = 5 * time.Second
	statusIdle  = 30 * time.Second // for a process whose statm did not change
	cgroupEvery = 30 * time.Second
)

// measure reads the memory of every member and adds it up by group. This is the hot path: one
// pread for each process, and nothing is allocated.
func (t *Tracker) measure(ms int64) {
	for _, g := range t.targets {
		g.begin()
	}
	for _, g := range t.groups {
		g.begin()
	}
	for i := 0; i < len(t.members); {
		p := t.members[i]
		if !t.read(p, ms) {
			t.lister.ended = true
			t.leave(p) // the last member moves to its index
			continue
		}
		g := p.group
		if !p.settled && ms-p.joined >= settleAfter.Milliseconds() {
			p.settled = true
			t.repopulate(g)
		}
		g.sum.add(p)
		if g.refold {
			g.fold(p)
		}
		i++
	}
	t.countZombies()
}

// begin empties the sums for a new pass.
func (g *group) begin() {
	g.sum = sums{}
	g.refold, g.dirty = g.dirty, false
	if g.refold {
		g.startFolding()
	}
}

// read reads what is due of one member. It returns false when the process has ended. A reading
// that failed otherwise is kept in the group's sums as their error.
func (t *Tracker) read(p *process, ms int64) bool {
	b, err := t.held.read(t.r, p.pid, &p.statm)
	if err != nil {
		if gone(err) {
			p.die(reaped)
			return false
		}
		p.failed(fmt.Errorf("statm of process %d: %w", p.pid, err))
		return true
	}
	s, err := parseStatm(b)
	if err != nil {
		p.failed(fmt.Errorf("statm of process %d: %w", p.pid, err))
		return true
	}
	if s.size == 0 { // no address space: a zombie
		p.die(zombie)
		return false
	}
	p.memory = memory{s.resident * t.page, min(s.shared, s.resident) * t.page}
	p.slow.own.set(FigureVirtual, s.size*t.page)
	if p.slow.parts.due(p.memory, ms) && !t.readParts(p, ms) {
		return false
	}
	if !t.readEffort(p, ms) {
		return false
	}
	if p.group.discovered && !p.group.visible {
		return true
	}
	if due(p.slow.cgroups.at, ms, cgroupEvery) {
		t.readCgroup(p, ms)
	}
	if p.group.threads {
		t.readThreads(p, ms)
	}
	if p.group.shares {
		t.readShares(p, ms)
	}
	return true
}

// failed keeps why the memory of a member could not be read.
func (p *process) failed(err error) {
	p.memory = memory{}
	p.slow.own.lose(FigureVirtual)
	if p.group.sum.err == nil {
		p.group.sum.err = err
	}
}

// due reports whether something that was done at last is due again; a clock that was set back
// makes it due.
func due(last, ms int64, every time.Duration) bool {
	return last == 0 || ms-last >= every.Milliseconds() || ms < last
}

// due says whether to read status. While statm does not change, neither do the parts.
func (p *parts) due(now memory, ms int64) bool {
	every := statusIdle
	if now != p.of {
		every = statusEvery
	}
	return due(p.at, ms, every)
}

// readParts reads the parts of RSS and the swap. It returns false when the process has ended.
func (t *Tracker) readParts(p *process, ms int64) bool {
	s, err := t.r.status(p.pid)
	if gone(err) {
		p.die(reaped)
		return false
	}
	p.slow.parts = parts{at: ms, of: p.memory}
	fresh := t.isNewcomer(p, ms)
	for _, f := range statusFigures { // with an error none is known
		if value, ok := s.Get(f); f < gauges {
			p.slow.own.put(f, value, ok)
		} else {
			t.count(p, f, value, ok, fresh)
		}
	}
	return true
}
