package collector

import (
	"errors"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// limit is one limit of a target.
type limit struct {
	bytes  int64
	source string
	basis  string
	cgroup cgroupDir // what is counted with basis cgroup
}

func setLimit(b *series.Batch, target string, l limit) {
	if l.bytes > 0 {
		b.Set(metric.MemoryLimit, float64(l.bytes), target)
		b.Set(metric.MemoryLimitInfo, 1, target, l.source, l.basis)
	}
}

// limitReader finds the limits of one target and remembers them for a while.
type limitReader struct {
	limits *Limits
	config MemoryConfig

	// all are the limits that hold: the smallest of what holds for the target as a whole first, then
	// those of cgroups that some of its members are in, and of each process. The fullest counts.
	all   []limit
	own   cgroupDir // that holds the target and counts its memory
	at    time.Time
	paths proc.CgroupPaths   // the cgroups that they were read for
	apart []proc.CgroupPaths // the same
}

// read returns the limits. The first is the smallest of the config's, a cgroup's and the host's. A
// discovered group is counted by its own RSS, unless it stands for a whole container: a limit that it
// shares with the rest of one says nothing about this group. An error means that a limit may exist
// which is not known.
func (r *limitReader) read(now time.Time, u *proc.Usage, discovered bool) ([]limit, error) {
	paths := proc.CgroupPaths{V2: u.CgroupV2, V1: u.CgroupV1}
	if r.paths == paths && slices.Equal(r.apart, u.Apart) && !stale(r.at, now, limitsEvery) {
		return r.all, nil
	}
	r.at = time.Time{} // after an error the next read is a fresh one
	all, err := r.find(now, u, discovered)
	if err != nil {
		return nil, err
	}
	r.all, r.at, r.paths, r.apart = all, now, paths, u.Apart
	return all, nil
}

// LimitOf returns the smallest limit that holds for a target as a whole at present: that of the file, its cgroup or the host.
func (l *Limits) LimitOf(now time.Time, u *proc.Usage, c MemoryConfig) (bytes int64, err error) {
	r := limitReader{limits: l, config: c}
	all, err := r.read(now, u, false)
	if err != nil {
		return 0, err
	}
	return all[0].bytes, nil
}

// forget makes the next read a fresh one.
func (r *limitReader) forget() { r.at = time.Time{} }

var errUnreadCgroups = errors.New("the cgroups of a process could not be read, so that it may have a limit which is not known: write memory.limit")

func (r *limitReader) find(now time.Time, u *proc.Usage, discovered bool) ([]limit, error) {
	group, own, err := r.limits.cgroups(now, u.CgroupV2, u.CgroupV1)
	r.own = own
	shared := discovered && !u.Whole
	known := r.config.Limit > 0 || shared
	if u.CgroupsUnread {
		err = errors.Join(err, errUnreadCgroups)
	}
	if err != nil && (!known || r.config.Basis == BasisCgroup) {
		return nil, err
	}
	whole, err := r.whole(now, group, shared)
	if err != nil {
		return nil, err
	}
	all := []limit{whole}
	if !shared && r.config.Basis != BasisRSS {
		parts, err := r.limits.apart(now, u)
		if err != nil && !known {
			return nil, err
		}
		all = append(all, parts...)
	}
	if n := int64(r.config.LimitPerProcess); n > 0 {
		all = append(all, limit{bytes: n, source: sourceConfig, basis: basisLargest})
	}
	return all, nil
}

// whole returns the smallest limit that holds for the target as a whole, given that of its cgroups.
func (r *limitReader) whole(now time.Time, group limit, shared bool) (limit, error) {
	l := group
	if r.config.Limit > 0 && (l.bytes == 0 || int64(r.config.Limit) < l.bytes) {
		l = limit{bytes: int64(r.config.Limit), source: sourceConfig}
	}
	host, err := r.limits.hostLimit(now)
	if err != nil && l.bytes == 0 {
		return limit{}, err
	}
	if err == nil && (l.bytes == 0 || host < l.bytes) {
		l = limit{bytes: host, source: sourceHost}
	}
	switch {
	case shared, r.config.Basis == BasisRSS:
		l.basis = BasisRSS
	case r.config.Basis == BasisCgroup:
		l.basis = BasisCgroup
		if l.cgroup.dir == "" {
			l.cgroup = r.own
		}
		if l.cgroup.dir == "" {
			return limit{}, errors.New("no cgroup below the root counts this target's memory: write memory.basis: rss")
		}
	case l.cgroup.dir != "":
		l.basis = BasisCgroup
	default:
		l.basis = BasisRSS
	}
	return l, nil
}

// usedOf is what counts against a limit, and where it is read between two sweeps.
type usedOf struct {
	limit limit
	reading
	from place
}

func (u *usedOf) ratio() float64 { return u.used / float64(u.limit.bytes) }

// fullest reads what is used of each limit and returns the one that is closest. An error means that
// what is used of one is not known, which may be the closest.
func (s *targetSource) fullest(all []limit, u *proc.Usage) (closest usedOf, err error) {
	for i, l := range all {
		now, err := s.usedOf(l, u)
		if i > 0 && l.cgroup.dir != "" && isGone(err) {
			s.limits.forget() // its members have ended, or are somewhere else
			continue
		}
		if err != nil {
			return usedOf{}, err
		}
		if i == 0 || now.ratio() > closest.ratio() {
			closest = now
		}
	}
	return closest, nil
}

func (s *targetSource) usedOf(l limit, u *proc.Usage) (usedOf, error) {
	out := usedOf{limit: l}
	if l.basis == BasisCgroup || l.basis == basisFullest {
		var err error
		out.from = place{cgroup: l.cgroup}
		out.reading, err = l.cgroup.read()
		return out, err
	}
	if u.Err != nil {
		return out, u.Err
	}
	out.from = place{tracker: s.opts.Tracker, target: s.target, population: u.Population, largest: l.basis == basisLargest}
	out.reading = exactly(float64(u.Used))
	if out.from.largest {
		out.reading = exactly(float64(u.Largest))
	}
	return out, nil
}
