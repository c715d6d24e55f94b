package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const (
	limitsEvery = 15 * time.Second // how often limits are read; what is used is read with every sample
	noLimit     = 1 << 62          // version 1 writes the largest number of pages, 9223372036854771712, for none
)

// cgroupDir is one directory of a cgroup hierarchy; dir is "" for none.
type cgroupDir struct {
	dir     string
	unified bool // version 2
}

// LimitsOptions configure Limits.
type LimitsOptions struct {
	Procfs string // default /proc
	Sysfs  string // default /sys; cgroups are mounted below its fs/cgroup

	// Cgroups is the tree that the paths of a Usage are of, the same that its Tracker resolves them
	// by; default one of its own.
	Cgroups *cgroup.Tree
}

// Limits reads the limits that the host and its cgroups set. The sources of all targets share
// one; it is safe for concurrent use.
type Limits struct {
	opts LimitsOptions

	mu     sync.Mutex
	host   int64 // what meminfo said at hostAt
	hostAt time.Time
}

// NewLimits returns a reader that has read nothing yet.
func NewLimits(o LimitsOptions) *Limits {
	if o.Procfs == "" {
		o.Procfs = "/proc"
	}
	if o.Sysfs == "" {
		o.Sysfs = "/sys"
	}
	if o.Cgroups == nil {
		o.Cgroups = cgroup.NewTree(cgroup.Options{Procfs: o.Procfs, Sysfs: o.Sysfs})
	}
	return &Limits{opts: o}
}

// stale reports whether something that was read at last is to be read again at now.
func stale(last, now time.Time, every time.Duration) bool {
	return last.IsZero() || now.Sub(last) >= every || now.Before(last)
}

// hostLimit returns the memory that the processes of the host can have.
func (l *Limits) hostLimit(now time.Time) (int64, error) {
	l.mu.Lock()
	known, at := l.host, l.hostAt
	l.mu.Unlock()
	if !stale(at, now, limitsEvery) {
		return known, nil
	}
	info, err := meminfo(l.opts.Procfs)
	if err != nil {
		return 0, err
	}
	sizeBytes, err := info.limit()
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.host, l.hostAt = sizeBytes, now
	return sizeBytes, nil
}

// cgroups returns the smallest limit of the cgroups that hold a target and of all their
// ancestors, 0 bytes when there is none. own is the target's own cgroup that counts memory.
func (l *Limits) cgroups(now time.Time, u *proc.Usage) (smallest limit, own cgroupDir, err error) {
	groups, err := l.opts.Cgroups.Find(now, u.CgroupV2, u.CgroupV1)
	if err != nil {
		return limit{}, cgroupDir{}, err
	}
	for _, g := range groups {
		source, files := sourceCgroupV1, []string{"memory.limit_in_bytes"}
		if g.Unified {
			source, files = sourceCgroupV2, []string{"memory.max", "memory.high"}
		}
		for i, dir := range g.Dirs {
			if i == 0 && exists(dir, usageFile(g.Unified)) {
				own = cgroupDir{dir, g.Unified}
			}
			for _, name := range files {
				n, err := readLimit(filepath.Join(dir, name))
				if err != nil {
					return limit{}, cgroupDir{}, err
				}
				if n > 0 && (smallest.bytes == 0 || n < smallest.bytes) {
					smallest = limit{bytes: n, source: source, cgroup: cgroupDir{dir, g.Unified}}
				}
			}
		}
	}
	return smallest, own, nil
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func usageFile(unified bool) string {
	if unified {
		return "memory.current"
	}
	return "memory.usage_in_bytes"
}

// readLimit returns 0 when the file says that there is no limit, or does not exist, as in the
// root cgroup. A limit of 0 bytes, which stops everything, is told as 1.
func readLimit(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read cgroup limit: %w", err)
	}
	n, err := parseLimit(b)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return n, nil
}

func parseLimit(b []byte) (int64, error) {
	text := string(bytes.TrimSpace(b))
	if text == "max" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is neither a number of bytes nor max", text)
	case n >= noLimit:
		return 0, nil
	}
	return max(int64(n), 1), nil
}

// read returns what the cgroup uses, and of it what the kernel cannot simply drop: its usage without
// the page cache and the reclaimable slab. (The "working set", which leaves out inactive pages only,
// counts the cache of a service that reads files and stays near the limit for ever.)
func (c cgroupDir) read() (reading, error) {
	b, err := os.ReadFile(filepath.Join(c.dir, usageFile(c.unified)))
	if err != nil {
		return reading{}, fmt.Errorf("read cgroup usage: %w", err)
	}
	usage, err := parseUsage(b)
	if err != nil {
		return reading{}, fmt.Errorf("%s of %s: %w", usageFile(c.unified), c.dir, err)
	}
	if b, err = os.ReadFile(filepath.Join(c.dir, "memory.stat")); err != nil {
		return reading{}, fmt.Errorf("read cgroup usage: %w", err)
	}
	reclaimable, err := parseReclaimable(b, c.unified)
	if err != nil {
		return reading{}, fmt.Errorf("memory.stat of %s: %w", c.dir, err)
	}
	return cgroupReading(usage, reclaimable), nil
}

// cgroupReading is what two files say that are read one after the other.
func cgroupReading(usage, reclaimable int64) reading {
	return reading{bound: float64(usage), used: float64(max(usage-reclaimable, 0)), exact: true}
}

// parseReclaimable adds up what memory.stat counts as page cache and reclaimable slab. Version 1
// has the sums over the children under names of their own, and no figure for the slab.
func parseReclaimable(b []byte, unified bool) (sum int64, err error) {
	names := []string{"total_active_file", "total_inactive_file"}
	required := 2
	if unified {
		names = []string{"active_file", "inactive_file", "slab_reclaimable"}
	}
	found := 0
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		name, value, _ := bytes.Cut(line, []byte(" "))
		for i, want := range names {
			if string(name) != want {
				continue
			}
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 || n > noLimit {
				return 0, fmt.Errorf("%s %q is not a number of bytes", want, value)
			}
			sum += n
			if i < required {
				found++
			}
		}
	}
	if found != required {
		return 0, errors.New("active_file and inactive_file are missing")
	}
	return sum, nil
}
