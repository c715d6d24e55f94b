package proc

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/container"
)

// Overflow is the target that stands for all groups that discovery does not show.
const Overflow = "_overflow"

// ErrUnknownTarget says that a Tracker has no such target, or has not been refreshed yet.
var ErrUnknownTarget = errors.New("unknown target")

// Target is one configured target: a name and the processes that belong to it.
type Target struct {
	Name   string
	Config Config
	Shares bool // read PSS and USS
}

// Options configure a Tracker.
type Options struct {
	Root       string              // the procfs mount; default /proc
	RootFS     string              // where the host's root is mounted, for pidfiles; default /
	Targets    []Target            // in config order: the first that matches takes a process, before any takes it as a child
	Discover   *Discover           // groups of what no target takes; nil = none
	Containers *container.Resolver // names containers; default: by what is below RootFS
	Cgroups    *cgroup.Tree        // resolves the paths of cgroups from inside a container; nil: they stay as the kernel shows them
	Reserved   []string            // names that a discovered group may not have, such as host
	MaxHeld    int                 // statm descriptors held open; default half of RLIMIT_NOFILE, at most 8192; negative: none
	Logger     *slog.Logger        // default: discard
}

// Usage is what one target's processes use, as of the last Refresh.
type Usage struct {
	Target     string
	Discovered bool   // a group found by discovery, Overflow included
	Processes  int    // live members; zombies do not count
	Expected   bool   // without a process it is down: a configured target, unless it is not required and has had none
	Starts     uint64 // processes that joined since the Tracker's first listing
	Exits      uint64 // processes that left

	// Restarts is how often all members were replaced since the Tracker's first listing. Valid with
	// HasRestarts: for a configured target, and for a discovered systemd unit or cgroup.
	Restarts    uint64
	HasRestarts bool

	Oldest time.Time // start of the oldest member; zero when there is none or it is not known
	// OldestTicks is that start in clock ticks after the boot: it stays when the clock is set.
	OldestTicks uint64

	// Resident, Anon, Used and Largest, in bytes, are valid when Err is nil and there are processes.
	// Resident is the sum of the members' RSS and Anon of its anonymous part. Used is the sum of
	// Anon and the largest shared part of one member: members of one program map the same files
	// and segments, which a sum of RSS counts once for each (a database with a hundred workers
	// would seem to use more than the host has). For one process Used is its RSS.
	// Largest is the largest RSS of one member.
	Resident, Anon, Used, Largest int64
	Err                           error // why the memory of a member could not be read

	// Figures are what is read more seldom: a few seconds up to half a minute old.
	Figures Figures

	// States counts the processes by state; members that have ended and are not reaped are among them.
	// Valid with HasStates.
	States    [States]int
	HasStates bool

	// Threads are the threads by name, where the target asks for them and all could be read. It is not to
	// be changed.
	Threads []ThreadCount

	// Fullest is the largest ratio of open descriptors to the soft limit of one member. Valid with
	// HasFullest.
	Fullest    float64
	HasFullest bool

	// Proportional and Unique (PSS and USS), in bytes, are the resident memory at the share that
	// each member had at its last reading of smaps_rollup. Valid with Shares.
	Proportional, Unique int64
	Shares               bool

	// CgroupV2 and CgroupV1 are the deepest cgroups that hold all members, of the unified
	// hierarchy and of version 1's memory controller; "" when there is none or it is not known.
	CgroupV2, CgroupV1 string
	// Apart are the cgroups that the members are in, where these are not all in the same: one may have a
	// limit of its own. It is not to be changed.
	Apart []CgroupPaths
	// CgroupsUnread says that the cgroups of a member could not be read: there may be others.
	CgroupsUnread bool

	// Unit is the systemd unit of that cgroup, "" when it is in none, and Container the container or
	// pod, nil when it is in none; it is not to be changed. Whole says that a discovered group stands
	// for that container or pod: what limits it limits the group.
	Unit      string
	Container *container.Container
	Whole     bool

	// Population changes when the members change so much that values before and after cannot be
	// compared: a member that had lived for a minute left, one came to that age, or the first
	// came.
	Population uint64
}

// Member is one process of a target.
type Member struct {
	PID      int
	Name     string
	Start    time.Time // zero when it is not known
	Resident int64     // bytes; 0 while it could not be read
	Child    bool      // a member because an ancestor is one

	startTicks uint64 // start as the kernel counts it; 0 while it is not known
}

// StartTicks returns the start of the process as the kernel counts it, 0 while it is not known. With
// the pid it distinguishes processes, whatever is done to the clock.
func (m *Member) StartTicks() uint64 { return m.startTicks }

// Stats say what a Tracker sees of the host.
type Stats struct {
	Listed     int // processes in the last listing
	Unreadable int // of these, what this user may not read enough of to decide about
	Held       int // descriptors held open

	// Problem is what of the host could not be read, although the processes were: when it started, and
	// with that the start times of all processes.
	Problem error
}

// Tracker finds the processes of all targets with at most one listing per Refresh and reads their
// memory. Refresh and Close belong to one goroutine; all other methods are safe alongside them and
// answer from memory, but for Explain, which reads about one process, and Quick.
type Tracker struct {
	opts      Options
	r         *reader
	dents     []byte
	tasks     []seen // of one process
	targets   []*group
	overflow  *group
	groups    map[string]*group // discovered, by key
	names     map[string]bool   // given to a target or group
	interned  map[string]string
	children  map[string]bool   // targets to which the children of members belong
	byName    map[string]*group // targets that a process joins by the name of its group; nil: none
	groupings []grouping
	users     map[uint32]string // names by number
	ranking   []*group

	lister       lister
	listing      []seen
	procs, spare []*process // sorted by pid
	free         []*process
	members      []*process
	facts        facts
	cgroupBuf    [2][]byte // for a path that is resolved
	self         int32
	held         held
	listed       bool // a listing was taken before
	resweep      bool // a process joined late: its children may have been overlooked
	boot         time.Time
	bootAt       int64
	bootErr      error // why boot is not known
	total        int64 // memory of the host; 0 while it is not known
	totalAt      int64
	pss          pssBudget
	page         int64

	mu     sync.RWMutex
	usages []Usage
	lists  []published
	quick  quickList
	stats  Stats
	err    error
}

// New returns a Tracker that has read nothing yet.
func New(o Options) (*Tracker, error) {
	if o.Root == "" {
		o.Root = "/proc"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Containers == nil {
		o.Containers = container.NewResolver(container.Options{RootFS: o.RootFS, Logger: o.Logger})
	}
	if o.MaxHeld == 0 {
		o.MaxHeld = defaultHeld()
	}
	t := &Tracker{
		opts: o, dents: make([]byte, dirBuffer), groups: make(map[string]*group),
		held: held{most: o.MaxHeld}, names: map[string]bool{Overflow: true}, interned: make(map[string]string), children: make(map[string]bool), users: make(map[uint32]string), byName: make(map[string]*group), page: int64(os.Getpagesize()),
	}
	for _, name := range o.Reserved {
		t.names[name] = true
	}
	for _, target := range o.Targets {
		g, err := newTargetGroup(target)
		if err != nil {
			return nil, err
		}
		if o.Discover != nil && o.Discover.JoinTargets {
			t.byName[g.name] = g
		}
		t.targets = append(t.targets, g)
		t.names[g.name] = true
		t.children[g.name] = g.children
	}
	if o.Discover != nil {
		t.overflow = &group{name: Overflow, discovered: true}
	}
	var err error
	if t.groupings, err = newGroupings(o.Discover); err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	if t.r, err = newReader(o.Root); err != nil {
		return nil, err
	}
	t.self = t.r.self()
	t.lister = newLister(t.r)
	t.facts.env = newEnvironment(&o, t.startOf)
	return t, nil
}

// Close closes all descriptors. The Tracker is not used after it.
func (t *Tracker) Close() error {
	for _, p := range t.members {
		t.held.release(&p.statm)
	}
	t.members, t.procs = nil, nil
	t.mu.Lock()
	t.quick.reset()
	t.mu.Unlock()
	t.held.close()
	t.lister.close()
	t.r.close()
	return nil
}

// Usage returns the usage of one target. The error is that of the last Refresh, or
// ErrUnknownTarget.
func (t *Tracker) Usage(target string) (Usage, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.err != nil {
		return Usage{}, t.err
	}
	for i := range t.usages {
		if t.usages[i].Target == target {
			return t.usages[i], nil
		}
	}
	return Usage{}, fmt.Errorf("%w: %q", ErrUnknownTarget, target)
}

// Discovered appends the usage of the groups that discovery shows, in the order of their names,
// and last that of Overflow. The error is that of the last Refresh.
func (t *Tracker) Discovered(dst []Usage) ([]Usage, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.err != nil {
		return dst, t.err
	}
	for i := range t.usages {
		if t.usages[i].Discovered {
			dst = append(dst, t.usages[i])
		}
	}
	return dst, nil
}

// Members returns the processes of one target in the order of their pids.
func (t *Tracker) Members(target string) []Member {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []Member
	for i := range t.lists {
		if t.usages[t.lists[i].usage].Target == target {
			out = append(out, t.lists[i].Member)
		}
	}
	slices.SortFunc(out, func(a, b Member) int { return a.PID - b.PID })
	return out
}

// AllMembers appends the processes of all configured targets.
func (t *Tracker) AllMembers(dst []MemberOf) []MemberOf {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.lists {
		if u := &t.usages[t.lists[i].usage]; !u.Discovered {
			dst = append(dst, MemberOf{PID: t.lists[i].PID, Target: u.Target, Children: t.children[u.Target]})
		}
	}
	return dst
}

// Stats returns what the last Refresh saw.
func (t *Tracker) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.stats
}
