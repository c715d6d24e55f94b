package proc

import (
	"bytes"
	"io"
	"os"
	"time"
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
	e := &p.effort
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
	e := &p.effort
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

// Proportional memory.
const (
	pssEvery   = time.Minute
	pssShare   = 200 // a reading of smaps_rollup uses at most this part of the time
	pssSaved   = 50 * time.Millisecond
	pssLargest = 512 << 20      // resident bytes: reading a larger process would stall it (13 ms for each GB)
	pssRollup  = "smaps_rollup" // never held open: the descriptor would keep the address space alive
)

// shares are the parts of the resident memory that are a process's own, by its last reading.
type shares struct {
	at          int64
	known       bool
	pss, unique float64 // of the resident memory
}

// readShares reads smaps_rollup of a member while the budget lasts.
func (t *Tracker) readShares(p *process, ms int64) {
	if p.shares == nil {
		p.shares = new(shares)
	}
	if p.resident == 0 || p.resident > pssLargest || !due(p.shares.at, ms, pssEvery) || t.pssBudget <= 0 {
		p.shares.known = p.shares.known && p.resident <= pssLargest
		return
	}
	began := time.Now()
	b, err := t.r.file(p.pid, pssRollup, longest)
	t.pssBudget -= time.Since(began)
	p.shares.at = ms
	resident, pss, unique, ok := parseRollup(b)
	if p.shares.known = err == nil && ok; p.shares.known {
		p.shares.pss, p.shares.unique = float64(pss)/float64(resident), float64(unique)/float64(resident)
	}
}

// saveShares adds the budget of the time since the last refresh.
func (t *Tracker) saveShares(ms int64) {
	if t.pssAt != 0 && ms > t.pssAt {
		t.pssBudget += time.Duration(ms-t.pssAt) * time.Millisecond / pssShare
	}
	t.pssBudget, t.pssAt = min(t.pssBudget, pssSaved), ms
}

// parseRollup reads Rss, Pss and the private parts of smaps_rollup, in bytes.
func parseRollup(b []byte) (resident, pss, unique int64, ok bool) {
	var hasPss bool
	for line := range bytes.Lines(b) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			continue
		}
		n, good := kilobytes(value)
		switch string(name) {
		case "Rss":
			resident = n
		case "Pss":
			pss, hasPss = n, good
		case "Private_Clean", "Private_Dirty", "Private_Hugetlb":
			unique += n
		}
	}
	return resident, pss, unique, hasPss && resident > 0 && pss <= resident && unique <= resident
}
