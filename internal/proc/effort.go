package proc

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	effortEvery = 15 * time.Second // processor time, faults, threads and state
	fdsEvery    = 30 * time.Second // descriptors and storage
	softEvery   = 5 * time.Minute  // the limit of open descriptors
	mostFDs     = 1 << 20
	newcomer    = time.Minute // the age up to which all that a process did counts
)

// effort is when was read what a member does, in milliseconds.
type effort struct{ at, fdsAt, softAt int64 }

// readEffort reads what is due of what a member does. It returns false when the process has ended.
func (t *Tracker) readEffort(p *process, ms int64) bool {
	e := &p.slow.effort
	if due(e.at, ms, effortEvery) {
		e.at = spread(e.at, ms, p.pid, effortEvery)
		if !t.readStat(p, ms) {
			return false
		}
	}
	if due(e.fdsAt, ms, fdsEvery) {
		e.fdsAt = spread(e.fdsAt, ms, p.pid, fdsEvery)
		t.readFDs(p, ms)
		return t.readIO(p, ms)
	}
	return true
}

// spread returns when something was done, as far as its next turn is concerned: after a first
// reading the turns of the members are spread over the interval.
func spread(last, ms int64, pid int32, every time.Duration) int64 {
	if last != 0 {
		return ms
	}
	return ms - int64(uint32(pid)*2654435761>>8)%every.Milliseconds()
}

// isNewcomer reports whether all that a process did since its start is its group's.
func (t *Tracker) isNewcomer(p *process, ms int64) bool {
	start := t.startOf(p.start)
	return !start.IsZero() && ms-start.UnixMilli() <= newcomer.Milliseconds()
}

// readStat returns false when the process has ended.
func (t *Tracker) readStat(p *process, ms int64) bool {
	s, err := t.r.stat(p.pid)
	own := &p.slow.own
	switch {
	case err != nil && gone(err):
		p.die(reaped)
		return false
	case err == nil && s.start != p.start: // another process has the number by now
		return true
	case err != nil:
		s = stat{}
	}
	fresh := t.isNewcomer(p, ms)
	for _, f := range statFigures {
		if value, ok := s.Get(f); f == FigureThreads {
			own.put(f, value, ok)
		} else {
			t.count(p, f, value, ok, fresh)
		}
	}
	own.state, own.stated = stateOf(s.state), err == nil
	return true
}

// readIO reads what a member read from storage and wrote to it, which takes its own user or
// CAP_SYS_PTRACE. It returns false when the process has ended.
func (t *Tracker) readIO(p *process, ms int64) bool {
	b, err := t.r.file(p.pid, "io", firstRead)
	if err != nil && gone(err) && !t.exists(p) {
		p.die(reaped)
		return false
	}
	var io Figures
	if err == nil {
		io = parseIO(b)
	}
	fresh := t.isNewcomer(p, ms)
	for _, f := range []Figure{FigureReadBytes, FigureWriteBytes} {
		value, ok := io.Get(f)
		t.count(p, f, value, ok, fresh)
	}
	return true
}

// exists reports whether a process is there: a kernel can be built without its accounts of storage.
func (t *Tracker) exists(p *process) bool {
	_, err := t.r.stat(p.pid)
	return !gone(err)
}

// readFDs counts the open descriptors of a member and compares them with its limit.
func (t *Tracker) readFDs(p *process, ms int64) {
	e, own := &p.slow.effort, &p.slow.own
	n := t.r.countFDs(p.pid)
	own.put(FigureDescriptors, n, n >= 0)
	own.fullest = 0
	if n < 0 {
		return
	}
	if due(e.softAt, ms, softEvery) {
		e.softAt = ms
		own.soft = 0
		if b, err := t.r.file(p.pid, "limits", firstRead); err == nil {
			own.soft = parseSoftFDs(b)
		}
	}
	if own.soft > 0 {
		own.fullest = float64(n) / float64(own.soft)
	}
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
