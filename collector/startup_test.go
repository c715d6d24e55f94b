package collector

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// service is a service under a clock of its own: an old process that is killed, a new one, and the
// moment from which it answers. What knows its processes looks every ten seconds only.
type service struct {
	now                  time.Time
	killed, begun, ready time.Time
	sweep                time.Duration // when the sweeps are, after a whole interval
	watched              uint64
	probes               int
	noPidfd, noNewest    bool
}

const sweeps = 10 * time.Second

func (s *service) Probe(context.Context) fetch.Outcome {
	s.probes++
	if s.now.Before(s.killed) || !s.now.Before(s.ready) {
		return fetch.Outcome{Status: 200, Duration: time.Millisecond}
	}
	return fetch.Outcome{Err: fetch.ErrUnreachable}
}

func (s *service) started() (time.Time, uint64, bool) {
	at := s.now.Truncate(sweeps).Add(s.sweep)
	if at.After(s.now) {
		at = at.Add(-sweeps)
	}
	switch {
	case at.Before(s.killed):
		return s.killed.Add(-time.Hour), 1, true
	case at.Before(s.begun):
		return time.Time{}, 0, false
	}
	return s.begun, 2, true
}

func (s *service) Newest() int64 {
	switch {
	case s.noNewest:
		return -1
	case s.now.Before(s.begun):
		return 100
	}
	return 101
}

func (s *service) Watch(id uint64) { s.watched = id }

func (s *service) Watched(id uint64) (watched, ended bool) {
	if s.noPidfd {
		return false, false
	}
	return s.watched == id, id == 1 && !s.now.Before(s.killed)
}

func (s *service) Wakes() <-chan struct{} { return nil }
func (s *service) Close() error           { return nil }

// run samples as the lane does until half a minute after the service is ready, and returns what is
// published then.
func (s *service) run(t *testing.T) (seconds float64, ok bool) {
	t.Helper()
	store := series.NewStore(series.Options{})
	p := NewProbe(ProbeOptions{
		Target: "svc", Config: probeConfig(t, ProbeConfig{}), Prober: s, Store: store,
		started: s.started, births: s, Now: func() time.Time { return s.now },
	})
	var b series.Batch
	for due := s.now.Add(sweeps); s.now.Before(s.ready.Add(3 * sweeps)); {
		b.Reset(s.now)
		if err := p.Sample(t.Context(), &b); err != nil && s.now.After(s.ready.Add(sweeps)) {
			t.Fatal(err)
		}
		store.Commit(&b)
		next := s.now.Add(p.within(sweeps))
		if !next.Before(due) {
			next, due = due, due.Add(sweeps)
		}
		if !s.noPidfd && s.now.Before(s.killed) && next.After(s.killed) {
			next = s.killed // the lane is woken
		}
		s.now = next
	}
	seconds, _, ok = store.Value(metric.StartupDuration, "svc")
	return seconds, ok
}

// TestStartupIsExact: the duration is the service's own, whatever the phases of the intervals.
func TestStartupIsExact(t *testing.T) {
	base := time.Unix(1_800_000_000, 0)
	for _, down := range []time.Duration{0, 100 * time.Millisecond, 3 * time.Second, 25 * time.Second, 5 * time.Minute, time.Hour} {
		for _, took := range []time.Duration{100 * time.Millisecond, 1500 * time.Millisecond, 8 * time.Second, 20 * time.Second} {
			for phase := time.Duration(0); phase < sweeps; phase += 1700 * time.Millisecond {
				killed := base.Add(time.Minute + phase)
				begun := killed.Add(down)
				s := &service{now: base, killed: killed, begun: begun, ready: begun.Add(took), sweep: 4 * time.Second}
				name := fmt.Sprintf("down for %s, ready after %s, killed at %s", down, took, phase)
				got, ok := s.run(t)
				late := time.Duration(got*float64(time.Second)) - took
				// A process that appears after a long time is looked for less often.
				allowed := soonestProbe + took/(probeShare-10) + min(down/lookShare, latestLook)
				if !ok || late < 0 || late > allowed {
					t.Errorf("%s: published %.2f s, %v, want at most %s late", name, got, ok, allowed)
				}
				if s.probes > 500+int((down+time.Minute)/sweeps) {
					t.Errorf("%s: %d probes", name, s.probes)
				}
			}
		}
	}
}

// TestStartupWithoutHelp: where the kernel does not say that a process has ended, and where the newest
// process of the host is not known, no duration is published that is wrong by an interval.
func TestStartupWithoutHelp(t *testing.T) {
	base := time.Unix(1_800_000_000, 0)
	for phase := time.Duration(0); phase < sweeps; phase += 900 * time.Millisecond {
		for _, down := range []time.Duration{100 * time.Millisecond, 15 * time.Second, 5 * time.Minute} {
			killed := base.Add(time.Minute + phase)
			s := &service{now: base, killed: killed, begun: killed.Add(down), ready: killed.Add(down + 300*time.Millisecond), sweep: 4 * time.Second, noPidfd: true, noNewest: true}
			got, ok := s.run(t)
			if !ok && down > sweeps {
				t.Errorf("down for %s, killed at %s: nothing is published although it was seen down", down, phase)
			}
			if took := .3; ok && (got < took || got > took+1) {
				t.Errorf("down for %s, killed at %s: published %.2f s, want %.1f or none", down, phase, got, took)
			}
		}
	}
}
