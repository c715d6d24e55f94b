package proc

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/container"
)

// group is a target or a discovered group while the Tracker works on it.
type group struct {
	name       string
	key        string    // of a discovered group
	base       string    // its name before a number made it another than all others
	match      *selector // nil for a discovered group
	exclude    *selector
	children   bool
	discovered bool
	optional   bool // without a process it is not down before it has had one
	seen       bool // it has had a member

	members       int
	starts, exits uint64
	restarts      restarts
	population    uint64
	totals        [figures]int64 // of the counters, members that have ended included
	shares        bool           // PSS and USS are wanted
	threads       bool           // threads by name are wanted

	since, present int64 // of a discovered group: milliseconds, when it was first seen and when it had a member last

	visible bool // of a discovered group: it is a target at present
	lasting bool // it may become one
	out     int  // refreshes in a row outside the top
	usage   int  // index of what is published of it, that of the overflow where it is not shown

	sum sums

	cgroupPaths      // that contain all members
	dirty       bool // the members or their cgroups changed since the pass that folded them
	refold      bool // the present pass folds them
	folding     bool // they are those of at least one member
	unread      bool // those of a member could not be read

	first   CgroupPaths          // of the first member
	several map[CgroupPaths]bool // of all, where they differ
	apart   []CgroupPaths        // the same, sorted; it is published and never changed

	named  map[string]int  // threads of the present pass by name
	names  map[string]bool // that the target has shown
	counts []ThreadCount   // published, and never changed

	unit       string               // of those cgroups
	container  *container.Container // of those cgroups; nil when they are in none
	described  cgroupPaths          // for which these two were found
	describeAt time.Time            // when to look again; zero when everything is known
}

// sums are what one pass over the members adds up.
type sums struct {
	resident, anon, shared int64 // bytes; shared is the largest of one member
	largest                int64 // the largest resident memory of one member
	sumFigures
	pss, unique  float64
	noShares     bool
	oldest       uint64 // clock ticks after boot
	directOldest uint64 // the same, of the members that are not children; 0 when there is none
	directNewest uint64 // and the start of their newest
	err          error
}

func newTargetGroup(t Target) (*group, error) {
	g := &group{name: t.Name, children: t.Config.Children, shares: t.Shares, threads: t.Config.ThreadNames}
	g.optional = t.Config.Required != nil && !*t.Config.Required
	var err error
	if t.Config.Match.Empty() {
		return nil, fmt.Errorf("target %q: match has no condition", t.Name)
	}
	if g.match, err = compile(t.Config.Match); err != nil {
		return nil, fmt.Errorf("target %q: match: %w", t.Name, err)
	}
	if t.Config.Exclude != nil {
		if g.exclude, err = compile(*t.Config.Exclude); err != nil {
			return nil, fmt.Errorf("target %q: exclude: %w", t.Name, err)
		}
	}
	return g, nil
}

// direct returns whether the process is a member by its own properties. The exporter itself is
// one only when it is asked for by its name: its arguments have paths that an expression on
// command lines may well match.
func (g *group) direct(f *facts, self int32) verdict {
	if f.pid == self && !g.match.named() {
		return verdict{condition: "self"}
	}
	return g.match.match(f)
}

// refuses returns whether exclude keeps the process out. What cannot be decided is refused.
func (g *group) refuses(f *facts) (refused bool, v verdict) {
	if g.exclude == nil {
		return false, verdict{}
	}
	v = g.exclude.match(f)
	return v.ok || v.err != nil, v
}

// add puts a member's numbers into the sums.
func (s *sums) add(p *process) {
	s.resident += p.resident
	s.anon += p.resident - p.shared
	s.shared = max(s.shared, p.shared)
	s.largest = max(s.largest, p.resident)
	shares := p.slow.shares
	s.sumFigures.add(p)
	if s.noShares = s.noShares || shares == nil || !shares.known; !s.noShares {
		s.pss += shares.pss * float64(p.resident)
		s.unique += shares.unique * float64(p.resident)
	}
	if s.oldest == 0 || p.start < s.oldest {
		s.oldest = p.start
	}
	if p.by != descended {
		if s.directOldest == 0 || p.start < s.directOldest {
			s.directOldest = p.start
		}
		s.directNewest = max(s.directNewest, p.start)
	}
}

// merge adds the sums of a whole group.
func (s *sums) merge(o *sums) {
	s.resident += o.resident
	s.anon += o.anon
	s.shared = max(s.shared, o.shared)
	s.largest = max(s.largest, o.largest)
	s.sumFigures.merge(&o.sumFigures)
	s.noShares = true // the rest is not asked
	if s.oldest == 0 || o.oldest != 0 && o.oldest < s.oldest {
		s.oldest = o.oldest
	}
	if s.err == nil {
		s.err = o.err
	}
}

// targetName turns the key of a discovered group into a label value that a config could have, or, of a
// container, into one with the slashes of its path.
func targetName(key string, path bool) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case path && r == '/':
			return r
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("_.:+@-", r):
			return r
		}
		return '_'
	}, key)
	if name = strings.Trim(name, "_"); name == "" {
		return "unnamed"
	}
	return name
}

// unusedName returns name, or name with the first number that makes it new.
func unusedName(used map[string]bool, name string) string {
	for n, try := 2, name; ; n++ {
		if !used[try] {
			return try
		}
		try = name + "_" + strconv.Itoa(n)
	}
}
