package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// cgroups returns the smallest limit of the cgroups of these paths and of all their ancestors, 0 bytes
// when there is none. own is the innermost that counts memory.
func (l *Limits) cgroups(now time.Time, v2, v1 string) (smallest limit, own cgroupDir, err error) {
	groups, err := l.opts.Cgroups.Find(now, v2, v1)
	if err != nil {
		return limit{}, cgroupDir{}, err
	}
	for _, g := range groups {
		if exists(g.Dirs[0], usageFile(g.Unified)) {
			own = cgroupDir{g.Dirs[0], g.Unified}
		}
		if err := smallest.narrow(g.Dirs, g.Unified); err != nil {
			return limit{}, cgroupDir{}, err
		}
	}
	return smallest, own, nil
}

// apart returns the smallest limits of the cgroups that some members of a target are in and not all:
// those below the cgroup that holds all of them.
func (l *Limits) apart(now time.Time, u *proc.Usage) (out []limit, err error) {
	if len(u.Apart) == 0 {
		return nil, nil
	}
	common, err := l.opts.Cgroups.Find(now, u.CgroupV2, u.CgroupV1)
	if err != nil {
		return nil, err
	}
	above := make(map[string]bool)
	for _, g := range common {
		for _, dir := range g.Dirs {
			above[dir] = true
		}
	}
	for _, paths := range u.Apart {
		groups, err := l.opts.Cgroups.Find(now, paths.V2, paths.V1)
		if isGone(err) {
			continue // its members have ended
		}
		if err != nil {
			return nil, err
		}
		var smallest limit
		for _, g := range groups {
			below := slices.DeleteFunc(g.Dirs, func(dir string) bool { return above[dir] })
			if err := smallest.narrow(below, g.Unified); err != nil {
				return nil, err
			}
		}
		smallest.basis = basisFullest
		if smallest.bytes > 0 && !slices.Contains(out, smallest) {
			out = append(out, smallest)
		}
	}
	return out, nil
}

// isGone reports whether a cgroup is not there any more.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)
}

// narrow makes the limit the smallest of what it is and of the limits of a cgroup and those above it.
func (l *limit) narrow(dirs []string, unified bool) error {
	files := []struct{ name, source string }{{"memory.limit_in_bytes", sourceCgroupV1}}
	if unified {
		files = []struct{ name, source string }{{"memory.max", sourceCgroupV2}, {"memory.high", sourceHigh}}
	}
	for _, dir := range dirs {
		for _, f := range files {
			n, err := readLimit(filepath.Join(dir, f.name))
			if err != nil {
				return err
			}
			if n > 0 && (l.bytes == 0 || n < l.bytes) {
				*l = limit{bytes: n, source: f.source, cgroup: cgroupDir{dir, unified}}
			}
		}
	}
	if unified {
		return nil
	}
	return l.narrowByAncestors(dirs)
}

// narrowByAncestors takes into account what version 1 says of all ancestors, those that are not visible
// from inside a container too. Of what is visible, the outermost cgroup that such a limit holds for
// has most of what counts against it.
func (l *limit) narrowByAncestors(dirs []string) error {
	for _, dir := range slices.Backward(dirs) {
		raw, err := os.ReadFile(filepath.Join(dir, "memory.stat"))
		if isGone(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read cgroup limit: %w", err)
		}
		n, err := parseHierarchical(raw)
		if err != nil {
			return fmt.Errorf("memory.stat of %s: %w", dir, err)
		}
		if n > 0 && (l.bytes == 0 || n < l.bytes) {
			*l = limit{bytes: n, source: sourceHierarchical, cgroup: cgroupDir{dir, false}}
		}
	}
	return nil
}

// parseHierarchical finds the smallest limit of a cgroup of version 1 and its ancestors; 0 is none.
func parseHierarchical(b []byte) (int64, error) {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		value, found := bytes.CutPrefix(line, []byte("hierarchical_memory_limit"))
		if !found {
			continue
		}
		n, err := parseLimit(value)
		if err != nil {
			return 0, fmt.Errorf("hierarchical_memory_limit %w", err)
		}
		return n, nil
	}
	return 0, nil
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
// root cgroup. A limit of 0 bytes, which stops everything, is reported as 1.
func readLimit(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if isGone(err) {
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
