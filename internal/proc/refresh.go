package proc

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	slowCheck   = 5 * time.Minute // how often the name of an old process is read again
	statusEvery = 5 * time.Second
	statusIdle  = 30 * time.Second // for a process whose statm did not change
	cgroupEvery = 30 * time.Second
	settleAfter = time.Minute // from this age on a member counts for the trend
	bootEvery   = 10 * time.Minute
	ticksPerSec = 100 // USER_HZ, the same on every Linux
	deepest     = 64  // ancestors that are asked
	mostFree    = 1024
)

// young are the ages after first sight at which a process's name is read again: a service that
// was started by a shell changes its name by exec.
var young = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second}

// process is one process of the host.
type process struct {
	pid, ppid  int32
	ino, start uint64 // start is 0 until stat was read
	comm, name string

	firstSeen int64 // milliseconds, as all times here
	checkAt   int64
	checks    int
	dead      bool // a zombie, or reaped: it stays until the listing drops it
	reaped    bool
	unread    bool // not enough could be read to decide about it
	blank     bool // had no arguments when it was looked at last
	known     bool // was decided about before

	group   *group
	child   bool
	settled bool
	index   int // in Tracker.members
	joined  int64

	fd                int // of statm; -1 = opened for each reading
	resident, shared  int64
	file, shmem, swap int64
	hasParts          bool
	partsAt           int64
	partsResident     int64 // statm at that time
	partsShared       int64
	peak              int64 // VmHWM
	cgroupAt          int64
	v2, v1            string

	effort effort
	shares *shares // nil: not wanted
}

const never = math.MaxInt64

// Refresh lists the processes, unless it is known that there is no new one, decides about new ones, and reads the memory of all members.
// After an error nothing is known: every Usage is that error until a Refresh succeeds.
func (t *Tracker) Refresh(ctx context.Context, now time.Time) error {
	ms := now.UnixMilli()
	err := t.refresh(ctx, ms)
	t.publish(err)
	return err
}

func (t *Tracker) refresh(ctx context.Context, ms int64) error {
	t.facts.env.now = time.UnixMilli(ms)
	if due(t.bootAt, ms, bootEvery) {
		t.readBoot()
		t.bootAt = ms
	}
	if t.lister.due(t.r, ms) {
		if err := t.list(ms); err != nil {
			return err
		}
	}
	for _, p := range t.procs {
		if p.checkAt <= ms {
			t.check(p, ms, 0)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	t.adopt(ms)
	t.saveShares(ms)
	t.measure(ms)
	t.countRestarts(ms)
	if t.overflow != nil {
		t.rank(ms)
	}
	t.listed = true
	return nil
}

func (t *Tracker) list(ms int64) error {
	began := time.Now()
	var err error
	if t.listing, err = t.r.list(t.listing[:0], t.dents); err != nil {
		t.lister.at = 0
		return err
	}
	t.lister.cost = time.Since(began)
	t.reconcile(ms)
	return nil
}

func (t *Tracker) readBoot() { t.boot = bootTime(t.opts.Root) }

// reconcile merges the listing into the table of processes, both in the order of pids.
func (t *Tracker) reconcile(ms int64) {
	next := t.spare[:0]
	old := t.procs
	for _, s := range t.listing {
		for len(old) > 0 && old[0].pid < s.pid {
			t.drop(old[0])
			old = old[1:]
		}
		if len(old) > 0 && old[0].pid == s.pid {
			p := old[0]
			old = old[1:]
			if t.same(p, s.ino) {
				next = append(next, p)
				continue
			}
			t.drop(p)
		}
		next = append(next, t.newProcess(s, ms))
	}
	for _, p := range old {
		t.drop(p)
	}
	clear(t.procs)
	t.procs, t.spare = next, t.procs[:0]
}

// same returns whether the process is the one that was known by its pid. The kernel gives a
// /proc directory another inode when it had dropped the old one from its caches, so another
// inode alone does not say that the pid was given out again: the start time does.
func (t *Tracker) same(p *process, ino uint64) bool {
	if p.ino == ino {
		return !p.reaped
	}
	if p.start == 0 {
		return false
	}
	if s, err := t.r.stat(p.pid); err != nil || s.start != p.start {
		return false
	}
	p.ino = ino
	return true
}

func (t *Tracker) newProcess(s seen, ms int64) *process {
	var p *process
	if n := len(t.free); n > 0 {
		p, t.free = t.free[n-1], t.free[:n-1]
	} else {
		p = new(process)
	}
	*p = process{pid: s.pid, ino: s.ino, firstSeen: ms, fd: -1}
	return p
}

func (t *Tracker) drop(p *process) {
	t.leave(p)
	if len(t.free) < mostFree {
		t.free = append(t.free, p)
	}
}

// find returns a live process by its pid, nil when there is none.
func (t *Tracker) find(pid int32) *process {
	i, ok := slices.BinarySearchFunc(t.procs, pid, func(p *process, pid int32) int { return cmp.Compare(p.pid, pid) })
	if !ok || t.procs[i].dead {
		return nil
	}
	return t.procs[i]
}

// check reads who the process is and decides which target it belongs to, after its parent.
func (t *Tracker) check(p *process, ms int64, depth int) {
	s, err := t.r.stat(p.pid)
	switch {
	case err != nil && gone(err):
		t.end(p, true)
		return
	case err != nil:
		p.unread = true
		t.schedule(p, ms)
		return
	case p.start != 0 && s.start != p.start: // the pid was given out again since the listing
		t.end(p, true)
		return
	case s.state == 'Z' || s.state == 'X':
		t.end(p, false)
		return
	case s.kernel: // has no memory of its own
		t.leave(p)
		p.checkAt = never
		return
	}
	p.ppid, p.start, p.unread = s.ppid, s.start, false
	if p.comm != string(s.comm) {
		p.comm = t.intern(string(s.comm))
	}
	t.schedule(p, ms)
	if parent := t.find(p.ppid); parent != nil && parent.checkAt <= ms && depth < deepest {
		t.check(parent, ms, depth+1)
	}
	t.facts.reset(t.r, p.pid, p.comm, "")
	t.facts.name = properName(&t.facts)
	if p.name != t.facts.name {
		p.name = t.intern(t.facts.name)
	}
	g, child := t.choose(p)
	if g == nil && p.group != nil && !p.blank && t.facts.hasLine && len(t.facts.line) == 0 {
		// Amid an exec the arguments are empty for a moment: a member stays one until a second look.
		p.blank, p.checkAt = true, ms+young[0].Milliseconds()
		return
	}
	p.blank = false
	p.unread = g == nil && t.facts.lastErr != nil && !gone(t.facts.lastErr)
	t.move(p, g, child, ms)
	p.known = true
}

// mostNames is how many names are kept to be shared by the processes that have them.
const mostNames = 1024

// intern returns one copy of a name for all processes that have it.
func (t *Tracker) intern(name string) string {
	if known, ok := t.interned[name]; ok {
		return known
	}
	if len(t.interned) >= mostNames {
		clear(t.interned)
	}
	t.interned[name] = name
	return name
}

// schedule sets when the process is looked at again.
func (t *Tracker) schedule(p *process, ms int64) {
	if !p.known && p.checks == 0 && !t.boot.IsZero() && p.start > 0 {
		if age := ms - t.startOf(p.start).UnixMilli(); age > young[len(young)-1].Milliseconds() {
			// Older than anything that still changes its name often; spread, so that the
			// processes of a first listing do not come due together.
			p.checks = len(young)
			p.checkAt = ms + slowCheck.Milliseconds()/256*int64(uint32(p.pid)*2654435761>>24+1)
			return
		}
	}
	for p.checks < len(young) && p.firstSeen+young[p.checks].Milliseconds() <= ms {
		p.checks++
	}
	if p.checks < len(young) {
		p.checkAt = p.firstSeen + young[p.checks].Milliseconds()
		return
	}
	p.checkAt = ms + slowCheck.Milliseconds()
}

func (t *Tracker) startOf(ticks uint64) time.Time { return startAfter(t.boot, ticks) }

func ticks(n uint64) time.Duration { return time.Duration(n) * (time.Second / ticksPerSec) }

// startAfter returns when a process started, zero when that is not known.
func startAfter(boot time.Time, ticks uint64) time.Time {
	if boot.IsZero() || ticks == 0 {
		return time.Time{}
	}
	return boot.Add(time.Duration(ticks) * (time.Second / ticksPerSec))
}

// choose returns the target of a process whose facts are set: the first in config order that
// matches it, else its discovered group.
func (t *Tracker) choose(p *process) (g *group, child bool) {
	for _, g := range t.targets {
		if v := g.direct(&t.facts, t.self); !v.ok {
			if !g.children || !t.descends(p, g) {
				continue
			}
			child = true
		}
		if refused, _ := g.refuses(&t.facts); !refused {
			return g, child
		}
		child = false
	}
	if t.overflow == nil {
		return nil, false
	}
	return t.discovered(p), false
}

// descends reports whether an ancestor is a member, or the process became one while its parent
// still lived.
func (t *Tracker) descends(p *process, g *group) bool {
	if p.child && p.group == g {
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
			if p.dead || p.start == 0 || p.group != nil && !p.group.discovered {
				continue
			}
			if !slices.ContainsFunc(t.targets, func(g *group) bool { return g.children && t.descends(p, g) }) {
				continue
			}
			t.facts.reset(t.r, p.pid, p.comm, p.name)
			g, child := t.choose(p)
			t.move(p, g, child, ms)
		}
	}
	t.resweep = false
}

// move makes the process a member of g and of no other; g may be nil.
func (t *Tracker) move(p *process, g *group, child bool, ms int64) {
	if p.group == g {
		p.child = child
		return
	}
	t.leave(p)
	if g == nil {
		return
	}
	p.group, p.child, p.index, p.joined = g, child, len(t.members), ms
	p.cgroupAt, p.partsAt, p.hasParts = 0, 0, false
	p.effort, p.shares = effort{}, nil
	t.members = append(t.members, p)
	g.members++
	g.dirty = true
	p.settled = !t.listed || g.members == 1
	if p.settled {
		t.repopulate(g)
	}
	if t.listed {
		g.starts++
		if g.discovered && !g.visible {
			t.overflow.starts++
		}
	}
	if g.children && p.known {
		t.resweep = true
	}
}

// leave takes the process out of its group.
func (t *Tracker) leave(p *process) {
	g := p.group
	if g == nil {
		return
	}
	t.release(p)
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

func (t *Tracker) repopulate(g *group) {
	g.population++
	if g.discovered && !g.visible {
		t.overflow.population++
	}
}

// end marks a process that is no more, before the listing says so.
func (t *Tracker) end(p *process, reaped bool) {
	t.lister.ended = t.lister.ended || p.group != nil
	t.leave(p)
	p.dead, p.reaped, p.checkAt = true, reaped, never
}

func (t *Tracker) release(p *process) {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
		p.fd = -1
		t.held--
	}
}

// publish makes the result of a Refresh visible to the other goroutines.
func (t *Tracker) publish(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
	t.usages, t.lists = t.usages[:0], t.lists[:0]
	t.stats = Stats{Listed: len(t.procs), Held: t.held}
	if err != nil {
		t.stats.Listed = 0
		return
	}
	for _, p := range t.procs {
		if p.unread {
			t.stats.Unreadable++
		}
	}
	t.publishUsages()
	for _, p := range t.members {
		if p.group.place >= 0 {
			t.lists = append(t.lists, published{p.group.place, Member{
				PID: int(p.pid), Name: p.name, Start: t.startOf(p.start), Resident: p.resident, Child: p.child, startTicks: p.start,
			}})
		}
	}
}

func (t *Tracker) publishUsages() {
	for _, g := range t.targets {
		t.publishGroup(g)
	}
	if t.overflow == nil {
		return
	}
	for _, g := range t.ranking {
		g.place = -1
		if g.visible {
			t.publishGroup(g)
		}
	}
	t.publishGroup(t.overflow)
	for _, g := range t.ranking {
		if g.place < 0 {
			g.place = t.overflow.place
		}
	}
}

func (t *Tracker) publishGroup(g *group) {
	g.place = len(t.usages)
	s := &g.sum
	u := Usage{
		Target: g.name, Discovered: g.discovered, Processes: g.members,
		Starts: g.starts, Exits: g.exits, Restarts: g.restarts.count, HasRestarts: t.restartable(g), Population: g.population, Oldest: t.startOf(s.oldest), OldestTicks: s.oldest,
		Resident: s.resident, Anon: s.anon, Used: s.anon + s.shared, Err: s.err,
		File: s.file, Shmem: s.shmem, Swap: s.swap, Parts: !s.noParts && g.members > 0,
		CgroupV2: g.v2, CgroupV1: g.v1, Peak: s.peak,
		Proportional: int64(s.pss), Unique: int64(s.unique), Shares: g.shares && !s.noShares && g.members > 0,
		Effort: Effort{
			CPUUser: ticks(g.totals.user), CPUSystem: ticks(g.totals.system), MinorFaults: g.totals.minor, MajorFaults: g.totals.major,
			Threads: s.threads, FDs: s.fds, HasEffort: !s.noEffort && g.members > 0, HasFDs: !s.noFDs && g.members > 0,
		},
	}
	t.usages = append(t.usages, u)
}
