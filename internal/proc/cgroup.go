package proc

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
)

// cgroupPaths are paths in the unified hierarchy and in version 1's memory controller; "" where
// there is none or it is not known.
type cgroupPaths struct{ v2, v1 string }

// CgroupPaths are where a process is in the unified hierarchy and in version 1's memory controller.
type CgroupPaths struct{ V2, V1 string }

// startFolding forgets the cgroups of the members.
func (g *group) startFolding() {
	g.folding, g.unread, g.v2, g.v1 = false, false, "", ""
	clear(g.several)
	g.apart = nil
}

// cgroupsApart returns the cgroups of the members, sorted, where they are not all in the same; else none.
func (g *group) cgroupsApart() []CgroupPaths {
	if g.apart == nil && len(g.several) > 0 {
		g.apart = slices.SortedFunc(maps.Keys(g.several), func(a, b CgroupPaths) int {
			return cmp.Or(strings.Compare(a.V2, b.V2), strings.Compare(a.V1, b.V1))
		})
	}
	return g.apart
}

// cgroups returns the paths of the process in the unified hierarchy and in version 1's memory
// controller; "" where it is in none.
func (f *facts) cgroups() (v2, v1 string, err error) {
	if !f.hasGroups {
		f.hasGroups = true
		b, err := f.r.file(f.pid, "cgroup", longest)
		if err != nil {
			f.groupErr, f.lastErr = err, err
		} else {
			two, one := cgroup.Parse(b)
			if tree := f.env.tree; tree != nil {
				two, one = tree.Resolve(f.env.now, nil, true, two), tree.Resolve(f.env.now, nil, false, one)
			}
			f.v2, f.v1 = string(two), string(one)
		}
	}
	return f.v2, f.v1, f.groupErr
}

// within reports whether a cgroup is the given one or below it.
func within(path, outer string) bool {
	return path == outer || strings.HasPrefix(path, outer) && path[len(outer)] == '/'
}

// unitName completes the name of a unit as systemctl does.
func unitName(name string) string {
	if name == "" {
		return ""
	}
	switch filepath.Ext(name) {
	case ".service", ".scope", ".slice", ".socket", ".mount", ".swap":
		return name
	}
	return name + ".service"
}

// hasUnit reports whether a cgroup is that of a unit or below it. What stands below user@UID.service is that user's:
// he can start a unit of any name there, and make cgroups. users says that units of users count too.
func hasUnit(path, unit string, users bool) bool {
	for part := range strings.SplitSeq(path, "/") {
		switch name := unescapeUnit(part); {
		case name == unit:
			return true
		case !users && strings.HasPrefix(name, "user@") && strings.HasSuffix(name, ".service"):
			return false
		}
	}
	return false
}

// unitOf returns the innermost service or scope of a cgroup path, "" when it is in none.
func unitOf(path string) string {
	for path != "" {
		i := strings.LastIndexByte(path, '/')
		name := unescapeUnit(path[i+1:])
		if ext := filepath.Ext(name); ext == ".service" || ext == ".scope" {
			return name
		}
		path = path[:max(i, 0)]
	}
	return ""
}

// SystemUnit returns the unit of the system's own systemd that cgroups are in: the outermost service or scope; "" when they are
// in none. Below it others name cgroups as they like: users below user@UID.service, containers, and services with Delegate=.
func SystemUnit(v2, v1 string) string {
	for _, path := range []string{v2, v1} {
		for part := range strings.SplitSeq(path, "/") {
			name := unescapeUnit(part)
			if ext := filepath.Ext(name); ext == ".service" || ext == ".scope" {
				return name
			}
		}
	}
	return ""
}

// cgroupName returns a cgroup path as the key of a group: without the slashes at its ends, and without
// the levels that it goes up where it could not be resolved.
func cgroupName(path string) string { return strings.Trim(cgroup.Below(path), "/") }

// unescapeUnit undoes what systemd does to names that a kernel file could have: a leading "_".
func unescapeUnit(part string) string { return strings.TrimPrefix(part, "_") }

// readCgroup reads in which cgroups the process is. A string that another member has is shared.
func (t *Tracker) readCgroup(p *process, ms int64) {
	c := &p.slow.cgroups
	c.at = ms
	b, err := t.r.file(p.pid, "cgroup", longest)
	if failed := err != nil && !gone(err); failed != c.failed {
		c.failed, p.group.dirty = failed, true
	}
	if err != nil {
		return // what was read last stands, or the process ends
	}
	v2, v1 := cgroup.Parse(b)
	if tree := t.opts.Cgroups; tree != nil {
		v2, v1 = t.resolveCgroup(0, ms, v2), t.resolveCgroup(1, ms, v1)
	}
	if string(v2) == c.v2 && string(v1) == c.v1 {
		return
	}
	g := p.group
	c.v2, c.v1 = shared(v2, g.v2), shared(v1, g.v1)
	g.dirty = true
}

// resolveCgroup returns a path as the host has it, in a buffer of the Tracker's where it is another.
func (t *Tracker) resolveCgroup(version int, ms int64, path []byte) []byte {
	out := t.opts.Cgroups.Resolve(time.UnixMilli(ms), t.cgroupBuf[version], version == 0, path)
	if len(out) > 0 && (len(path) == 0 || &out[0] != &path[0]) {
		t.cgroupBuf[version] = out
	}
	return out
}

// shared returns the text as a string: s where that is the same.
func shared(b []byte, s string) string {
	if string(b) == s {
		return s
	}
	return string(b)
}

// fold takes a member's cgroups into those that contain all members.
func (g *group) fold(p *process) {
	g.unread = g.unread || p.slow.cgroups.failed
	its := CgroupPaths{p.slow.cgroups.v2, p.slow.cgroups.v1}
	if !g.folding {
		g.cgroupPaths, g.folding, g.first = p.slow.cgroups.cgroupPaths, true, its
		return
	}
	if its != g.first {
		if g.several == nil {
			g.several = map[CgroupPaths]bool{}
		}
		g.several[g.first], g.several[its] = true, true
	}
	g.v2, g.v1 = commonCgroup(g.v2, p.slow.cgroups.v2), commonCgroup(g.v1, p.slow.cgroups.v1)
}

// commonCgroup returns the deepest cgroup that contains both; "" (not known) stays so.
func commonCgroup(a, b string) string {
	if a == b || a == "" {
		return a
	}
	if b == "" {
		return ""
	}
	end := 0 // length of the common path
	for i := 0; ; i++ {
		aEnds, bEnds := i == len(a) || a[i] == '/', i == len(b) || b[i] == '/'
		if aEnds && bEnds {
			end = i
		}
		if i == len(a) || i == len(b) || a[i] != b[i] {
			break
		}
	}
	return a[:max(end, 1)]
}
