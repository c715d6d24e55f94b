package proc

import (
	"fmt"
	"time"
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
			t.leave(p) // the last member takes its place
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
}

// begin empties the sums for a new pass.
func (g *group) begin() {
	g.sum = sums{}
	g.refold, g.dirty = g.dirty, false
	if g.refold {
		g.folding, g.v2, g.v1 = false, "", ""
	}
}

// read reads what is due of one member. It returns false when the process has ended. A reading
// that failed otherwise is kept in the group's sums as their error.
func (t *Tracker) read(p *process, ms int64) bool {
	b, err := t.statm(p)
	if err != nil {
		if gone(err) {
			p.dead, p.reaped, p.checkAt = true, true, never
			return false
		}
		t.unread(p, fmt.Errorf("statm of process %d: %w", p.pid, err))
		return true
	}
	s, err := parseStatm(b)
	if err != nil {
		t.unread(p, fmt.Errorf("statm of process %d: %w", p.pid, err))
		return true
	}
	if s.size == 0 { // no address space: a zombie
		p.dead, p.checkAt = true, never
		return false
	}
	p.resident, p.shared = s.resident*t.page, min(s.shared, s.resident)*t.page
	if t.partsDue(p, ms) && !t.readParts(p, ms) {
		return false
	}
	if p.group.discovered && !p.group.visible {
		return true
	}
	if due(p.cgroupAt, ms, cgroupEvery) {
		t.readCgroup(p, ms)
	}
	t.readEffort(p, ms)
	if p.group.shares {
		t.readShares(p, ms)
	}
	return true
}

func (t *Tracker) unread(p *process, err error) {
	p.resident, p.shared = 0, 0
	if p.group.sum.err == nil {
		p.group.sum.err = err
	}
}

// statm returns the text of PID/statm, from the held descriptor where there is one.
func (t *Tracker) statm(p *process) ([]byte, error) {
	if p.fd < 0 {
		if t.held >= t.opts.MaxHeld {
			return t.r.file(p.pid, "statm", firstRead)
		}
		fd, err := t.r.open(p.pid, "statm")
		if err != nil {
			return nil, err
		}
		p.fd = fd
		t.held++
	}
	return t.r.held(p.fd)
}

// due reports whether something that was done at last is due again; a clock that was set back
// makes it due.
func due(last, ms int64, every time.Duration) bool {
	return last == 0 || ms-last >= every.Milliseconds() || ms < last
}

// partsDue says whether to read status. While statm does not change, neither do the parts.
func (t *Tracker) partsDue(p *process, ms int64) bool {
	every := statusIdle
	if p.resident != p.partsResident || p.shared != p.partsShared {
		every = statusEvery
	}
	return due(p.partsAt, ms, every)
}

// readParts reads the parts of RSS and the swap. It returns false when the process has ended.
func (t *Tracker) readParts(p *process, ms int64) bool {
	s, err := t.r.status(p.pid)
	if gone(err) {
		p.dead, p.reaped, p.checkAt = true, true, never
		return false
	}
	p.partsAt, p.partsResident, p.partsShared = ms, p.resident, p.shared
	p.hasParts = err == nil && s.hasParts
	p.file, p.shmem, p.swap, p.peak = s.file, s.shmem, s.swap, s.peak
	return true
}

// readCgroup reads in which cgroups the process is. A string that another member has is shared.
func (t *Tracker) readCgroup(p *process, ms int64) {
	p.cgroupAt = ms
	b, err := t.r.file(p.pid, "cgroup", longest)
	if err != nil {
		b = nil
	}
	v2, v1 := parseCgroup(b)
	if string(v2) == p.v2 && string(v1) == p.v1 {
		return
	}
	g := p.group
	p.v2, p.v1 = shared(v2, g.v2), shared(v1, g.v1)
	g.dirty = true
}

func shared(b []byte, s string) string {
	if string(b) == s {
		return s
	}
	return string(b)
}
