package proc

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/container"
)

// describeEvery is how often it is looked again for the names of a target's container while they are not
// known.
const describeEvery = 30 * time.Second

// container returns the container that the process is in, nil when it is in none. The error says why
// something of it is not known.
func (f *facts) container() (*container.Container, error) {
	v2, v1, err := f.cgroups()
	if err != nil {
		return nil, err
	}
	return f.env.containerOf(v2, v1)
}

func (e *environment) containerOf(v2, v1 string) (*container.Container, error) {
	if c, err := e.containers.Of(e.now, v2); c != nil {
		return c, err
	}
	return e.containers.Of(e.now, v1)
}

// contained is the conditions of a Match on the container, which are globs.
type contained struct{ container, pod, namespace, image string }

// match asks them. A name that is not known decides nothing.
func (s *contained) match(f *facts) verdict {
	if *s == (contained{}) {
		return verdict{ok: true}
	}
	c, err := f.container()
	if c == nil && err == nil {
		c = &container.Container{} // what is in none fulfils no condition
	}
	for _, one := range s.conditions(c) {
		switch {
		case one.pattern == "" || c != nil && one.holds():
			continue
		case c == nil || one.value == "" && one.has && err != nil:
			f.lastErr = cmp.Or(err, f.lastErr)
			return verdict{condition: one.key, err: err}
		}
		return verdict{condition: one.key}
	}
	return verdict{ok: true}
}

// condition is one of them and what it is about.
type condition struct {
	key, pattern, value string
	other               string // fulfils it too
	has                 bool   // the container has such a name, known or not
}

func (c *condition) holds() bool {
	return c.value != "" && (container.Match(c.pattern, c.value) || c.other != "" && container.Match(c.pattern, c.other))
}

func (s *contained) conditions(c *container.Container) [4]condition {
	if c == nil {
		c = &container.Container{}
	}
	owner, inPod := "", c.PodUID != "" || c.Pod != ""
	if inPod {
		owner = c.Owner()
	}
	return [4]condition{
		{key: "container", pattern: s.container, value: c.Name, has: c.ID != ""},
		{key: "pod", pattern: s.pod, value: c.Pod, other: owner, has: inPod},
		{key: "namespace", pattern: s.namespace, value: c.Namespace, has: inPod},
		{key: "image", pattern: s.image, value: c.Image, has: c.ID != "" && !c.Sandbox},
	}
}

// why says which condition does not hold.
func (s *contained) why(f *facts, key string) string {
	c, _ := f.container()
	if c == nil {
		return "it is in no container"
	}
	for _, one := range s.conditions(c) {
		if one.key == key && one.value != "" {
			return fmt.Sprintf("%s is %q, not %q", key, one.value, one.pattern)
		}
	}
	return fmt.Sprintf("its container has no %s", key)
}

// containerKey is the group of a process in a container, by its container or by its pod. A group stands
// for one container, so that its limit is the group's; its name is the same after a restart.
func containerKey(c *container.Container, by string) groupKey {
	if by == ByPod && c.PodUID != "" {
		return groupKey{key: "pod " + c.PodUID, name: cmp.Or(c.PodPath(), "unnamed-pod"), path: true, succeeds: c.Pod != ""}
	}
	if c.Name == "" {
		return groupKey{key: c.Path(), name: c.Path(), path: true}
	}
	return groupKey{key: "container " + c.ID, name: c.Path(), path: true, succeeds: true}
}

// isContainerKey reports whether a group stands for one container or pod.
func isContainerKey(key string) bool {
	return strings.HasPrefix(key, "container ") || strings.HasPrefix(key, "pod ")
}

// describe finds the container and the unit of a group by the cgroup that holds all its members.
func (t *Tracker) describe(g *group) {
	now := t.facts.env.now
	if g.described == g.cgroupPaths && (g.describeAt.IsZero() || now.Before(g.describeAt) && g.describeAt.Sub(now) <= describeEvery) {
		return
	}
	g.described, g.describeAt = g.cgroupPaths, time.Time{}
	g.unit = cmp.Or(unitOf(g.v2), unitOf(g.v1))
	var err error
	if g.container, err = t.facts.env.containerOf(g.v2, g.v1); err != nil {
		g.describeAt = now.Add(describeEvery)
	}
}
