package evidence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// heapFunc answers for a heap.
type heapFunc func(ctx context.Context, all bool) (heap.Snapshot, error)

func (f heapFunc) Profile(ctx context.Context, all bool) (heap.Snapshot, error) { return f(ctx, all) }

func newKeeper(change ...func(*KeeperOptions)) *Keeper {
	o := KeeperOptions{Store: NewStore(func() State { return nil }), Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	return NewKeeper(o)
}

func config(t testing.TB, change ...func(*Config)) *Config {
	t.Helper()
	c := &Config{}
	for _, f := range change {
		f(c)
	}
	c.Validate(func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	return c
}

func room(r Room) func() Room { return func() Room { return r } }

// wide has room for everything.
var wide = Room{Level: series.LevelCritical, Known: true, Free: 4 << 30, Used: 50 << 20}

// answers are what a healthy target of each provider says.
var answers = map[string]string{
	heap.ProviderNode:   `{"profile":{"head":{"callFrame":{"functionName":"(root)","url":"","lineNumber":-1},"selfSize":0,"children":[{"callFrame":{"functionName":"f","url":"file:///srv/app/server.js","lineNumber":41},"selfSize":1048576,"children":[]}]}}}`,
	heap.ProviderAgent:  `{"since":1700000000000,"total":1048576,"dropped":0,"rows":[["f","/srv/app/server.js",42,1048576]]}`,
	heap.ProviderPython: `{"total":1048576,"rows":[["app.Session","",0,1048576,10,false]]}`,
	heap.ProviderJVM:    " num     #instances         #bytes  class name (module)\n-------\n   1:          10        1048576  com.acme.F\nTotal            10        1048576\n",
}

func answering(provider string, asked *atomic.Int32) heapFunc {
	return func(context.Context, bool) (heap.Snapshot, error) {
		asked.Add(1)
		return heap.Snapshot{Data: []byte(answers[provider]), Epoch: "1", Took: 30 * time.Millisecond}, nil
	}
}

// TestNeverAboveThePrice: for each runtime nothing is asked of the target where what it may cost does not fit.
func TestNeverAboveThePrice(t *testing.T) {
	for _, provider := range []string{heap.ProviderNode, heap.ProviderAgent, heap.ProviderJVM, heap.ProviderGo, heap.ProviderPython} {
		f := func(name, want string, r Room, change ...func(*Config)) {
			t.Helper()
			t.Run(provider+" "+name, func(t *testing.T) {
				var asked atomic.Int32
				got := newKeeper().Capture(t.Context(), Request{Process: Process{Target: "t", Heap: answering(provider, &asked)}, Provider: provider, Config: config(t, change...), Room: room(r)})
				if got.Outcome != Skipped || got.Skip != want || asked.Load() != 0 || got.Detail == "" {
					t.Errorf("%+v, asked %d times, want %s and nothing asked", got, asked.Load(), want)
				}
			})
		}
		f("memory", SkipHeadroom, Room{Known: true, Free: 20 << 20, Used: 50 << 20})
		f("no room at all", SkipHeadroom, Room{Known: true, Used: 50 << 20})
		f("past the limit", SkipHeadroom, Room{Known: true, Free: -1, Used: 50 << 20})
		f("unknown", SkipUnknown, Room{Used: 50 << 20})
		f("pause", SkipPause, Room{Known: true, Free: 100 << 30, Used: 30 << 30})
		f("pause of a small heap", SkipPause, wide, func(c *Config) { c.MaxPause = units.Duration(10 * time.Millisecond) })
		f("time", SkipTime, Room{Known: true, Free: 4 << 30, Used: 50 << 20, Until: 30 * time.Millisecond})
	}
	var asked atomic.Int32
	emergency := wide
	emergency.Level = series.LevelEmergency
	for provider, want := range map[string]string{heap.ProviderJVM: SkipEmergency, heap.ProviderPython: SkipEmergency, heap.ProviderNode: "", heap.ProviderAgent: ""} {
		got := newKeeper().Capture(t.Context(), Request{Process: Process{Target: "t", Heap: answering(provider, &asked)}, Provider: provider, Config: config(t), Room: room(emergency)})
		if got.Skip != want {
			t.Errorf("%s at emergency: %+v, want %q: only what was sampled is read", provider, got, want)
		}
	}
}

// TestRestOfRuntimes: V8 is left alone for longer than Go, whose collections end no process, and Python, of which a census collects nothing.
func TestRestOfRuntimes(t *testing.T) {
	for provider, rests := range map[string]map[time.Duration]bool{
		heap.ProviderNode:   {0: true, time.Second: true, restBetween - 1: true, restBetween: false},
		heap.ProviderGo:     {0: true, time.Second - 1: true, time.Second: false},
		heap.ProviderPython: {0: true, time.Second - 1: true, time.Second: false},
	} {
		for after, want := range rests {
			now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
			k := newKeeper(func(o *KeeperOptions) { o.Now = func() time.Time { return now } })
			var asked atomic.Int32
			q := Request{Process: Process{Target: "t", Heap: answering(provider, &asked)}, Provider: provider, Config: config(t), Room: room(wide)}
			k.Capture(t.Context(), q)
			now = now.Add(after)
			if got := k.Capture(t.Context(), q); (got.Skip == SkipRest) != want || asked.Load() == 0 {
				t.Errorf("%s, %s after a capture: %+v, asked %d times, want that it rests: %v", provider, after, got, asked.Load(), want)
			}
		}
	}
}

func TestBudgetOfAnHour(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	k := newKeeper(func(o *KeeperOptions) { o.Now = func() time.Time { return now } })
	var asked atomic.Int32
	q := Request{Provider: heap.ProviderNode, Config: config(t), Room: room(wide), Process: Process{Target: "t", Heap: answering(heap.ProviderNode, &asked)}}
	for range 4 {
		if got := k.Capture(t.Context(), q); got.Outcome != Captured {
			t.Fatalf("%+v", got)
		}
		now = now.Add(time.Minute)
	}
	if got := k.Capture(t.Context(), q); got.Skip != SkipBudget || asked.Load() != 4 {
		t.Errorf("the fifth: %+v", got)
	}
	now = now.Add(restBetween)
	byHand := q
	byHand.ByHand = true
	if got := k.Capture(t.Context(), byHand); got.Outcome != Captured {
		t.Errorf("by hand: %+v", got)
	}
	now = now.Add(time.Hour)
	if got := k.Capture(t.Context(), q); got.Outcome != Captured {
		t.Errorf("an hour later: %+v", got)
	}
}

// TestHistogramFallsBack: where a collection does not fit, garbage is counted too.
func TestHistogramFallsBack(t *testing.T) {
	q := Request{Provider: heap.ProviderJVM, Config: config(t), Room: room(Room{Known: true, Free: 8 << 30, Used: 300 << 20}), Process: Process{Target: "t"}}
	var all bool
	q.Process.Heap = heapFunc(func(_ context.Context, a bool) (heap.Snapshot, error) {
		all = a
		return heap.Snapshot{Data: []byte(answers[heap.ProviderJVM]), Epoch: "1"}, nil
	})
	if got := newKeeper().Capture(t.Context(), q); got.Rung != RungHistogramAll || !all {
		t.Errorf("%+v, all %v, want %s", got, all, RungHistogramAll)
	}
}

// TestTypesWhereNothingIsTraced: a service without tracemalloc is asked for its types, where that fits.
func TestTypesWhereNothingIsTraced(t *testing.T) {
	var asked []bool
	q := Request{Provider: heap.ProviderPython, Config: config(t, func(c *Config) { c.MaxPause = units.Duration(5 * time.Second) }), Room: room(wide)}
	q.Process = Process{Target: "t", Heap: heapFunc(func(_ context.Context, types bool) (heap.Snapshot, error) {
		asked = append(asked, types)
		if !types {
			return heap.Snapshot{}, fmt.Errorf("%w: tracemalloc is off", heap.ErrNoProfile)
		}
		return heap.Snapshot{Data: []byte(`{"total":5,"rows":[["app.Session","",0,5,1,false]]}`), Epoch: "1", Took: time.Millisecond}, nil
	})}
	got := newKeeper().Capture(t.Context(), q)
	if got.Outcome != Captured || got.Rung != RungCensus || got.Profile.Rung != RungCensus || got.Profile.Kind != KindType || len(asked) != 2 {
		t.Errorf("%+v, asked %v, want types", got, asked)
	}
	asked, q.Config = nil, config(t, func(c *Config) { c.MaxPause = units.Duration(100 * time.Millisecond) })
	got = newKeeper().Capture(t.Context(), q)
	if got.Skip != SkipPause || !strings.Contains(got.Detail, RungCensus) || len(asked) != 0 {
		t.Errorf("%+v, asked %v, want that a census is too long", got, asked)
	}
}

func TestDryRunAsksNothing(t *testing.T) {
	var asked atomic.Int32
	got := newKeeper().Capture(t.Context(), Request{Provider: heap.ProviderNode, Config: config(t), Room: room(wide), DryRun: true, Process: Process{Target: "t", Heap: answering(heap.ProviderNode, &asked)}})
	if asked.Load() != 0 || !strings.Contains(got.Detail, "would capture") {
		t.Errorf("%+v, asked %d times", got, asked.Load())
	}
}

// TestTargetDies: one that ends during its capture, or stops, is unknown, and the caller goes on.
func TestTargetDies(t *testing.T) {
	for _, k := range kinds {
		if k.name == "jvm Parallel" {
			continue
		}
		for _, how := range []os.Signal{os.Kill, syscall.SIGSTOP} {
			t.Run(fmt.Sprintf("%s %v", k.name, how), func(t *testing.T) {
				s := services[k.provider](t, k.flags...)
				s.do("breathe", 60)
				s.capture() // its attach socket is open, its sampling runs
				p := s.process()
				asked := make(chan struct{})
				p.Heap = heapFunc(func(ctx context.Context, all bool) (heap.Snapshot, error) {
					if how == os.Kill {
						go func() { <-asked; s.cmd.Process.Signal(how) }()
					} else {
						s.cmd.Process.Signal(how)
						defer s.cmd.Process.Signal(os.Kill)
						var status syscall.WaitStatus // it may answer until it stands still
						if _, err := syscall.Wait4(s.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil {
							t.Error(err)
						}
					}
					close(asked)
					return s.client.Profile(ctx, all)
				})
				start := time.Now()
				got := newKeeper().Capture(t.Context(), Request{Process: p, Provider: k.provider, Config: config(t), Room: room(wide)})
				took := time.Since(start)
				switch {
				case how == syscall.SIGSTOP && k.provider != heap.ProviderJVM && got.Outcome == Failed: // it did not answer the reading before
				case how == os.Kill && (got.Outcome == Failed || got.Outcome == Captured): // before it was asked, or after it had answered
				case got.Outcome != Unknown:
					t.Errorf("%+v, want unknown", got)
				}
				if took > mostTimeout+time.Second {
					t.Errorf("took %s", took)
				}
			})
		}
	}
}

func TestExplain(t *testing.T) {
	f := func(err, want error) {
		t.Helper()
		if got := explain(err); !errors.Is(got, want) || !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
	}
	f(heap.ErrProfileUnknown, ErrUnknown)
	f(heap.ErrUnknown, ErrUnknown)
	f(heap.ErrNoProfile, ErrUnavailable)
	f(heap.ErrNotConfigured, ErrUnavailable)
	f(net.ErrClosed, net.ErrClosed)
}

// TestOverTheLimit: where the limit is passed, no negative size is named.
func TestOverTheLimit(t *testing.T) {
	reason, detail := config(t).Check(&Rungs[0], Price{Bytes: 1 << 20}, Room{Known: true, Free: -5 << 20})
	if want := "sampling may take 1MiB, and nothing is left up to the limit"; reason != SkipHeadroom || detail != want {
		t.Errorf("%s: %q, want %q", reason, detail, want)
	}
}
