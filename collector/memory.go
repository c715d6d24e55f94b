package collector

import (
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The values of memory.basis.
const (
	BasisAuto   = "auto"   // cgroup where the smallest limit is a cgroup's, otherwise rss
	BasisRSS    = "rss"    // resident memory, pages that members share counted once
	BasisCgroup = "cgroup" // what the cgroup cannot reclaim: current - active_file - inactive_file - slab_reclaimable

	basisFullest   = "fullest_cgroup"  // as cgroup, of the fullest of several that hold members
	basisLargest   = "largest_process" // resident memory of the largest member, against limit_per_process
	basisAvailable = "available"       // of the host: its limit - MemAvailable - what the ZFS cache can give back
)

// The values of the label source of spillway_memory_limit_info.
const (
	sourceConfig       = "config"
	sourceCgroupV1     = "cgroup_v1"              // memory.limit_in_bytes
	sourceHierarchical = "cgroup_v1_hierarchical" // of an ancestor that is not visible
	sourceCgroupV2     = "cgroup_v2"              // memory.max
	sourceHigh         = "cgroup_v2_high"         // memory.high, beyond which the kernel slows the service down
	sourceHost         = "host"
)

// smallestLimit is below what any process needs: a smaller limit lacks its unit.
const smallestLimit = 1 << 20

// MemoryConfig is the limit of a target's memory.
type MemoryConfig struct {
	Limit           units.Bytes `yaml:"limit"`             // your own limit; the smallest of it, the cgroup's limits and the host's memory without huge pages counts
	LimitPerProcess units.Bytes `yaml:"limit_per_process"` // your own limit of each process, for services of many workers: the largest process counts, where it is closer to it than the target is to its limit

	Basis string `yaml:"basis"` // what is compared with the limit: auto is cgroup where the smallest limit is a cgroup's, else rss

	// Proportional asks for PSS and USS, which cost the target's processes a stall of up to 7 ms a
	// minute each; a process above 512 MiB is never asked.
	Proportional bool `yaml:"proportional"`
}

// Validate applies the defaults and reports every mistake.
func (c *MemoryConfig) Validate(report report.Func) {
	if c.Limit != 0 && c.Limit < smallestLimit {
		report("limit", "%d bytes are less than any process needs: write a size with its unit, such as 512MiB or 1GiB", int64(c.Limit))
	}
	switch per := c.LimitPerProcess; {
	case per != 0 && per < smallestLimit:
		report("limit_per_process", "%d bytes are less than any process needs: write a size with its unit, such as 512MiB or 1GiB", int64(per))
	case c.Limit > 0 && per > c.Limit:
		report("limit_per_process", "%s for one process is more than limit allows all of them: write at most %s", per, c.Limit)
	}
	switch c.Basis {
	case "":
		c.Basis = BasisAuto
	case BasisAuto, BasisRSS, BasisCgroup:
	default:
		report("basis", "%q is nothing to count by: write auto, rss or cgroup", c.Basis)
	}
}
