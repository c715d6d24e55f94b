package proc

import (
	"cmp"
	"math"
	"slices"
)

// process is one process of the host. Its parts have one owner each: who it is, what it is a member
// of, what was read of a member, and whether its target is to be decided again. What every tick
// touches comes first. Times are milliseconds.
type process struct {
	identity
	membership
	statm statmFile
	life  life
	memory
	slow   slowReadings
	review review
}

// identity says which process is meant: a pid alone does not, because it is given out again.
type identity struct {
	pid, ppid  int32
	ino, start uint64 // start, in clock ticks after the boot, is 0 until stat was read
	comm, name string // as the kernel has it, and as an operator knows it
}

// life is how far a process of the table has come to its end.
type life uint8

const (
	running life = iota
	zombie       // it ended and its parent has not waited for it; it stays until the listing drops it
	reaped       // its pid may be given out again, so another process of that pid is not this one
)

// memory is what each tick reads of a member's statm, in bytes; 0 while it could not be read.
type memory struct{ resident, shared int64 }

// slowReadings are what is read of a member more seldom than its statm, each on a schedule of its
// own. They are empty when a process becomes a member.
type slowReadings struct {
	parts   parts
	cgroups cgroupReading
	effort  effort
	own     own
	shares  *shares      // nil until it is wanted
	threads *threadNames // nil until it is wanted
}

// parts is when status was read of a member, and what its statm was then.
type parts struct {
	at int64
	of memory
}

// cgroupReading is where a member was at a time.
type cgroupReading struct {
	at     int64
	failed bool // the last one
	cgroupPaths
}

// never is the time of a review that does not come.
const never = math.MaxInt64

// mostFree is how many processes that have ended are kept to be used again.
const mostFree = 1024

func (t *Tracker) newProcess(s seen, ms int64) *process {
	var p *process
	if n := len(t.free); n > 0 {
		p, t.free = t.free[n-1], t.free[:n-1]
	} else {
		p = new(process)
	}
	*p = process{identity: identity{pid: s.pid, ino: s.ino}, review: review{firstSeen: ms}, statm: noStatm}
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
	if !ok || t.procs[i].life != running {
		return nil
	}
	return t.procs[i]
}

// same returns whether the process is the one that was known by its pid. The kernel gives a
// /proc directory another inode when it had dropped the old one from its caches, so another
// inode alone does not say that the pid was given out again: the start time does.
func (t *Tracker) same(p *process, ino uint64) bool {
	if p.ino == ino {
		return p.life != reaped
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

// end marks a process that has ended, before the listing says so, and takes it out of its group.
func (t *Tracker) end(p *process, how life) {
	t.lister.ended = t.lister.ended || p.group != nil
	t.leave(p)
	p.die(how)
}

// die marks a process that has ended.
func (p *process) die(how life) { p.life, p.review.at = how, never }
