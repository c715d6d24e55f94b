package proc

// published is a Member with the index of its target in usages.
type published struct {
	usage int
	Member
}

// unpublished is the index of a group that has no usage of its own yet.
const unpublished = -1

// publish makes the result of a Refresh visible to the other goroutines.
func (t *Tracker) publish(err error) {
	t.mu.Lock()
	t.setPublished(err)
	t.mu.Unlock()
	t.held.close()
}

// setPublished is called with mu held.
func (t *Tracker) setPublished(err error) {
	t.err = err
	t.usages, t.lists = t.usages[:0], t.lists[:0]
	t.quick.reset()
	t.stats = Stats{Listed: len(t.procs), Held: t.held.open - len(t.held.closing), Problem: t.bootErr}
	if err != nil {
		t.stats.Listed = 0
		return
	}
	for _, p := range t.procs {
		if p.review.unreadable {
			t.stats.Unreadable++
		}
	}
	t.publishUsages()
	for _, p := range t.members {
		if p.group.usage != unpublished {
			t.lists = append(t.lists, published{p.group.usage, Member{
				PID: int(p.pid), Name: p.name, Start: t.startOf(p.start), Resident: p.resident, Child: p.by == descended, startTicks: p.start,
			}})
		}
	}
	t.publishQuick()
}

// publishUsages publishes the targets in config order, then the groups that discovery shows in the
// order of their names, and the rest as one.
func (t *Tracker) publishUsages() {
	for _, g := range t.targets {
		t.publishGroup(g)
	}
	if t.overflow == nil {
		return
	}
	for _, g := range t.ranking {
		g.usage = unpublished
		if g.visible {
			t.publishGroup(g)
		}
	}
	t.publishGroup(t.overflow)
	for _, g := range t.ranking {
		if g.usage == unpublished {
			g.usage = t.overflow.usage
		}
	}
}

func (t *Tracker) publishGroup(g *group) {
	g.usage = len(t.usages)
	t.describe(g)
	s := &g.sum
	u := Usage{
		Target: g.name, Discovered: g.discovered, Processes: g.members, Expected: !g.discovered && (g.seen || !g.optional),
		Starts: g.starts, Exits: g.exits, Restarts: g.restarts.count, HasRestarts: t.restartable(g), Population: g.population, Oldest: t.startOf(s.oldest), OldestTicks: s.oldest,
		Resident: s.resident, Anon: s.anon, Used: s.anon + s.shared, Err: s.err,
		Largest: s.largest, CgroupV2: g.v2, CgroupV1: g.v1, Apart: g.cgroupsApart(), CgroupsUnread: g.unread,
		Unit: g.unit, Container: g.container, Whole: g.discovered && g.container != nil && isContainerKey(g.key),
		Proportional: int64(s.pss), Unique: int64(s.unique), Shares: g.shares && !s.noShares && g.members > 0,
	}
	t.nameThreads(g)
	u.Threads = g.counts
	g.publish(&u)
	t.usages = append(t.usages, u)
}
