package setup

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
)

// durable is a journal in memory that says it outlives the process.
type durable struct{ *journal.Journal }

func (durable) Durable() bool { return true }

// undoing is an action that takes a drain back, or does not.
type undoing struct {
	ledger *restart.Ledger
	err    error // of each undo
	undone int
	looks  int
}

func (u *undoing) Run(context.Context, action.Request) (action.Result, error) {
	return action.Result{}, errors.New("not asked")
}

func (u *undoing) Undrain(ctx context.Context, _ []action.DrainStep, post bool, record action.RecordFunc) (bool, error) {
	u.looks++
	if !post {
		return false, errors.New("undo has failed")
	}
	end, err := record(ctx, "r1", "have it take work again")
	if err != nil {
		return false, err
	}
	u.undone++
	if err := end(u.err); u.err != nil || err != nil {
		return false, errors.Join(u.err, err)
	}
	return true, u.ledger.Undrained(ctx, "app", "r1")
}

// TestDrains: a drain that is left is taken back and recorded; one that cannot be needs a person, is tried three times and
// is forgotten after a day.
func TestDrains(t *testing.T) {
	f := func(name string, undo error, has bool, then func(*undoing, *restart.Ledger, prometheus.Gatherer, *journal.Journal)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quiet := slog.New(slog.DiscardHandler)
				j := journal.OpenMemory(journal.Options{Keep: time.Hour, Logger: quiet})
				defer j.Close()
				reg := prometheus.NewRegistry()
				l := NewRestarts(func() *journal.Journal { return j }, reg, time.Now)
				u := &undoing{ledger: l, err: undo}
				targets := map[string]dispatch.Target{"app": {Name: "app"}}
				if has {
					targets["app"] = dispatch.Target{Name: "app", Actions: map[string]action.Action{action.NameRestart: u}}
				}
				d := Drains{Ledger: l, Journal: durable{j}, Logger: quiet, Now: time.Now, Targets: func() map[string]dispatch.Target { return targets }}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				swept := make(chan struct{})
				close(swept)
				go d.Run(ctx, swept)
				synctest.Wait()
				if u.looks != 0 {
					t.Errorf("%d looks while nothing was drained", u.looks)
				}
				if err := errors.Join(l.Begin(ctx, "app", "r1", "i", restart.DefaultTarget, restart.DefaultHost), l.Draining(ctx, "app", "r1", "d")); err != nil {
					t.Fatal(err)
				}
				l.Leave()
				synctest.Wait()
				then(u, l, reg, j)
			})
		})
	}
	needs := func(reg prometheus.Gatherer) int {
		n, err := testutil.GatherAndCount(reg, "spillway_restart_needs_human")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	wait := func(d time.Duration) {
		<-time.After(d)
		synctest.Wait()
	}
	left := func(l *restart.Ledger) bool {
		_, left, err := l.Drained("app")
		return left || err != nil
	}
	f("taken back", nil, true, func(u *undoing, l *restart.Ledger, reg prometheus.Gatherer, j *journal.Journal) {
		wait(5 * time.Minute)
		records, _, err := j.Query(journal.Filter{})
		if u.undone != 1 || left(l) || needs(reg) != 0 || err != nil || len(records) != 1 || records[0].Outcome != "done" || records[0].Action != nameUndoDrain {
			t.Errorf("%d undone, left %t, needs %d, %+v, %v", u.undone, left(l), needs(reg), records, err)
		}
	})
	f("undo fails", errors.New("it answered 500"), true, func(u *undoing, l *restart.Ledger, reg prometheus.Gatherer, j *journal.Journal) {
		wait(10 * time.Minute)
		records, _, err := j.Query(journal.Filter{})
		if u.undone != drainTries || u.looks <= drainTries || !left(l) || needs(reg) != 1 || err != nil || len(records) != drainTries || !strings.Contains(records[0].Error, "500") {
			t.Errorf("%d undone, %d looks, left %t, needs %d, %+v, %v", u.undone, u.looks, left(l), needs(reg), records, err)
		}
		wait(25 * time.Hour)
		if looks := u.looks; left(l) || needs(reg) != 0 {
			t.Errorf("a day later: %d looks, left %t, needs %d", looks, left(l), needs(reg))
		}
	})
	f("restarted meanwhile", errors.New("it answered 500"), true, func(u *undoing, l *restart.Ledger, reg prometheus.Gatherer, _ *journal.Journal) {
		wait(time.Minute)
		if err := l.Reach(t.Context(), "app", "r1", restart.Ended); err != nil || needs(reg) != 0 {
			t.Errorf("%v, needs %d", err, needs(reg))
		}
	})
	f("its target is gone", nil, false, func(u *undoing, l *restart.Ledger, reg prometheus.Gatherer, _ *journal.Journal) {
		if left(l) || needs(reg) != 0 || u.looks != 0 {
			t.Errorf("left %t, needs %d", left(l), needs(reg))
		}
	})
}
