package proc

import (
	"cmp"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// keepShown is how many refreshes in a row a shown group may be outside the top before a larger one
// is shown instead.
const keepShown = 10

// discovered returns the group of a process that no target takes, nil when its key cannot be
// read.
func (t *Tracker) discovered(p *process) *group {
	key, ok := t.groupKey(p)
	if !ok {
		return nil
	}
	if g := t.groups[key]; g != nil {
		return g
	}
	name := key
	if t.opts.Discover.By == ByUser {
		if u, err := user.LookupId(key); err == nil {
			name = u.Username
		}
	}
	g := &group{key: key, name: unusedName(t.names, targetName(name)), discovered: true}
	t.names[g.name] = true
	t.groups[key] = g
	return g
}

// noUnit is the group of processes that are in no unit, or in no cgroup but the root.
const noUnit = "none"

// groupKey returns what the process is grouped by; ok is false when it cannot be read.
func (t *Tracker) groupKey(p *process) (key string, ok bool) {
	switch t.opts.Discover.By {
	case ByUser:
		euid, err := t.facts.euid()
		return strconv.FormatUint(uint64(euid), 10), err == nil
	case ByUnit, ByCgroup:
		v2, v1, err := t.facts.cgroups()
		if err != nil {
			return "", false
		}
		path := cmp.Or(cgroupName(v2), cgroupName(v1))
		if t.opts.Discover.By == ByUnit {
			path = cmp.Or(unitOf(v2), unitOf(v1))
		}
		return cmp.Or(path, noUnit), true
	}
	return p.name, true
}

// rank decides which groups are shown. A group stays shown, even while its processes are being
// restarted, until it has been outside the top for keepShown refreshes.
func (t *Tracker) rank(ms int64) {
	t.ranking = t.ranking[:0]
	for key, g := range t.groups {
		if g.members == 0 && !g.visible {
			delete(t.groups, key)
			delete(t.names, g.name)
			continue
		}
		t.ranking = append(t.ranking, g)
	}
	slices.SortFunc(t.ranking, func(a, b *group) int {
		if c := cmp.Compare(b.sum.resident, a.sum.resident); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	t.showLargest(t.opts.Discover.Top-t.hideOutranked(), ms)
	t.sumOverflow()
	slices.SortFunc(t.ranking, func(a, b *group) int { return strings.Compare(a.name, b.name) })
}

// hideOutranked hides the groups that have been outside the top for too long, and returns how many
// are still shown.
func (t *Tracker) hideOutranked() (shown int) {
	for i, g := range t.ranking {
		if i < t.opts.Discover.Top && g.members > 0 {
			g.out = 0
		} else if g.visible {
			if g.out++; g.out >= keepShown {
				g.visible = false
				t.overflow.population++
			}
		}
		if g.visible {
			shown++
		}
	}
	return shown
}

// showLargest shows the largest groups that are not shown yet, at most so many.
func (t *Tracker) showLargest(most int, ms int64) {
	for i := 0; i < len(t.ranking) && i < t.opts.Discover.Top && most > 0; i++ {
		if g := t.ranking[i]; !g.visible && g.members > 0 {
			g.visible = true
			most--
			t.overflow.population++
			t.locate(g, ms)
		}
	}
}

// locate reads the cgroups of a group that has just come to be shown.
func (t *Tracker) locate(g *group, ms int64) {
	g.folding = false
	for _, p := range t.members {
		if p.group == g {
			t.readCgroup(p, ms)
			g.fold(p)
		}
	}
}

func (t *Tracker) sumOverflow() {
	o := t.overflow
	o.sum, o.members = sums{}, 0
	for _, g := range t.ranking {
		if !g.visible {
			o.sum.merge(&g.sum)
			o.members += g.members
		}
	}
}
