package proc

import (
	"context"
	"time"
)

const (
	bootEvery   = 10 * time.Minute
	bootRetry   = 15 * time.Second
	ticksPerSec = 100 // USER_HZ, the same on every Linux
)

// Refresh lists the processes, unless it is known that there is no new one, decides about new ones, and reads the memory of all members.
// After an error nothing is known: every Usage is that error until a Refresh succeeds.
func (t *Tracker) Refresh(ctx context.Context, now time.Time) error {
	ms := now.UnixMilli()
	err := t.refresh(ctx, ms)
	t.publish(err)
	return err
}

func (t *Tracker) refresh(ctx context.Context, ms int64) error {
	t.facts.env.now = time.UnixMilli(ms)
	t.readBoot(ms)
	if t.lister.due(t.r, ms) {
		if err := t.list(ms); err != nil {
			return err
		}
	}
	for _, p := range t.procs {
		if p.review.at <= ms {
			t.check(p, ms, 0)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	t.adopt(ms)
	t.pss.save(ms)
	t.measure(ms)
	t.countRestarts(ms)
	if t.overflow != nil {
		t.rank(ms)
	}
	t.listed = true
	return nil
}

func (t *Tracker) list(ms int64) error {
	began := time.Now()
	var err error
	if t.listing, err = t.r.list(t.listing[:0], t.dents); err != nil {
		t.lister.at = 0
		return err
	}
	t.lister.cost = time.Since(began)
	t.reconcile(ms)
	return nil
}

// reconcile merges the listing into the table of processes, both in the order of pids.
func (t *Tracker) reconcile(ms int64) {
	next := t.spare[:0]
	old := t.procs
	for _, s := range t.listing {
		for len(old) > 0 && old[0].pid < s.pid {
			t.drop(old[0])
			old = old[1:]
		}
		if len(old) > 0 && old[0].pid == s.pid {
			p := old[0]
			old = old[1:]
			if t.same(p, s.ino) {
				next = append(next, p)
				continue
			}
			t.drop(p)
		}
		next = append(next, t.newProcess(s, ms))
	}
	for _, p := range old {
		t.drop(p)
	}
	clear(t.procs)
	t.procs, t.spare = next, t.procs[:0]
}

// readBoot reads when the host started. Until that succeeds it is tried again every 15 seconds, and no
// start time is known.
func (t *Tracker) readBoot(ms int64) {
	every := bootEvery
	if t.bootErr != nil {
		every = bootRetry
	}
	if due(t.bootAt, ms, every) {
		t.boot, t.bootErr = bootTime(t.opts.Root)
		t.bootAt = ms
	}
}

func (t *Tracker) startOf(ticks uint64) time.Time { return startAfter(t.boot, ticks) }

// startAfter returns when a process started, zero when that is not known.
func startAfter(boot time.Time, ticks uint64) time.Time {
	if boot.IsZero() || ticks == 0 {
		return time.Time{}
	}
	return boot.Add(time.Duration(ticks) * (time.Second / ticksPerSec))
}
