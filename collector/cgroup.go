package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const (
	limitsEvery = 15 * time.Second // how often limits are read; what is used is read with every sample
	mountsEvery = 10 * time.Minute
	noLimit     = 1 << 62 // version 1 writes the largest number of pages, 9223372036854771712, for none
)

// cgroup is one directory of a cgroup hierarchy; dir is "" for none.
type cgroup struct {
	dir     string
	unified bool // version 2
}

// hierarchy is a mounted cgroup hierarchy with the memory controller.
type hierarchy struct {
	dir     string // where it is mounted
	root    string // which cgroup is mounted there
	unified bool
}

// LimitsOptions configure Limits.
type LimitsOptions struct {
	Procfs string // default /proc
	Sysfs  string // default /sys; cgroups are mounted below its fs/cgroup
}

// Limits reads the limits that the host and its cgroups set. The sources of all targets share
// one; it is safe for concurrent use.
type Limits struct {
	opts LimitsOptions

	mu          sync.Mutex
	host        int64 // what hostLimit returned at hostAt
	hostAt      time.Time
	hierarchies []hierarchy
	mountsAt    time.Time
}

// NewLimits returns a reader that has read nothing yet.
func NewLimits(o LimitsOptions) *Limits {
	if o.Procfs == "" {
		o.Procfs = "/proc"
	}
	if o.Sysfs == "" {
		o.Sysfs = "/sys"
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
	sizeBytes, err := hostLimit(&info)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.host, l.hostAt = sizeBytes, now
	return sizeBytes, nil
}

// mounts returns the hierarchies of memory controllers below sysfs.
func (l *Limits) mounts(now time.Time) []hierarchy {
	l.mu.Lock()
	found, at := l.hierarchies, l.mountsAt
	l.mu.Unlock()
	if !stale(at, now, mountsEvery) {
		return found
	}
	base := filepath.Join(l.opts.Sysfs, "fs/cgroup")
	if b, err := os.ReadFile(filepath.Join(l.opts.Procfs, "self/mountinfo")); err == nil {
		found = parseMounts(b, base)
	}
	if len(found) == 0 {
		found = guessMounts(base)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hierarchies, l.mountsAt = found, now
	return found
}

// parseMounts finds in /proc/PID/mountinfo the cgroup hierarchies at or below base.
func parseMounts(b []byte, base string) []hierarchy {
	var out []hierarchy
	for line := range strings.Lines(string(b)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(super) < 3 {
			continue
		}
		h := hierarchy{root: unescape(fields[3]), dir: unescape(fields[4]), unified: super[0] == "cgroup2"}
		if h.dir != base && !strings.HasPrefix(h.dir, base+"/") {
			continue
		}
		if h.unified || super[0] == "cgroup" && hasWord(super[2], "memory") {
			out = append(out, h)
		}
	}
	return out
}

func hasWord(list, word string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == word {
			return true
		}
	}
	return false
}

// unescape undoes mountinfo's octal escapes of blanks and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// guessMounts looks for the usual places where mountinfo cannot tell, as for a tree that was
// mounted into a container.
func guessMounts(base string) []hierarchy {
	if exists(base, "cgroup.controllers") {
		return []hierarchy{{dir: base, root: "/", unified: true}}
	}
	var out []hierarchy
	if dir := filepath.Join(base, "unified"); exists(dir, "cgroup.controllers") {
		out = append(out, hierarchy{dir: dir, root: "/", unified: true})
	}
	if dir := filepath.Join(base, "memory"); exists(dir, "memory.stat") {
		out = append(out, hierarchy{dir: dir, root: "/"})
	}
	return out
}

// locate returns the directories from that of a cgroup up to the hierarchy's top. Paths in /proc
// are relative to the reader's cgroup namespace.
func (h hierarchy) locate(cg string) ([]string, error) {
	if cg == "/.." || strings.HasPrefix(cg, "/../") {
		return nil, fmt.Errorf("cgroup %q is outside this process's cgroup namespace: start the exporter in the host's, or write memory.limit", cg)
	}
	if h.root != "/" && (cg == h.root || strings.HasPrefix(cg, h.root+"/")) {
		cg = cg[len(h.root):]
	}
	cg = path.Clean("/" + cg)
	if _, err := os.Stat(filepath.Join(h.dir, cg)); err != nil {
		return nil, fmt.Errorf("cgroup %q: %w: mount the cgroups of the host at %s, or write memory.limit", cg, err, h.dir)
	}
	var dirs []string
	for ; cg != "/"; cg = path.Dir(cg) {
		dirs = append(dirs, filepath.Join(h.dir, cg))
	}
	return append(dirs, h.dir), nil
}

// cgroups returns the smallest limit of the cgroups that hold a target and of all their
// ancestors, 0 bytes when there is none. own is the target's own cgroup that counts memory.
func (l *Limits) cgroups(now time.Time, u *proc.Usage) (smallest limit, own cgroup, err error) {
	for _, h := range l.mounts(now) {
		cg, source, files := u.CgroupV1, sourceCgroupV1, []string{"memory.limit_in_bytes"}
		if h.unified {
			cg, source, files = u.CgroupV2, sourceCgroupV2, []string{"memory.max", "memory.high"}
		}
		if cg == "" {
			continue
		}
		dirs, err := h.locate(cg)
		if err != nil {
			return limit{}, cgroup{}, err
		}
		for i, dir := range dirs {
			if i == 0 && exists(dir, usageFile(h.unified)) {
				own = cgroup{dir, h.unified}
			}
			for _, name := range files {
				n, err := readLimit(filepath.Join(dir, name))
				if err != nil {
					return limit{}, cgroup{}, err
				}
				if n > 0 && (smallest.bytes == 0 || n < smallest.bytes) {
					smallest = limit{bytes: n, source: source, cgroup: cgroup{dir, h.unified}}
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

// used returns what the cgroup uses and the kernel cannot simply drop: its usage without the
// page cache and the reclaimable slab. (The "working set", which leaves out inactive pages only,
// counts the cache of a service that reads files and stays near the limit for ever.)
func (c cgroup) used() (int64, error) {
	b, err := os.ReadFile(filepath.Join(c.dir, usageFile(c.unified)))
	if err != nil {
		return 0, fmt.Errorf("read cgroup usage: %w", err)
	}
	usage, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %q is not a number of bytes", usageFile(c.unified), c.dir, bytes.TrimSpace(b))
	}
	if b, err = os.ReadFile(filepath.Join(c.dir, "memory.stat")); err != nil {
		return 0, fmt.Errorf("read cgroup usage: %w", err)
	}
	reclaimable, err := parseReclaimable(b, c.unified)
	if err != nil {
		return 0, fmt.Errorf("memory.stat of %s: %w", c.dir, err)
	}
	return max(usage-reclaimable, 0), nil // the two files are read one after the other
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
