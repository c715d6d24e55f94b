package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const oomKill = "oom_kill"

var (
	memoryEvents = []string{"low", "high", "max", "oom"}
	resources    = []string{"cpu", "io", "memory"}
)

// cgroupEvents reads what happened to the cgroup of one target.
type cgroupEvents struct {
	at    time.Time
	dir   string
	inode uint64
	// killed is the last count of the cgroup, above those of the ones above it, the nearest first, which
	// count what happens in all cgroups below: a kill that takes its cgroup with it, as when a container
	// is restarted, is seen in the nearest that stays.
	killed float64
	above  []counted
	lost   float64 // kills of cgroups that are gone

	counters map[string]*monotonic // by family and label
	told     []told                // what the last reading published
}

type told struct {
	desc   *series.Desc
	value  float64
	values []string
}

// set publishes the events, read every 15 seconds. The root of a hierarchy has none.
func (c *cgroupEvents) set(b *series.Batch, store *series.Store, target string, own cgroupDir) error {
	if own.dir == "" {
		return nil
	}
	if own.dir == c.dir && !stale(c.at, b.Time, limitsEvery) {
		for i := range c.told {
			b.Set(c.told[i].desc, c.told[i].value, c.told[i].values...)
		}
		return nil
	}
	if c.counters == nil {
		c.counters = make(map[string]*monotonic)
	}
	c.at, c.told = b.Time, c.told[:0]
	put := func(d *series.Desc, raw float64, values ...string) {
		key := d.Name + " " + values[len(values)-1]
		if c.counters[key] == nil {
			c.counters[key] = &monotonic{}
		}
		c.told = append(c.told, told{d, c.counters[key].set(b, store, d, raw, values...), values})
	}
	events, err := own.events()
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return nil // the root cgroup, or gone at this moment: the next reading knows more
		}
		return err
	}
	kills, counted := events[oomKill]
	c.follow(own, kills)
	if counted {
		put(metric.CgroupOOMKills, c.lost+kills, target)
	}
	for _, name := range memoryEvents {
		if n, ok := events[name]; ok {
			put(metric.CgroupEvents, n, target, name)
		}
	}
	if own.unified {
		return setCgroupPressure(put, target, own)
	}
	return nil
}

// counted is a cgroup and the kills in it and below it.
type counted struct {
	dir   string
	inode uint64
	kills float64
}

// follow notes the kills of a cgroup that was exchanged for another since the last reading.
func (c *cgroupEvents) follow(own cgroupDir, kills float64) {
	inode := inodeOf(own.dir)
	var above []counted
	if own.unified { // version 1 counts in each cgroup its own only
		above = countAbove(own.dir)
	}
	switch {
	case c.dir == "" || c.dir == own.dir && c.inode == inode:
	case c.dir != own.dir && inodeOf(c.dir) == c.inode:
		// Both are there: the target is found in a wider or narrower one. Nothing was killed by that.
		c.lost += c.killed - kills
	default:
		// What came in since the last reading, less what the new one counts itself.
		c.lost += c.killed + max(cameIn(c.above, above)-kills, 0)
	}
	c.dir, c.inode, c.killed, c.above = own.dir, inode, kills, above
}

// countAbove counts the cgroups above one, up to the root, which has no events.
func countAbove(dir string) (out []counted) {
	for {
		dir = filepath.Dir(dir)
		events, err := (cgroupDir{dir, true}).events()
		if err != nil {
			return out
		}
		out = append(out, counted{dir, inodeOf(dir), events[oomKill]})
	}
}

// cameIn returns the kills that the nearest cgroup which both have counted since before.
func cameIn(before, after []counted) float64 {
	for _, a := range after {
		for _, b := range before {
			if a.dir == b.dir && a.inode == b.inode {
				return a.kills - b.kills
			}
		}
	}
	return 0
}

// inodeOf returns the inode of a folder, 0 when it is gone.
func inodeOf(dir string) uint64 {
	info, err := os.Stat(dir)
	if err != nil {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// setCgroupPressure publishes the pressure stall information of a cgroup.
func setCgroupPressure(put func(d *series.Desc, raw float64, values ...string), target string, own cgroupDir) error {
	for _, resource := range resources {
		raw, err := os.ReadFile(filepath.Join(own.dir, resource+".pressure"))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, fs.ErrPermission):
			continue // not built in, switched off, or not for this user
		case err != nil:
			return fmt.Errorf("read pressure of a cgroup: %w", err)
		}
		some, full, err := parsePressure(raw)
		if err != nil {
			return fmt.Errorf("%s.pressure of %s: %w", resource, own.dir, err)
		}
		if some >= 0 {
			put(metric.CgroupWaiting, some, target, resource)
		}
		if full >= 0 {
			put(metric.CgroupStalled, full, target, resource)
		}
	}
	return nil
}

// events reads memory.events of version 2, or what version 1 has of it: oom_kill in
// memory.oom_control (since Linux 4.13) and the count of failures.
func (c cgroupDir) events() (map[string]float64, error) {
	if c.unified {
		raw, err := os.ReadFile(filepath.Join(c.dir, "memory.events"))
		if err != nil {
			return nil, fmt.Errorf("read events of a cgroup: %w", err)
		}
		return parseEvents(raw)
	}
	raw, err := os.ReadFile(filepath.Join(c.dir, "memory.oom_control"))
	if err != nil {
		return nil, fmt.Errorf("read events of a cgroup: %w", err)
	}
	all, err := parseEvents(raw)
	if err != nil {
		return nil, fmt.Errorf("memory.oom_control of %s: %w", c.dir, err)
	}
	out := make(map[string]float64)
	if n, ok := all[oomKill]; ok {
		out[oomKill] = n
	}
	if raw, err = os.ReadFile(filepath.Join(c.dir, "memory.failcnt")); err == nil {
		if n, err := strconv.ParseUint(string(bytes.TrimSpace(raw)), 10, 64); err == nil {
			out["max"] = float64(n)
		}
	}
	return out, nil
}

// parseEvents reads lines of a name and a number.
func parseEvents(b []byte) (map[string]float64, error) {
	out := make(map[string]float64)
	for line := range strings.Lines(string(b)) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if !found || err != nil {
			return nil, fmt.Errorf("%q is no name with a number", strings.TrimSpace(line))
		}
		out[name] = float64(n)
	}
	return out, nil
}

// parsePressure returns the seconds of "some" and "full", -1 for a line that is not there.
func parsePressure(b []byte) (some, full float64, err error) {
	some, full = -1, -1
	for line := range strings.Lines(string(b)) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, total, found := strings.Cut(rest, "total=")
		micros, err := strconv.ParseUint(total, 10, 64)
		if !found || err != nil {
			return -1, -1, fmt.Errorf("%q has no total", strings.TrimSpace(line))
		}
		switch kind {
		case "some":
			some = float64(micros) / 1e6
		case "full":
			full = float64(micros) / 1e6
		}
	}
	return some, full, nil
}
