package collector

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	at   time.Time
	dir  string
	err  error   // of the last reading
	seen []event // what it published

	// last is the cgroup of the last reading with its kills, above those of the ones above it, the
	// nearest first, which count what happens in all cgroups below: a kill that takes its cgroup with
	// it, as when a container is restarted, is seen in the nearest that stays.
	last  counted
	above []counted
	lost  float64 // kills of cgroups that are gone

	counters map[string]*monotonic // by family and label
}

type event struct {
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
		for i := range c.seen {
			b.Set(c.seen[i].desc, c.seen[i].value, c.seen[i].values...)
		}
		return c.err
	}
	if c.counters == nil {
		c.counters = make(map[string]*monotonic)
	}
	c.at, c.dir, c.seen = b.Time, own.dir, c.seen[:0]
	c.err = c.read(own, target, func(d *series.Desc, raw float64, values ...string) {
		key := d.Name + " " + values[len(values)-1]
		if c.counters[key] == nil {
			c.counters[key] = &monotonic{}
		}
		c.seen = append(c.seen, event{d, c.counters[key].set(b, store, d, raw, values...), values})
	})
	return c.err
}

// read puts every figure that can be read; the error says which cannot.
func (c *cgroupEvents) read(own cgroupDir, target string, put func(d *series.Desc, raw float64, values ...string)) error {
	events, err := own.events()
	if isGone(err) {
		return nil // the root cgroup, or gone at this moment: the next reading knows more
	}
	if kills, ok := events[oomKill]; ok {
		c.follow(own, kills)
		put(metric.CgroupOOMKills, c.lost+kills, target)
	}
	for _, name := range memoryEvents {
		if n, ok := events[name]; ok {
			put(metric.CgroupEvents, n, target, name)
		}
	}
	if own.unified {
		err = errors.Join(err, setCgroupPressure(put, target, own))
	}
	return err
}

// counted is a cgroup and the kills in it and below it.
type counted struct {
	dir   string
	inode uint64
	kills float64
}

// follow notes the kills of a cgroup that was exchanged for another since the last reading.
func (c *cgroupEvents) follow(own cgroupDir, kills float64) {
	now := counted{own.dir, inodeOf(own.dir), kills}
	var above []counted
	if own.unified { // version 1 counts in each cgroup its own only
		above = countAbove(own.dir)
	}
	switch last := c.last; {
	case last.dir == "" || last.dir == now.dir && last.inode == now.inode:
	case last.dir != now.dir && inodeOf(last.dir) == last.inode:
		// Both are there: the target is found in a wider or narrower one. Nothing was killed by that.
		c.lost += last.kills - kills
	default:
		// What came in since the last reading, less what the new one counts itself.
		c.lost += last.kills + max(cameIn(c.above, above)-kills, 0)
	}
	c.last, c.above = now, above
}

// countAbove counts the cgroups above one, up to the root, which has no events. One whose kills cannot
// be read is left out: the one above it has counted them.
func countAbove(dir string) (out []counted) {
	for {
		dir = filepath.Dir(dir)
		events, _ := (cgroupDir{dir, true}).events()
		if events == nil {
			return out
		}
		if kills, ok := events[oomKill]; ok {
			out = append(out, counted{dir, inodeOf(dir), kills})
		}
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
	var errs []error
	for _, resource := range resources {
		p, err := readPressure(filepath.Join(own.dir, resource+".pressure"))
		if p.hasSome {
			put(metric.CgroupWaiting, p.some, target, resource)
		}
		if p.hasFull {
			put(metric.CgroupStalled, p.full, target, resource)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// events reads memory.events of version 2, or what version 1 has of it: oom_kill in
// memory.oom_control (since Linux 4.13) and the count of failures. It is nil when there is no such file;
// with an error otherwise it has what could be understood.
func (c cgroupDir) events() (map[string]float64, error) {
	name, wanted := "memory.events", append([]string{oomKill}, memoryEvents...)
	if !c.unified {
		name, wanted = "memory.oom_control", []string{oomKill}
	}
	raw, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		return nil, fmt.Errorf("read events of a cgroup: %w", err)
	}
	out, err := parseEvents(raw, wanted...)
	if err != nil {
		err = fmt.Errorf("%s of %s: %w", name, c.dir, err)
	}
	if c.unified {
		return out, err
	}
	raw, failed := os.ReadFile(filepath.Join(c.dir, "memory.failcnt"))
	if failed != nil { // not every kernel has it
		return out, err
	}
	n, failed := parseUsage(raw)
	if failed != nil {
		return out, errors.Join(err, fmt.Errorf("memory.failcnt of %s: %w", c.dir, failed))
	}
	out["max"] = float64(n)
	return out, err
}

// parseEvents reads lines of a name and a number. It looks at those with the given names only; one
// of them that has no number is left out, and the error names it.
func parseEvents(b []byte, names ...string) (map[string]float64, error) {
	out := make(map[string]float64, len(names))
	var errs []error
	for line := range bytes.Lines(b) {
		name, value, _ := strings.Cut(string(bytes.TrimSpace(line)), " ")
		if !slices.Contains(names, name) {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %q is not a number", name, value))
			continue
		}
		out[name] = float64(n)
	}
	return out, errors.Join(errs...)
}
