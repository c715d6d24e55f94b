package collector

import (
	"errors"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The values of memory.basis.
const (
	BasisAuto   = "auto"   // cgroup where the smallest limit is a cgroup's, otherwise rss
	BasisRSS    = "rss"    // resident memory, pages that members share counted once
	BasisCgroup = "cgroup" // what the cgroup cannot reclaim: current - active_file - inactive_file - slab_reclaimable

	basisAvailable = "available" // of the host: its limit - MemAvailable - what the ZFS cache can give back
)

// The values of the label source of spillway_memory_limit_info.
const (
	sourceConfig   = "config"
	sourceCgroupV1 = "cgroup_v1"
	sourceCgroupV2 = "cgroup_v2"
	sourceHost     = "host"
)

// smallestLimit is below what any process needs: a smaller limit lacks its unit.
const smallestLimit = 1 << 20

// MemoryConfig is the limit of a target's memory.
type MemoryConfig struct {
	Limit units.Bytes `yaml:"limit"` // your own limit; the smallest of it, the cgroup's limits and the host's memory without huge pages counts
	Basis string      `yaml:"basis"` // what is compared with the limit: auto is cgroup where the smallest limit is a cgroup's, else rss

	// Proportional asks for PSS and USS, which cost the target's processes a stall of up to 7 ms a
	// minute each; a process above 512 MiB is never asked.
	Proportional bool `yaml:"proportional"`
}

// Validate applies the defaults and reports every mistake.
func (c *MemoryConfig) Validate(report report.Func) {
	if c.Limit != 0 && c.Limit < smallestLimit {
		report("limit", "%d bytes are less than any process needs: write a size with its unit, such as 512MiB or 1GiB", int64(c.Limit))
	}
	switch c.Basis {
	case "":
		c.Basis = BasisAuto
	case BasisAuto, BasisRSS, BasisCgroup:
	default:
		report("basis", "%q is nothing to count by: write auto, rss or cgroup", c.Basis)
	}
}

// limit is the smallest limit of a target.
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

// limitReader finds the smallest limit of one target and remembers it for a while.
type limitReader struct {
	limits *Limits
	config MemoryConfig

	last   limit
	own    cgroupDir // that holds the target and counts its memory
	at     time.Time
	v2, v1 string // the cgroups that it was read for
}

// read returns the smallest limit: the config's, a cgroup's, the host's. A discovered group is
// counted by its own RSS, unless it stands for a whole container: a limit that it shares with the
// rest of one says nothing about this group. An error means that a smaller limit than those known may exist.
func (r *limitReader) read(now time.Time, u *proc.Usage, discovered bool) (limit, error) {
	if r.v2 == u.CgroupV2 && r.v1 == u.CgroupV1 && !stale(r.at, now, limitsEvery) {
		return r.last, nil
	}
	l, err := r.find(now, u, discovered)
	if err != nil {
		r.at = time.Time{} // the next read is a fresh one
		return limit{}, err
	}
	r.last, r.at, r.v2, r.v1 = l, now, u.CgroupV2, u.CgroupV1
	return l, nil
}

func (r *limitReader) find(now time.Time, u *proc.Usage, discovered bool) (limit, error) {
	group, own, err := r.limits.cgroups(now, u)
	r.own = own
	known := r.config.Limit > 0 || discovered && !u.Whole
	if err != nil && (!known || r.config.Basis == BasisCgroup) {
		return limit{}, err
	}
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
	case discovered && !u.Whole, r.config.Basis == BasisRSS:
		l.basis = BasisRSS
	case r.config.Basis == BasisCgroup:
		l.basis = BasisCgroup
		if l.cgroup.dir == "" {
			l.cgroup = own
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
