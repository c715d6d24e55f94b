package collector

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestWalkers: a second walker comes with the scan after one that met many files, and goes again.
func TestWalkers(t *testing.T) {
	b := newDirBench(t)
	b.file("a.json", 1, time.Hour)
	var w walkers
	scan := func(want int) {
		t.Helper()
		res, err := w.scan(t.Context(), dirscan.Options{Dir: b.dir})
		if err != nil || res.Files != 1 || w.cores() != want {
			t.Errorf("%d files by %d walkers, %v, want 1 by %d", res.Files, w.cores(), err, want)
		}
	}
	scan(1)
	w.files = manyFiles + 1
	scan(2)
	scan(1)
}

// busySource keeps two cores busy for a second.
type busySource struct{}

func (busySource) Sample(context.Context, *series.Batch) error {
	<-time.After(time.Second) // of the bubble
	return nil
}
func (busySource) cores() int { return 2 }

// TestBudgetCountsBothCores: a budget of one percent makes a second of two cores last 200 s.
func TestBudgetCountsBothCores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _, _ := newTestSampler(t, Lane{Interval: time.Second, Timeout: time.Minute, Share: NewShare(.01, 1), Jobs: []Job{{Source: "x", Impl: busySource{}}}})
		l := s.lanes[0]
		l.sweep(t.Context(), 0, nil)
		if got, _ := l.interval(); got != 200*time.Second {
			t.Errorf("interval %v, want 200s", got)
		}
	})
}
