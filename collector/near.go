package collector

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	nearBuffer = 16 << 10 // room for memory.stat and arcstats
	// nearBudget is the part of a core that all readings between two sweeps may cost together.
	nearBudget = 0.02
	// nearCalm is how many readings in a second all targets have together that do not grow.
	nearCalm = 20
	// nearWakes is the least time between two wakes of the goroutine by deadlines. A wake costs the
	// runtime up to 200 µs of processor time, many times what a reading does.
	nearWakes = 10 * time.Millisecond
	// nearTogether is the part of its time by which a reading may be early, so that several are taken
	// in one wake of the goroutine.
	nearTogether = 8
	// relistGap is the time between two listings of processes that wakes lead to.
	relistGap = time.Second
)

// near reads the memory of the targets that may reach a threshold before the next sweep. One
// goroutine serves all of them, in the order of their deadlines; it reads what never waits, and so
// goes on while a sweep is slow or stuck.
type near struct {
	s      *Sampler
	signal chan struct{} // something is due sooner than was known
	left   chan struct{} // closed when the goroutine has returned; nil before start
	buf    []byte
	batch  series.Batch
	now    []*gauge // that are read in the present wake

	calling sync.Mutex // held while Crossed is called

	mu       sync.Mutex
	base     time.Time // of the grid on which calm readings are due, so that they share their wakes
	woke     time.Time // when the goroutine last did
	until    time.Time // the goroutine waits for it
	queue    deadlines
	targets  map[string]*gauge // that a Wake may name
	load     float64           // part of a core that the readings of the queue cost
	calm     float64           // readings of the queue in a second, of targets that do not grow
	relist   map[string]bool   // targets whose members are to be listed
	listedAt time.Time
}

// nearState is what near keeps of a gauge.
type nearState struct {
	// Guarded by near.mu.
	due    time.Time
	index  int // in the queue, from 1 on; 0 = not in it
	period time.Duration
	share  float64   // what it adds to near.load
	rate   float64   // what it adds to near.calm
	read   time.Time // when it was read last, by a sweep or between two
	woken  string    // reason of the Wake that it is read for; "" = distance

	// Of the goroutine.
	open  meter
	place place // that open reads
}

// deadlines is a heap of gauges, the most urgent first.
type deadlines []*gauge

func (q deadlines) Len() int           { return len(q) }
func (q deadlines) Less(i, j int) bool { return q[i].near.due.Before(q[j].near.due) }
func (q deadlines) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].near.index, q[j].near.index = i+1, j+1
}

// Push implements heap.Interface.
func (q *deadlines) Push(x any) {
	g := x.(*gauge)
	*q = append(*q, g)
	g.near.index = len(*q)
}

// Pop implements heap.Interface.
func (q *deadlines) Pop() any {
	last := len(*q) - 1
	g := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	g.near.index = 0
	return g
}

func newNear(s *Sampler) *near {
	return &near{s: s, signal: make(chan struct{}, 1), buf: make([]byte, nearBuffer), targets: make(map[string]*gauge), relist: make(map[string]bool)}
}

// start begins reading; it is called with the sampler's mu held.
func (n *near) start(ctx context.Context) {
	n.left = make(chan struct{})
	go n.run(ctx, n.left)
}

// stop waits for the goroutine until ctx is done.
func (n *near) stop(ctx context.Context) error {
	if n.left == nil {
		return nil
	}
	select {
	case <-n.left:
		return nil
	case <-ctx.Done():
		return errors.New("the readings between two sweeps have not ended")
	}
}

func (n *near) run(ctx context.Context, left chan struct{}) {
	defer close(left)
	defer n.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := n.s.opts.Now()
		timer.Reset(n.wait(now))
		select {
		case <-ctx.Done():
			return
		case <-n.signal:
		case <-timer.C:
		}
		now = n.s.opts.Now()
		n.take(now)
		for _, g := range n.now {
			if ctx.Err() != nil {
				return
			}
			n.read(g)
		}
		n.list(now)
	}
}

// close closes what the goroutine holds open.
func (n *near) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.targets {
		g.near.shut()
	}
	for _, g := range n.queue {
		g.near.shut()
	}
}

// wait returns the time to the next deadline.
func (n *near) wait(now time.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := time.Hour
	if len(n.queue) > 0 {
		d = min(d, n.queue[0].near.due.Sub(now))
	}
	if len(n.relist) > 0 {
		d = min(d, n.listedAt.Add(relistGap).Sub(now))
	}
	d = max(d, n.woke.Add(nearWakes).Sub(now), 0)
	n.until = now.Add(d)
	return d
}

// take moves what is due from the queue to now.
func (n *near) take(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now, n.woke = n.now[:0], now
	for len(n.queue) > 0 {
		g := n.queue[0]
		early := g.near.period / nearTogether
		if g.near.woken != "" {
			early = 0
		}
		if g.near.due.Add(-early).After(now) {
			return
		}
		n.drop(g)
		n.now = append(n.now, g)
	}
}

// drop takes a gauge out of the queue. mu is held.
func (n *near) drop(g *gauge) {
	if g.near.index > 0 {
		heap.Remove(&n.queue, g.near.index-1)
		n.load = max(n.load-g.near.share, 0)
		n.calm = max(n.calm-g.near.rate, 0)
	}
}

// plan puts a gauge into the queue after it was read: by its distance, or not at all where the sweep
// comes first.
func (n *near) plan(g *gauge, read time.Time) {
	d := g.within()
	n.mu.Lock()
	defer n.mu.Unlock()
	st := &g.near
	n.drop(g)
	st.read = read
	if n.targets[g.target] != g || d.next >= g.interval && st.woken == "" {
		return
	}
	st.share, st.rate = d.share, 0
	if d.calm {
		st.rate = 1 / d.next.Seconds()
	}
	n.load += st.share
	n.calm += st.rate
	stretch := max(1, n.load/nearBudget)
	if d.calm {
		stretch = max(stretch, n.calm/nearCalm)
	}
	st.period = min(g.interval, time.Duration(float64(d.next)*stretch))
	if st.woken != "" {
		st.period = leastGap
	}
	st.due = read.Add(st.period)
	if d.calm {
		st.due = n.onGrid(st.due)
	}
	heap.Push(&n.queue, g)
}

// retry puts a gauge that could not be read into the queue again.
func (n *near) retry(g *gauge, due time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	st := &g.near
	n.drop(g)
	st.due, st.period, st.share, st.rate = due, calmGap, 0, 0
	heap.Push(&n.queue, g)
}

// onGrid returns the moment of the grid at or after a deadline. What was read in a wake of the grid is
// due a little later than the next one, and meant for it. mu is held.
func (n *near) onGrid(due time.Time) time.Time {
	if n.base.IsZero() {
		n.base = due
	}
	late := (due.Sub(n.base) - leastGap) % calmGap
	if late < 0 {
		late += calmGap
	}
	return due.Add(calmGap - leastGap - late)
}

// sampled takes over the gauges of a job after its sweep was committed.
func (n *near) sampled(j *job) {
	if h, ok := j.Impl.(interface{ crossed() (Crossing, bool) }); ok {
		if c, ok := h.crossed(); ok {
			n.call(c)
		}
	}
	src, ok := j.Impl.(interface{ gauges(dst []*gauge) []*gauge })
	if !ok {
		return
	}
	now := n.s.opts.Now()
	for _, g := range j.gauges {
		n.retire(g)
	}
	j.gauges = src.gauges(j.gauges[:0])
	for _, g := range j.gauges {
		g.settle(&j.fast)
		n.know(g)
		n.announce(g, false)
		n.plan(g, now)
	}
	n.wake()
}

// know makes a gauge the one that a Wake of its target means.
func (n *near) know(g *gauge) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.targets[g.target] = g
}

// retire has a gauge whose target is gone read once more, which closes what it has open.
func (n *near) retire(g *gauge) {
	g.mu.Lock()
	gone := g.gone
	g.mu.Unlock()
	if !gone {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(g)
	g.near.due, g.near.share, g.near.rate = time.Time{}, 0, 0
	heap.Push(&n.queue, g)
}

// wake makes the goroutine look at its deadlines again, where one is sooner than it waits for.
func (n *near) wake() {
	n.mu.Lock()
	sooner := len(n.relist) > 0 || len(n.queue) > 0 && n.queue[0].near.due.Before(n.until)
	n.mu.Unlock()
	if !sooner {
		return
	}
	select {
	case n.signal <- struct{}{}:
	default:
	}
}

// wakeTarget is Sampler.Wake.
func (n *near) wakeTarget(target, reason string) {
	now := n.s.opts.Now()
	n.mu.Lock()
	if g := n.targets[target]; g == nil {
		n.relist[target] = true
	} else if g.near.woken == "" {
		st := &g.near
		st.woken = reason
		n.drop(g)
		st.due = now
		if next := st.read.Add(leastGap); next.After(now) {
			st.due = next
		}
		st.period, st.share, st.rate = leastGap, 0, 0
		heap.Push(&n.queue, g)
	}
	n.mu.Unlock()
	n.wake()
}

// read takes a reading of one target and publishes it.
func (n *near) read(g *gauge) {
	n.mu.Lock()
	reason := g.near.woken
	g.near.woken = ""
	n.mu.Unlock()
	from, need := g.next()
	if reason != "" {
		need = 0
		n.wantList(g.target, from)
	}
	if from == (place{}) {
		n.forget(g)
		return
	}
	g.near.use(from)
	at := n.s.opts.Now()
	r, err := g.near.open.read(n.buf, need)
	if err != nil { // the next sweep says why
		n.retry(g, at.Add(calmGap))
		return
	}
	if !g.take(&n.batch, at, r, from) {
		return
	}
	g.spent(n.s.opts.Now().Sub(at))
	n.s.opts.Metrics.woken(reason)
	n.announce(g, reason != "")
	n.plan(g, at)
}

// use opens a place, unless it is the one that is open.
func (st *nearState) use(p place) {
	if st.open == nil || st.place != p {
		st.shut()
		st.open, st.place = p.open(), p
	}
}

func (st *nearState) shut() {
	if st.open != nil {
		st.open.close()
		st.open = nil
	}
}

// forget closes what a gauge without a place has open, and drops one that is gone.
func (n *near) forget(g *gauge) {
	g.near.shut()
	g.mu.Lock()
	gone := g.gone
	g.mu.Unlock()
	if !gone {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.targets[g.target] == g {
		delete(n.targets, g.target)
	}
}

// announce calls Crossed where the level has changed, or confirm asks for it.
func (n *near) announce(g *gauge, confirm bool) {
	if c, ok := g.crossed(confirm); ok {
		n.call(c)
	}
}

// call calls Crossed, never concurrently.
func (n *near) call(c Crossing) {
	if n.s.opts.Crossed == nil {
		return
	}
	n.calling.Lock()
	defer n.calling.Unlock()
	n.s.opts.Crossed(c)
}

// wantList notes that the members of a woken target are to be listed: what made it short of memory
// may be processes that the last sweep has not seen.
func (n *near) wantList(target string, from place) {
	if from == (place{}) || from.grows() {
		n.mu.Lock()
		n.relist[target] = true
		n.mu.Unlock()
	}
}

// list asks for a sweep of the targets that were woken, once a second at most.
func (n *near) list(now time.Time) {
	n.mu.Lock()
	if len(n.relist) == 0 || now.Sub(n.listedAt) < relistGap {
		n.mu.Unlock()
		return
	}
	targets := n.relist
	n.relist, n.listedAt = make(map[string]bool), now
	n.mu.Unlock()
	n.s.Kick(func(j Job) bool {
		switch j.Impl.(type) {
		case *discoverySource, *groupsSource:
			return true
		case *targetSource:
			return targets[j.Target]
		}
		return false
	})
}
