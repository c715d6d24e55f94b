package proc

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	threadsEvery = 30 * time.Second
	mostThreads  = 4096 // of one process that are named
	mostLabels   = 20   // names of the threads of one target; the rest is OtherThreads
)

// OtherThreads stands for the threads that have no name of their own in ThreadCount.
const OtherThreads = "other"

// ThreadCount is how many threads of a target have a name.
type ThreadCount struct {
	Name    string // as the process gave it, with N for each number in it
	Threads int
}

// threadNames are what was read of the threads of one member.
type threadNames struct {
	at     int64
	known  bool
	counts map[string]int
}

// readThreads reads the names of the threads of a member whose target wants them.
func (t *Tracker) readThreads(p *process, ms int64) {
	if p.slow.threads == nil {
		p.slow.threads = &threadNames{counts: make(map[string]int)}
	}
	n := p.slow.threads
	if !due(n.at, ms, threadsEvery) {
		return
	}
	n.at = spread(n.at, ms, p.pid, threadsEvery)
	clear(n.counts)
	tasks, err := t.r.tasks(p.pid, t.tasks[:0], t.dents)
	t.tasks = tasks
	if n.known = err == nil; !n.known {
		return
	}
	for i := range tasks {
		if i == mostThreads {
			n.counts[OtherThreads] += len(tasks) - i
			break
		}
		b, err := t.r.comm(p.pid, tasks[i].pid)
		if err != nil {
			continue // it has ended
		}
		name := threadName(b)
		if _, known := n.counts[name]; !known && len(n.counts) > 2*mostLabels {
			name = OtherThreads
		}
		n.counts[t.intern(name)]++
	}
}

// tasks appends the threads of a process.
func (r *reader) tasks(pid int32, dst []seen, buf []byte) ([]seen, error) {
	fd, err := r.open(pid, "task")
	if err != nil {
		return dst, err
	}
	defer func() { _ = unix.Close(fd) }()
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return dst, err
		}
		if dst, err = parseDirents(dst, buf[:n]); err != nil {
			return dst, err
		}
	}
}

// threadName makes a label value of what a thread is called: every number in it is N, so that the
// threads of a pool are one, and what a label should not hold is a blank.
func threadName(comm []byte) string {
	var b strings.Builder
	digits := false
	for _, c := range strings.TrimSpace(string(comm)) {
		digit := c >= '0' && c <= '9'
		switch {
		case digit && digits:
		case digit:
			b.WriteByte('N')
		case c < ' ' || c > '~':
			b.WriteByte(' ')
		default:
			b.WriteRune(c)
		}
		digits = digit
	}
	if name := strings.TrimSpace(b.String()); name != "" {
		return name
	}
	return OtherThreads
}

// nameThreads adds up the names of the threads of a target's members. A target keeps the names that it
// has shown, so that a process which makes up new ones has no more series than another.
func (t *Tracker) nameThreads(g *group) {
	if !g.threads {
		return
	}
	if g.named == nil {
		g.named, g.names = make(map[string]int), make(map[string]bool)
	}
	clear(g.named)
	known := g.members > 0
	for _, p := range t.members {
		if p.group != g {
			continue
		}
		if p.slow.threads == nil || !p.slow.threads.known {
			known = false
			break
		}
		for name, n := range p.slow.threads.counts {
			g.named[name] += n
		}
	}
	if !known {
		g.counts = nil
		return
	}
	most := slices.SortedFunc(maps.Keys(g.named), func(a, b string) int {
		if g.named[a] != g.named[b] {
			return g.named[b] - g.named[a]
		}
		return strings.Compare(a, b)
	})
	for _, name := range most {
		if name == OtherThreads || g.names[name] {
			continue
		}
		if len(g.names) < mostLabels {
			g.names[name] = true
			continue
		}
		g.named[OtherThreads] += g.named[name]
		delete(g.named, name)
	}
	counts := make([]ThreadCount, 0, len(g.named))
	for _, name := range slices.Sorted(maps.Keys(g.named)) {
		counts = append(counts, ThreadCount{name, g.named[name]})
	}
	if !slices.Equal(counts, g.counts) {
		g.counts = counts
	}
}
