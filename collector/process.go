package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// discoverySource refreshes the tracker that the sources of all targets read.
type discoverySource struct{ tracker *proc.Tracker }

// NewDiscoverySource returns the source "discovery". It comes first in its lane, before the
// sources of the targets, and closes the tracker when it is closed.
func NewDiscoverySource(t *proc.Tracker) Source { return &discoverySource{t} }

// Sample implements Source.
func (s *discoverySource) Sample(ctx context.Context, b *series.Batch) error {
	if err := s.tracker.Refresh(ctx, b.Time); err != nil {
		return err
	}
	stats := s.tracker.Stats()
	b.Set(metric.DiscoveryProcesses, float64(stats.Listed))
	b.Set(metric.DiscoveryUnreadable, float64(stats.Unreadable))
	b.Set(metric.DiscoveryHeld, float64(stats.Held))
	return stats.Problem
}

// Close implements io.Closer.
func (s *discoverySource) Close() error { return s.tracker.Close() }

// TargetOptions configure the source of one target's processes and memory.
type TargetOptions struct {
	Target     string
	Tracker    *proc.Tracker
	Store      *series.Store // whose rings hold the past of the target
	Limits     *Limits
	Memory     MemoryConfig
	Thresholds series.Thresholds
	Interval   time.Duration // the usual sample interval; default 5s
	Trends     *trend.Board  // what is known of the growth between days; nil: nothing
}

// targetSource publishes the processes and the memory of one target.
type targetSource struct {
	opts       TargetOptions
	discovered bool
	gauge
	limits        limitReader
	starts, exits base
	restarts      base
	figures       figures
	cgroup        cgroupEvents
	population    uint64
	counted       limit // what the last value was of: its basis and cgroup
	cut           bool  // the next values describe another population than the last ones
}

var errNoProcess = fmt.Errorf("no process of the target: %w", ErrAbsent)

// base is what a counter had reached before this source took it over, by a reload.
type base struct {
	value float64
	known bool
}

// NewTargetSource returns the source "process" of one configured target.
func NewTargetSource(o TargetOptions) Source { return newTargetSource(o) }

func newTargetSource(o TargetOptions) *targetSource {
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	return &targetSource{
		opts:   o,
		gauge:  gauge{target: o.Target, store: o.Store, thresholds: o.Thresholds, interval: o.Interval, trends: o.Trends},
		limits: limitReader{limits: o.Limits, config: o.Memory},
	}
}

// Sample implements Source.
func (s *targetSource) Sample(_ context.Context, b *series.Batch) error {
	u, err := s.opts.Tracker.Usage(s.target)
	if err != nil {
		return err
	}
	return s.sample(b, &u)
}

func (s *targetSource) sample(b *series.Batch, u *proc.Usage) error {
	from := b.Len()
	if u.Processes > 0 || s.expected(u) {
		b.Set(metric.Processes, float64(u.Processes), s.target)
	}
	b.Set(metric.ProcessStarts, s.starts.add(s.store, metric.ProcessStarts, s.target, u.Starts), s.target)
	b.Set(metric.ProcessExits, s.exits.add(s.store, metric.ProcessExits, s.target, u.Exits), s.target)
	if u.HasRestarts {
		b.Set(metric.TargetRestarts, s.restarts.add(s.store, metric.TargetRestarts, s.target, u.Restarts), s.target)
	}
	// A first sample goes on with the rings that it finds: after a reload the processes are the
	// same.
	s.cut = s.cut || s.population != 0 && s.population != u.Population
	s.population = u.Population
	if u.Processes == 0 {
		s.reset()
		return errNoProcess
	}
	if !u.Oldest.IsZero() {
		b.Set(metric.ProcessOldestStart, float64(u.Oldest.UnixMilli())/1000, s.target)
	}
	s.figures.set(b, s.store, s.target, u)
	if u.Err == nil {
		s.setResident(b, u)
	}
	err := u.Err
	if s.target != proc.Overflow { // many unrelated processes: no limit is theirs
		err = s.setPressure(b, u)
	}
	if !s.discovered || u.Whole {
		err = errors.Join(err, s.cgroup.set(b, s.store, s.target, s.limits.own))
	}
	if s.cut && u.Err == nil {
		b.CutFrom(from)
		s.cut = false
	}
	return err
}

// expected reports whether a target without processes is published, and so is down: no one expects a
// group to run that was merely seen, nor a target that need not.
func (s *targetSource) expected(u *proc.Usage) bool {
	if u.Expected || s.discovered {
		return u.Expected
	}
	_, _, before := s.store.Value(metric.Processes, s.target) // published before a reload
	return before
}

// setPressure publishes the limit and what is used of it.
func (s *targetSource) setPressure(b *series.Batch, u *proc.Usage) error {
	all, err := s.limits.read(b.Time, u, s.discovered)
	if err != nil {
		return errors.Join(u.Err, err)
	}
	if len(all) == 1 { // it is known, whatever is used of it
		setLimit(b, s.target, all[0])
	}
	used, err := s.fullest(all, u)
	if err != nil {
		if u.Err != nil && !errors.Is(err, u.Err) {
			err = errors.Join(u.Err, err)
		}
		return err
	}
	if len(all) > 1 {
		setLimit(b, s.target, used.limit)
	}
	// What is used of another limit is not compared with what was used of the last one.
	counted := limit{basis: used.limit.basis, cgroup: used.limit.cgroup}
	s.cut = s.cut || s.counted != (limit{}) && s.counted != counted
	s.counted = counted
	s.set(b, used.reading, used.limit, used.from, s.cut)
	return u.Err
}

// gauges returns what may be read between two sweeps.
func (s *targetSource) gauges(dst []*gauge) []*gauge { return append(dst, &s.gauge) }

// add returns the counter's value: what it had reached before, and n.
func (c *base) add(store *series.Store, d *series.Desc, target string, n uint64) float64 {
	if !c.known {
		c.value, _, _ = store.Value(d, target)
		c.known = true
	}
	return c.value + float64(n)
}

func (s *targetSource) setResident(b *series.Batch, u *proc.Usage) {
	setExtent(b, s.store, s.target, float64(u.Resident))
	b.Set(metric.MemoryAnon, float64(u.Anon), s.target)
	if u.Shares {
		b.Set(metric.MemoryPSS, float64(u.Proportional), s.target)
		b.Set(metric.MemoryUSS, float64(u.Unique), s.target)
	}
}

// GroupsOptions configure the source of all discovered groups.
type GroupsOptions struct {
	Tracker    *proc.Tracker
	Store      *series.Store
	Limits     *Limits
	Thresholds series.Thresholds
	Interval   time.Duration // the usual sample interval; default 5s
	Trends     *trend.Board  // what is known of the growth between days; nil: nothing
}

// groupsSource publishes the groups that discovery shows, which come and go.
type groupsSource struct {
	opts   GroupsOptions
	groups map[string]*targetSource
	usages []proc.Usage
}

// NewGroupsSource returns the source "groups": processes, memory and thresholds of every group
// that discovery shows at present, and the processes and memory of the rest.
func NewGroupsSource(o GroupsOptions) Source {
	return &groupsSource{opts: o, groups: make(map[string]*targetSource)}
}

// Sample implements Source.
func (s *groupsSource) Sample(_ context.Context, b *series.Batch) error {
	usages, err := s.opts.Tracker.Discovered(s.usages[:0])
	if err != nil {
		return err
	}
	s.usages = usages
	var first error
	for i := range usages {
		u := &usages[i]
		g := s.group(u.Target)
		if u.Target != proc.Overflow {
			setThresholds(b, u.Target, SignalMemory, s.opts.Thresholds)
		}
		if err := g.sample(b, u); err != nil && !errors.Is(err, ErrAbsent) && first == nil {
			first = fmt.Errorf("group %q: %w", u.Target, err)
		}
	}
	if len(s.groups) > len(usages) {
		for name := range s.groups {
			if !slices.ContainsFunc(usages, func(u proc.Usage) bool { return u.Target == name }) {
				s.groups[name].leave()
				delete(s.groups, name)
			}
		}
	}
	return first
}

// gauges returns what may be read between two sweeps.
func (s *groupsSource) gauges(dst []*gauge) []*gauge {
	for _, g := range s.groups {
		dst = append(dst, &g.gauge)
	}
	return dst
}

func (s *groupsSource) group(name string) *targetSource {
	g := s.groups[name]
	if g == nil {
		g = newTargetSource(TargetOptions{
			Target: name, Tracker: s.opts.Tracker, Store: s.opts.Store, Limits: s.opts.Limits,
			Thresholds: s.opts.Thresholds, Interval: s.opts.Interval, Trends: s.opts.Trends,
		})
		g.discovered = true
		s.groups[name] = g
	}
	return g
}
