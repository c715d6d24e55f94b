package collector

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// mount is a folder whose file server can stop answering: a call into it cannot be cancelled.
type mount struct {
	progress
	dir    string
	gate   chan struct{} // closed: it answers
	hung   atomic.Bool
	calls  atomic.Int32
	closed atomic.Int32
}

func newMount(dir string) *mount { return &mount{dir: dir, gate: make(chan struct{})} }

func (m *mount) Sample(_ context.Context, b *series.Batch) error {
	m.calls.Add(1)
	if m.hung.Load() {
		<-m.gate
	}
	b.Set(frameGauge, 1, m.dir)
	return nil
}

func (m *mount) Close() error { m.closed.Add(1); return nil }

// recover makes the server answer again.
func (m *mount) recover() {
	m.hung.Store(false)
	close(m.gate)
}

func (m *mount) job() Job {
	return Job{Source: "temp", Target: "app", Name: strings.TrimPrefix(m.dir, "/"), Dir: m.dir, Impl: m}
}

func (m *mount) lane(share *Share) Lane {
	return Lane{Name: "dirs", Interval: 2 * time.Second, Timeout: 10 * time.Minute, Stall: 3 * time.Second, Share: share, Jobs: []Job{m.job()}}
}

// stuck is the value of spillway_lane_stuck; absent is -1.
func (m *mount) stuck(store *series.Store) float64 {
	v, _, ok := store.Value(metric.LaneStuck, "dirs", "temp", "app", strings.TrimPrefix(m.dir, "/"))
	if !ok {
		return -1
	}
	return v
}

func (m *mount) success(store *series.Store) float64 {
	v, _, _ := store.Value(metric.SourceSuccess, "temp", "app", strings.TrimPrefix(m.dir, "/"))
	return v
}

func stopWithin(t *testing.T, s *Sampler, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return s.Stop(ctx)
}

func TestSamplerStuckFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := newMount("/x"), newMount("/y")
		share := NewShare(1, 1)
		s, store, log, _ := newTestSampler(t, x.lane(share), y.lane(share))
		s.Start(t.Context())
		<-s.Ready()
		x.hung.Store(true)
		<-time.After(6 * time.Second) // three intervals
		if x.success(store) != 0 || x.stuck(store) != 1 {
			t.Errorf("three intervals after the folder stopped answering: success %v, stuck %v, want 0, 1", x.success(store), x.stuck(store))
		}
		if _, _, ok := store.Value(frameGauge, "/x"); ok {
			t.Error("the series of the folder is still there, want it absent")
		}
		if y.success(store) != 1 || y.stuck(store) != -1 {
			t.Errorf("its neighbour: success %v, stuck %v, want 1 and absent", y.success(store), y.stuck(store))
		}
		calls := y.calls.Load()
		<-time.After(20 * time.Second)
		if n := y.calls.Load() - calls; n < 9 {
			t.Errorf("%d samples of the neighbour in ten intervals", n)
		}
		if n := x.calls.Load(); n > 3 {
			t.Errorf("the stuck folder was entered %d times", n)
		}
		if errs := s.Errors(); len(errs) != 1 || errs[0].Name != "x" || !strings.Contains(errs[0].Error, "/x has not answered since") {
			t.Errorf("errors = %v, want the folder", errs)
		}
		if n := strings.Count(log.String(), "source is stuck"); n != 1 || !strings.Contains(log.String(), "dir=/x") || !strings.Contains(log.String(), "umount -l") {
			t.Errorf("%d warnings, want one that names the folder and what to do:\n%s", n, log)
		}
		x.recover()
		synctest.Wait()
		if x.success(store) != 1 || x.stuck(store) != -1 {
			t.Errorf("once it answers: success %v, stuck %v, want 1 and absent, at once", x.success(store), x.stuck(store))
		}
		if !strings.Contains(log.String(), "source works again") {
			t.Errorf("the recovery is not logged:\n%s", log)
		}
		stopSampler(t, s)
		if x.closed.Load() != 1 || y.closed.Load() != 1 {
			t.Errorf("closed %d and %d times, want once each", x.closed.Load(), y.closed.Load())
		}
	})
}

// TestSamplerStuckJobOfALane: the jobs after one that does not return are sampled all the same.
func TestSamplerStuckJobOfALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := newMount("")
		hung.hung.Store(true)
		n, whole, parts := 0, 0, 0
		s, _, _, _ := newTestSampler(t, Lane{
			Name: "process", Interval: time.Second, Timeout: time.Second, After: func(w bool) {
				if w {
					whole++
				} else {
					parts++
				}
			},
			Jobs: []Job{{Source: "discovery", Impl: sourceFunc(hung.Sample)}, {Source: "host", Target: "host", Impl: count(&n, 1)}},
		})
		s.Start(t.Context())
		<-s.Ready()
		<-time.After(10 * time.Second)
		synctest.Wait()
		if n < 10 || parts != n || whole != 0 {
			t.Errorf("%d samples of the second job, %d sweeps in part and %d whole", n, parts, whole)
		}
		if runs := s.Runs(func(Job) bool { return true }); runs != uint64(n) {
			t.Errorf("Runs = %d, want %d: a stuck job holds back no verification", runs, n)
		}
		hung.recover()
		<-time.After(2 * time.Second)
		synctest.Wait()
		if whole == 0 {
			t.Error("no sweep is whole after the job has returned")
		}
		stopSampler(t, s)
	})
}

func TestSamplerStopNamesWhatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMount("/x")
		s, _, _, _ := newTestSampler(t, x.lane(nil))
		if err := s.Stop(t.Context()); err != nil {
			t.Errorf("Stop before Start: %v", err)
		}

		x = newMount("/x")
		x.hung.Store(true)
		s, _, _, _ = newTestSampler(t, x.lane(nil))
		s.Start(t.Context())
		synctest.Wait() // it is in the call, and nothing has noticed yet
		start := time.Now()
		for range 2 {
			err := stopWithin(t, s, 2*time.Second)
			if err == nil || !strings.Contains(err.Error(), `temp "x" of target "app" does not return from /x`) {
				t.Errorf("Stop: %v, want the folder named", err)
			}
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("Stop took %s", took)
		}
		if x.closed.Load() != 0 {
			t.Error("the source was closed while it was in use")
		}
		x.recover()
		synctest.Wait()
		if x.closed.Load() != 1 {
			t.Errorf("closed %d times after it returned, want once", x.closed.Load())
		}
	})
}

// TestSamplerBlockedOutlivesReloads: each reload makes a new sampler, and none of them enters the
// folder again.
func TestSamplerBlockedOutlivesReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMount("/x")
		x.hung.Store(true)
		blocked := NewBlocked()
		s, store, log, _ := newTestSampler(t)
		for range 5 {
			s = NewSampler(SamplerOptions{Store: store, Lanes: []Lane{x.lane(nil)}, Metrics: s.opts.Metrics, Logger: s.opts.Logger, Blocked: blocked})
			s.Start(t.Context())
			<-time.After(7 * time.Second)
			if x.stuck(store) != 1 || x.success(store) != 0 {
				t.Errorf("stuck %v, success %v, want 1, 0", x.stuck(store), x.success(store))
			}
			if err := stopWithin(t, s, time.Second); err == nil || !strings.Contains(err.Error(), "/x") {
				t.Errorf("Stop: %v, want the folder named", err)
			}
		}
		if n := x.calls.Load(); n != 1 {
			t.Errorf("the folder was entered %d times, want once", n)
		}
		s = NewSampler(SamplerOptions{Store: store, Lanes: []Lane{x.lane(nil)}, Metrics: s.opts.Metrics, Logger: s.opts.Logger, Blocked: blocked})
		s.Start(t.Context())
		synctest.Wait()
		x.recover()
		<-time.After(3 * time.Second)
		if x.stuck(store) != -1 || x.success(store) != 1 {
			t.Errorf("after it answered: stuck %v, success %v, want absent, 1\n%s", x.stuck(store), x.success(store), log)
		}
		stopSampler(t, s)
	})
}

// TestShareTurns: so many folders are scanned at the same time, and those that are hung keep no
// turn.
func TestShareTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy, most atomic.Int32
		share := NewShare(1, 2)
		var lanes []Lane
		var hung []*mount
		for i := range 20 {
			m := newMount(fmt.Sprintf("/hung-%d", i))
			m.hung.Store(true)
			hung = append(hung, m)
			lanes = append(lanes, m.lane(share))
		}
		var well atomic.Int32
		for range 20 {
			lanes = append(lanes, Lane{Name: "dirs", Interval: time.Minute, Timeout: time.Minute, Share: share, Jobs: []Job{{Source: "temp", Impl: sourceFunc(func(context.Context, *series.Batch) error {
				most.Store(max(most.Load(), busy.Add(1)))
				<-time.After(100 * time.Millisecond)
				busy.Add(-1)
				well.Add(1)
				return nil
			})}}})
		}
		s, _, _, _ := newTestSampler(t, lanes...)
		s.Start(t.Context())
		<-time.After(20 * time.Second)
		if well.Load() != 20 || most.Load() > 2 {
			t.Errorf("%d of 20 scans have ended, %d at once; want all of them, 2 at once", well.Load(), most.Load())
		}
		for _, m := range hung {
			m.recover()
		}
		synctest.Wait()
		stopSampler(t, s)
	})
}

func TestShareInterval(t *testing.T) {
	share := NewShare(.005, 1)
	want := 30 * time.Second
	small, large := &lane{}, &lane{}
	if own, _ := share.interval(small, want, 10*time.Millisecond); own != want {
		t.Errorf("a small folder alone: %s, want %s", own, want)
	}
	own, longest := share.interval(large, want, 10*time.Second)
	if own != longest || own < 2000*time.Second {
		t.Errorf("a large folder next to it: %s, longest %s, want more than 2000s", own, longest)
	}
	if total := 10*time.Second.Seconds()/own.Seconds() + 0.01/30; total > .0050001 {
		t.Errorf("both are busy for %.5f of the time, want .005", total)
	}
	if own, _ := share.interval(small, want, 10*time.Millisecond); own != want {
		t.Errorf("the small folder next to the large one: %s, want %s", own, want)
	}
	share.forget(large)
	if own, longest := share.interval(small, want, time.Second); own != 200*time.Second || longest != own {
		t.Errorf("a second alone: %s, longest %s, want 200s", own, longest)
	}
}
