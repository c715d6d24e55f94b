package heap

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// jvm reads the heap of Java virtual machines from the counters that each keeps in a file, without
// asking it anything.
type jvm struct {
	target   *target
	procfs   string
	provider *lazy.Provider[*machines]
}

// machines are the processes of a target that are virtual machines. Of several the fullest counts:
// it ends first.
type machines struct {
	target *target
	procfs string
	now    func() time.Time

	mu     sync.Mutex
	of     map[machineKey]*machine
	misses map[machineKey]*miss
	buf    []byte
}

type machineKey struct {
	pid   int
	start time.Time
}

func keyOf(m proc.Member) machineKey { return machineKey{m.PID, m.Start} }

func newJVM(p *Pool, _ Config, of *target) (backend, error) {
	j := &jvm{target: of, procfs: p.opts.ProcFS}
	var err error
	j.provider, err = lazy.Add(p.lazy, lazy.Options[*machines]{
		Name: ProviderJVM + " " + of.name, Kind: ProviderJVM,
		Open:  func(context.Context) (*machines, error) { return newMachines(p.opts.ProcFS, p.opts.Now, of), nil },
		Close: func(all *machines) { all.keep(nil) },
		Idle:  memberIdle, Now: p.opts.Now, Metrics: p.opts.Metrics,
	})
	return j, err
}

func newMachines(procfs string, now func() time.Time, of *target) *machines {
	return &machines{target: of, procfs: procfs, now: now, of: make(map[machineKey]*machine), misses: make(map[machineKey]*miss)}
}

func checkJVM(_ *Config, _ factory, processes bool, report report.Func) {
	if !processes {
		report("provider", "%s finds the virtual machine by its process, and this target watches none: write processes", ProviderJVM)
	}
}

// Read implements Reader.
func (j *jvm) Read(ctx context.Context) (u Usage, err error) {
	err = withLease(ctx, j.provider, func(all *machines) error {
		u, _, err = all.fullest()
		return err
	})
	return u, err
}

func (j *jvm) close() error { return j.provider.Close() }

// fullest reads all machines of the target and returns the one that is nearest to its limit.
func (j *machines) fullest() (best Usage, of *machine, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
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
		if r, _ := u.JudgedRatio(); r > ratio {
			best, of, ratio = u, found, r
		}
	}
	if of != nil {
		return best, of, nil
	}
	return Usage{}, nil, err
}

// keep closes the files of processes that are gone, and forgets what was noted of them.
func (j *machines) keep(members []proc.Member) {
	gone := func(key machineKey) bool {
		return !slices.ContainsFunc(members, func(o proc.Member) bool { return keyOf(o) == key })
	}
	for key, m := range j.of {
		if gone(key) {
			m.close()
			delete(j.of, key)
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
func (j *machines) read(member proc.Member) (Usage, *machine, error) {
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
		delete(j.of, keyOf(member))
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
	u.Live = m.live.note(&h)
	return u, m, nil
}

// machine returns the open files of a process.
func (j *machines) machine(member proc.Member) (*machine, error) {
	key := keyOf(member)
	if m := j.of[key]; m != nil {
		return m, nil
	}
	missed := j.misses[key]
	if missed == nil {
		missed = &miss{}
		j.misses[key] = missed
	}
	err := missed.look(j.now(), func() (err error) {
		j.of[key], err = openMachine(j.procfs, member)
		return err
	})
	if err != nil {
		delete(j.of, key)
		return nil, err
	}
	delete(j.misses, key)
	return j.of[key], nil
}
