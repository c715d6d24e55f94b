package schedule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// bench counts the runs of a schedule by policy.
type bench struct {
	t       *testing.T
	journal *journal.Journal

	mu   sync.Mutex
	runs map[string][]time.Duration // since the start
	fail bool
	from time.Time
}

func newBench(t *testing.T) *bench {
	return &bench{
		t: t, runs: make(map[string][]time.Duration), from: time.Now(),
		journal: journal.OpenMemory(journal.Options{Logger: slog.New(slog.DiscardHandler)}),
	}
}

func (b *bench) runNow(_ context.Context, r dispatch.ManualRequest) (string, error) {
	if r.Trigger != alert.TriggerSchedule || r.Target != "app" || r.Action != action.NameCleanTemp {
		b.t.Errorf("asked to run %+v", r)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[r.Only] = append(b.runs[r.Only], time.Since(b.from))
	if b.fail {
		return "", errors.New("the queue is full")
	}
	return "1", nil
}

func (b *bench) count(policy string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.runs[policy])
}

// start runs a schedule on the same journal, as after a restart, until stop is called.
func (b *bench) start(list ...Policy) (s *Schedule, stop func()) {
	s = New(Options{RunNow: b.runNow, State: b.journal, Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	s.Apply(list)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	return s, func() { cancel(); wg.Wait() }
}

func cleanEvery(name string, every time.Duration) Policy {
	return Policy{Target: "app", Action: action.NameCleanTemp, Name: name, Every: every}
}

// TestPausedIsNoFault: a schedule that is paused is not warned of, and goes on within a minute after the pause.
func TestPausedIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		b := newBench(t)
		var paused atomic.Bool
		paused.Store(true)
		s := New(Options{State: b.journal, Logger: slog.New(slog.NewTextHandler(&said, nil)), Now: time.Now, RunNow: func(ctx context.Context, r dispatch.ManualRequest) (string, error) {
			if paused.Load() {
				return "", fmt.Errorf("%w: all", dispatch.ErrPaused)
			}
			return b.runNow(ctx, r)
		}})
		s.Apply([]Policy{cleanEvery("tts", 6*time.Hour)})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		<-time.After(7 * time.Hour)
		paused.Store(false)
		<-time.After(time.Minute)
		synctest.Wait()
		if b.count("tts") != 1 {
			t.Errorf("run %d times after the pause", b.count("tts"))
		}
		cancel()
		wg.Wait()
		if said.Len() > 0 {
			t.Errorf("it said %s", &said)
		}
	})
}

func TestSurvivesReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := cleanEvery("tts", 10*time.Second)
		s, stop := b.start(p)
		defer stop()
		for range 10 { // a SIGHUP each 7 s
			<-time.After(7 * time.Second)
			s.Apply([]Policy{p})
		}
		synctest.Wait()
		if n := b.count("tts"); n != 7 {
			t.Errorf("%d runs in 70 s, every 10s: %v", n, b.runs)
		}
	})
}

func TestSurvivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		daily := cleanEvery("daily", 24*time.Hour)
		for range 5 { // the process lives six hours: it never runs while each start begins anew
			_, stop := b.start(daily)
			<-time.After(6 * time.Hour)
			synctest.Wait()
			stop()
		}
		if n := b.count("daily"); n != 1 {
			t.Errorf("%d runs in 30 hours, every 24h: %v", n, b.runs)
		}
	})
}

func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		list := []Policy{cleanEvery("a", time.Hour), cleanEvery("b", time.Hour), cleanEvery("c", time.Hour)}
		_, stop := b.start(list...)
		<-time.After(time.Minute)
		stop()
		<-time.After(5 * time.Hour) // it is down
		s, stop := b.start(append(list, cleanEvery("new", time.Hour))...)
		defer stop()
		s.Apply(append(list, cleanEvery("new", time.Hour)))
		start := time.Since(b.from)
		<-time.After(10 * time.Second)
		seen := make(map[time.Duration]bool)
		for _, name := range []string{"a", "b", "c"} {
			if n := b.count(name); n != 1 {
				t.Fatalf("%s: %d runs within 10 s of the start, want 1", name, n)
			}
			seen[b.runs[name][0]-start] = true
		}
		if len(seen) != 3 {
			t.Errorf("overdue runs begin together: %v", b.runs)
		}
		if n := b.count("new"); n != 0 {
			t.Errorf("a policy that is new ran at once")
		}
		<-time.After(time.Hour)
		for _, name := range []string{"a", "b", "c"} {
			if n := b.count(name); n != 2 {
				t.Errorf("%s: %d runs after another hour, want 2", name, n)
			}
		}
		if n := b.count("new"); n != 1 {
			t.Errorf("new: %d runs after its first hour, want 1", n)
		}
	})
}

// Policies that are due at the same moment run one after another, in the order of their names.
func TestDueTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		_, stop := b.start(cleanEvery("c", time.Hour), cleanEvery("a", time.Hour), cleanEvery("b", time.Hour))
		defer stop()
		<-time.After(time.Hour + 10*time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, name := range []string{"a", "b", "c"} {
			want := time.Hour + time.Duration(i)*spread
			if runs := b.runs[name]; len(runs) != 1 || runs[0] != want {
				t.Errorf("%s ran after %v, want %s", name, runs, want)
			}
		}
	})
}

func TestTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.fail = true
		_, stop := b.start(cleanEvery("daily", 24*time.Hour))
		defer stop()
		<-time.After(24*time.Hour + 90*time.Second)
		if n := b.count("daily"); n != 2 {
			t.Errorf("%d attempts, want a second one a minute after the first", n)
		}
		b.mu.Lock()
		b.fail = false
		b.mu.Unlock()
		<-time.After(23 * time.Hour)
		if n := b.count("daily"); n != 3 {
			t.Errorf("%d attempts, want one that succeeds and none after it", n)
		}
	})
}

func TestOf(t *testing.T) {
	raw := "targets: [{name: app, caches: [{name: c, dir: /srv/c, include: ['*'], max_entries: 1, every: 2m}], temp_dirs: [{name: t, dir: /srv/t, include: ['*'], max_files: 1, every: 5m}, {name: u, dir: /srv/u, include: ['*'], max_files: 1}]," +
		" logs: [{name: l, dir: /srv/l, include: ['*.log'], max_bytes: 1MiB, keep_files: 3, every: 1h}]}]"
	cfg, err := config.Parse("x.yml", []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	list := Of(cfg)
	if len(list) != 3 || list[0].key() != "app/evict_cache/c" || list[1].key() != "app/clean_temp/t" || list[2].key() != "app/rotate_logs/l" || units.Duration(list[2].Every) != units.Duration(time.Hour) {
		t.Errorf("policies = %+v", list)
	}
}
