package heap

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const (
	firstLookAgain = time.Second
	lastLookAgain  = time.Minute
)

// jvm reads the heap of Java virtual machines from the counters that each keeps in a file, without
// asking it anything. Of several processes that are one, the fullest counts: it ends first.
type jvm struct {
	target *target
	procfs string
	now    func() time.Time

	mu       sync.Mutex
	machines map[machineKey]*machine
	misses   map[machineKey]miss
	closed   bool
	buf      []byte
}

type machineKey struct {
	pid   int
	start time.Time
}

func keyOf(m proc.Member) machineKey { return machineKey{m.PID, m.Start} }

// miss is a process that was looked at and is not read.
type miss struct {
	err  error
	next time.Time // it is not looked at again before
	wait time.Duration
}

func newJVM(p *Pool, _ Config, of *target) (backend, error) {
	return &jvm{target: of, procfs: p.opts.ProcFS, now: p.opts.Now, machines: make(map[machineKey]*machine), misses: make(map[machineKey]miss)}, nil
}

func checkJVM(_ *Config, _ factory, processes bool, report func(key, format string, args ...any)) {
	if !processes {
		report("provider", "%s finds the virtual machine by its process, and this target watches none: write processes", ProviderJVM)
	}
}

// Read implements Reader.
func (j *jvm) Read(context.Context) (Usage, error) {
	u, _, err := j.fullest()
	return u, err
}

// fullest reads all machines of the target and returns the one that is nearest to its limit.
func (j *jvm) fullest() (best Usage, of *machine, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return Usage{}, nil, ErrClosed
	}
	members := j.target.members()
	if len(members) == 0 {
		j.keep(nil)
		return Usage{}, nil, ErrNoProcess
	}
	j.keep(members)
	ratio := -1.0
	for _, m := range members {
		u, found, readErr := j.read(m)
		if readErr != nil {
			err = worse(err, readErr)
			continue
		}
		if r, _ := u.Ratio(); r > ratio {
			best, of, ratio = u, found, r
		}
	}
	if of != nil {
		return best, of, nil
	}
	return Usage{}, nil, err
}

// keep closes the files of processes that are gone, and forgets what was noted of them.
func (j *jvm) keep(members []proc.Member) {
	gone := func(key machineKey) bool {
		return !slices.ContainsFunc(members, func(o proc.Member) bool { return keyOf(o) == key })
	}
	for key, m := range j.machines {
		if gone(key) {
			m.close()
			delete(j.machines, key)
		}
	}
	for key := range j.misses {
		if gone(key) {
			delete(j.misses, key)
		}
	}
}

// read reads one process. One that has ended since it was listed is let go: its counters stay as
// they were.
func (j *jvm) read(member proc.Member) (Usage, *machine, error) {
	m, err := j.machine(member)
	if err != nil {
		return Usage{}, nil, err
	}
	data, err := m.counters(&j.buf)
	if err == nil {
		err = m.alive()
	}
	if err != nil {
		m.close()
		delete(j.machines, keyOf(member))
		return Usage{}, nil, fmt.Errorf("process %d: %w", member.PID, err)
	}
	var h perfHeap
	if err := decodePerfData(data, &h); err != nil {
		return Usage{}, nil, fmt.Errorf("process %d: %w", member.PID, err)
	}
	m.sealed = h.sealed
	u, err := h.usage()
	if err != nil {
		return Usage{}, nil, fmt.Errorf("process %d: %w", member.PID, err)
	}
	return u, m, nil
}

// machine returns the open files of a process. One that has none is looked at again after a second,
// then twice that and so on: a shell may become a virtual machine, and most shells do not.
func (j *jvm) machine(member proc.Member) (*machine, error) {
	key := keyOf(member)
	if m := j.machines[key]; m != nil {
		return m, nil
	}
	now, missed := j.now(), j.misses[key]
	if now.Before(missed.next) {
		return nil, missed.err
	}
	m, err := openMachine(j.procfs, member)
	if err != nil {
		missed.err, missed.wait = err, min(max(2*missed.wait, firstLookAgain), lastLookAgain)
		missed.next = now.Add(missed.wait)
		j.misses[key] = missed
		return nil, err
	}
	delete(j.misses, key)
	j.machines[key] = m
	return m, nil
}

func (j *jvm) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	j.keep(nil)
	return nil
}
