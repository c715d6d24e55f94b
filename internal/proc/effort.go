package proc

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	effortEvery = 15 * time.Second // processor time, faults and threads
	fdsEvery    = 30 * time.Second
	mostFDs     = 1 << 20
	newcomer    = time.Minute // the age up to which all that a process did counts
)

// Effort is what the processes of a target do. The counters never go down when a member ends:
// what it did between its last reading and its end is lost, what it did before is not.
type Effort struct {
	CPUUser, CPUSystem       time.Duration // since the Tracker first saw the members
	MinorFaults, MajorFaults uint64
	Threads                  int64
	FDs                      int64 // open descriptors; valid with HasFDs
	HasEffort, HasFDs        bool  // every member could be read
}

// effort is what was read of one process. There are thousands of them: the counts are the low
// halves, which is enough for differences over seconds.
type effort struct {
	at, fdsAt    int64 // milliseconds
	minor, major uint32
	user, system uint32 // clock ticks
	threads, fds int32  // fds: -1 = cannot be read
	known        bool
}

// totals are what the members of a group did, those that have ended included.
type totals struct{ minor, major, user, system uint64 }

// readEffort reads what is due of what a member does.
func (t *Tracker) readEffort(p *process, ms int64) {
	e := &p.slow.effort
	if due(e.at, ms, effortEvery) {
		t.readStat(p, ms)
	}
	if due(e.fdsAt, ms, fdsEvery) {
		e.fdsAt = spread(e.fdsAt, ms, p.pid, fdsEvery)
		e.fds = int32(t.r.countFDs(p.pid))
	}
}

// spread returns when something was done, as far as its next turn is concerned: after a first
// reading the turns of the members are spread over the interval.
func spread(last, ms int64, pid int32, every time.Duration) int64 {
	if last != 0 {
		return ms
	}
	return ms - int64(uint32(pid)*2654435761>>8)%every.Milliseconds()
}

func (t *Tracker) readStat(p *process, ms int64) {
	e := &p.slow.effort
	first := !e.known
	e.at = spread(e.at, ms, p.pid, effortEvery)
	s, err := t.r.stat(p.pid)
	if err != nil || s.start != p.start { // another process has the number by now
		return
	}
	if start := t.startOf(p.start); first && (start.IsZero() || ms-start.UnixMilli() > newcomer.Milliseconds()) {
		// It is no newcomer: what it did before it was seen here is not the group's.
		e.minor, e.major, e.user, e.system = uint32(s.minor), uint32(s.major), uint32(s.user), uint32(s.system)
	}
	g := &p.group.totals
	advance(&g.minor, &e.minor, s.minor)
	advance(&g.major, &e.major, s.major)
	advance(&g.user, &e.user, s.user)
	advance(&g.system, &e.system, s.system)
	e.threads, e.known = int32(s.threads), true
}

// advance adds what a count grew by since its last reading.
func advance(total *uint64, last *uint32, now uint64) {
	*total += uint64(uint32(now) - *last)
	*last = uint32(now)
}

// countFDs returns how many descriptors a process has open, -1 when that cannot be read. Linux
// has the number as the size of the folder since 6.2; before, the entries are counted.
func (r *reader) countFDs(pid int32) int64 {
	size, err := r.sizeOf(pid, "fd")
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // statx is refused
	case err != nil:
		return -1
	case size > 0:
		return size
	}
	fd, err := r.open(pid, "fd")
	if err != nil {
		return -1
	}
	dir := os.NewFile(uintptr(fd), "fd")
	defer dir.Close()
	n := int64(0)
	for n < mostFDs {
		names, err := dir.Readdirnames(1024)
		n += int64(len(names))
		if err == io.EOF {
			return n
		}
		if err != nil {
			return -1
		}
	}
	return n
}
