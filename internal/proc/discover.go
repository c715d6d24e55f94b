package proc

import (
	"cmp"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/container"
)

// keepShown is how many refreshes in a row a shown group may be outside the top before a larger one
// is shown instead.
const keepShown = 10

// discovered returns the group of a process that no target takes, nil when its key cannot be
// read.
func (t *Tracker) discovered(p *process) *group {
	key, ok := t.keyOf(p)
	if !ok {
		return nil
	}
	if g := t.groups[key.key]; g != nil {
		return g
	}
	name := cmp.Or(key.name, key.key)
	if t.opts.Discover.By == ByUser {
		if u, err := user.LookupId(key.key); err == nil {
			name = u.Username
		}
	}
	return t.groupOf(key, targetName(name, key.path))
}

// mostName bounds the name of a group that a template makes of what processes say of themselves.
const mostName = 200

// named returns the group of a name that discover gives, or the target of that name where it is joined.
func (t *Tracker) named(name string) *group {
	if g := t.byName[name]; g != nil && t.admits(g) {
		return g
	}
	return t.groupOf(groupKey{key: "group " + name}, targetName(name[:min(len(name), mostName)], true))
}

// groupOf returns the group of a key, which is made anew where there is none yet.
func (t *Tracker) groupOf(key groupKey, base string) *group {
	if g := t.groups[key.key]; g != nil {
		return g
	}
	if g := t.predecessor(base, key); g != nil {
		delete(t.groups, g.key)
		g.key = key.key
		t.groups[g.key] = g
		return g
	}
	g := &group{key: key.key, base: base, name: unusedName(t.names, base), discovered: true, children: t.opts.Discover.Children}
	g.since = t.facts.env.now.UnixMilli()
	g.present = g.since
	t.names[g.name] = true
	t.groups[g.key] = g
	return g
}

// groupKey is what processes of one group have in common.
type groupKey struct {
	key, name string // name is "" where it is the key
	path      bool   // the name is a path
	succeeds  bool   // it takes over a group of its name that has no members any more
}

// predecessor returns the group that a container or pod succeeds to: one of the same name, all of whose
// processes have ended. So a restart is one of the same target, and of two that run at a time, as
// during a rolling update, each is a target.
func (t *Tracker) predecessor(base string, key groupKey) *group {
	if !key.succeeds {
		return nil
	}
	var first *group
	for _, g := range t.groups {
		if g.base == base && g.members == 0 && isContainerKey(g.key) && (first == nil || g.name < first.name) {
			first = g
		}
	}
	return first
}

// noUnit is the group of processes that are in no unit, or in no cgroup but the root.
const noUnit = "none"

// keyOf returns what the process is grouped by; ok is false when it cannot be read.
func (t *Tracker) keyOf(p *process) (key groupKey, ok bool) {
	switch by := t.opts.Discover.By; by {
	case ByUser:
		euid, err := t.facts.euid()
		return groupKey{key: strconv.FormatUint(uint64(euid), 10)}, err == nil
	case ByUnit, ByCgroup, ByContainer, ByPod:
		return t.facts.serviceKey(by)
	}
	return groupKey{key: p.name}, true
}

// serviceKey groups by the container, whose scope has another name after each restart, and what is in
// none by its cgroup or unit. A container of Podman that runs inside of a service is that service.
func (f *facts) serviceKey(by string) (key groupKey, ok bool) {
	v2, v1, err := f.cgroups()
	if err != nil {
		return groupKey{}, false
	}
	unit := cmp.Or(unitOf(v2), unitOf(v1))
	if c, _ := f.container(); c != nil && (by != ByUnit || c.Engine != container.Podman || !isService(unit)) {
		return containerKey(c, by), true
	}
	if by == ByCgroup {
		return groupKey{key: cmp.Or(cgroupName(v2), cgroupName(v1), noUnit)}, true
	}
	return groupKey{key: cmp.Or(unit, noUnit)}, true
}

// isService reports whether a unit is a service of its own, not the manager of a user's.
func isService(unit string) bool {
	return strings.HasSuffix(unit, ".service") && !strings.HasPrefix(unit, "user@")
}

// rank decides which groups are shown. A group stays shown, even while its processes are being
// restarted, until it has been outside the top for keepShown refreshes. One that is not lasting yet has
// no place in the top.
func (t *Tracker) rank(ms int64) {
	t.readTotal(ms)
	t.ranking = t.ranking[:0]
	for key, g := range t.groups {
		if t.forgotten(g, ms) {
			delete(t.groups, key)
			delete(t.names, g.name)
			continue
		}
		g.lasting = g.visible || t.lasts(g, ms)
		t.ranking = append(t.ranking, g)
	}
	slices.SortFunc(t.ranking, func(a, b *group) int {
		if a.lasting != b.lasting {
			if a.lasting {
				return -1
			}
			return 1
		}
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
		if i < t.opts.Discover.Top && (g.members > 0 || len(t.groupings) > 0) { // one that has a name stays while there is room
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
		if g := t.ranking[i]; g.lasting && !g.visible && g.members > 0 {
			g.visible = true
			most--
			t.overflow.population++
			t.locate(g, ms)
		}
	}
}

// locate reads the cgroups of a group that has just come to be shown.
func (t *Tracker) locate(g *group, ms int64) {
	g.startFolding()
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
