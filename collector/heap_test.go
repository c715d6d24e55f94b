package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// fakeHeap answers what it is asked.
type fakeHeap struct {
	usage  heap.Usage
	err    error
	hang   bool
	closed int
}

func (f *fakeHeap) Read(ctx context.Context) (heap.Usage, error) {
	if f.hang {
		<-ctx.Done()
		return heap.Usage{}, fmt.Errorf("%w: no answer", heap.ErrBusy)
	}
	return f.usage, f.err
}
func (f *fakeHeap) Runtime() string { return "node" }
func (f *fakeHeap) Close() error    { f.closed++; return nil }

// heapValues samples once and returns what is in the store after it.
func heapValues(t *testing.T, h *Heap) (map[string]float64, error) {
	t.Helper()
	store := series.NewStore(series.Options{})
	var b series.Batch
	b.Reset(time.Now())
	err := h.Sample(t.Context(), &b)
	store.Commit(&b)
	out := make(map[string]float64)
	for _, s := range store.Snapshot(nil) {
		out[s.Desc.Name+fmt.Sprint(s.Values)] = s.Value
	}
	return out, err
}

func TestHeapPublishesWhatWasRead(t *testing.T) {
	f := func(u heap.Usage, want string) {
		t.Helper()
		got, err := heapValues(t, NewHeap(HeapOptions{Target: "svc", Reader: &fakeHeap{usage: u}}))
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%+v: %v, %v, want %s", u, got, err, want)
		}
	}
	f(heap.Usage{Used: heap.Some(50), Committed: heap.Some(80), Limit: heap.Some(200)},
		"map[spillway_heap_committed_bytes[svc node]:80 spillway_heap_limit_bytes[svc node]:200 spillway_heap_used_bytes[svc node]:50 spillway_heap_used_ratio[svc node]:0.25]")
	f(heap.Usage{Used: heap.Some(50)}, "map[spillway_heap_used_bytes[svc node]:50]")
	f(heap.Usage{Used: heap.Some(0), Limit: heap.Some(200)},
		"map[spillway_heap_limit_bytes[svc node]:200 spillway_heap_used_bytes[svc node]:0 spillway_heap_used_ratio[svc node]:0]")
	f(heap.Usage{Used: heap.Some(50), Read: 1, Running: 2}, "map[spillway_heap_processes[svc node]:2 spillway_heap_read_processes[svc node]:1 spillway_heap_used_bytes[svc node]:50]")
	f(heap.Usage{}, "map[]")
	for _, d := range []*series.Desc{metric.HeapUsed, metric.HeapUsedRatio} {
		if !d.Window {
			t.Errorf("%s keeps no past", d.Name)
		}
	}
}

func TestHeapBusyIsAbsentThenFails(t *testing.T) {
	now := time.Now()
	r := &fakeHeap{err: heap.ErrBusy}
	h := NewHeap(HeapOptions{Target: "svc", Reader: r, Now: func() time.Time { return now }})
	sample := func(want string) {
		t.Helper()
		got, err := heapValues(t, h)
		state := "ok"
		switch {
		case errors.Is(err, ErrAbsent):
			state = "absent"
		case err != nil:
			state = "failed"
		}
		if state != want || (state != "ok" && len(got) > 0) {
			t.Errorf("%s with %v (%v), want %s", state, got, err, want)
		}
	}
	sample("absent")
	now = now.Add(29 * time.Second)
	sample("absent")
	now = now.Add(time.Second)
	sample("failed")
	r.err = nil
	sample("ok")
	r.err = heap.ErrBusy
	sample("absent") // the grace begins anew
	now = now.Add(time.Hour)
	sample("failed")
}

func TestHeapUnreachable(t *testing.T) {
	f := func(running func() bool, err error, wantAbsent bool) {
		t.Helper()
		_, got := heapValues(t, NewHeap(HeapOptions{Target: "svc", Reader: &fakeHeap{err: err}, Running: running}))
		if got == nil || errors.Is(got, ErrAbsent) != wantAbsent || (!wantAbsent && !errors.Is(got, err)) {
			t.Errorf("%v, want absent %v", got, wantAbsent)
		}
	}
	yes, no := func() bool { return true }, func() bool { return false }
	f(nil, heap.ErrUnreachable, false)
	f(yes, heap.ErrUnreachable, false)
	f(no, heap.ErrUnreachable, true)
	f(yes, heap.ErrNoProcess, true) // before the first sweep
	f(no, errors.New("not an inspector"), false)
}

// A document whose limit cannot be read has its used size all the same, and the source fails.
func TestHeapPublishesWhatAPartialReadingHas(t *testing.T) {
	r := &fakeHeap{usage: heap.Usage{Used: heap.Some(42)}, err: errors.New("limit: there is no such value")}
	got, err := heapValues(t, NewHeap(HeapOptions{Target: "svc", Reader: r}))
	if err == nil || len(got) != 1 || got["spillway_heap_used_bytes[svc node]"] != 42 {
		t.Errorf("%v, %v, want the used size and a failure", got, err)
	}
}

func TestHeapHasItsOwnDeadlineAndCloses(t *testing.T) {
	r := &fakeHeap{hang: true}
	h := NewHeap(HeapOptions{Target: "svc", Reader: r, Timeout: 20 * time.Millisecond})
	start := time.Now()
	if _, err := heapValues(t, h); !errors.Is(err, ErrAbsent) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %s, want absent at the deadline", err, time.Since(start))
	}
	if err := h.Close(); err != nil || r.closed != 1 {
		t.Errorf("close: %v, reader closed %d times", err, r.closed)
	}
}

// The whole way with the real thing: a configured inspector, first refused and then there.
func TestHeapOfRealNode(t *testing.T) {
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the inspector is tested against the real thing only")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	pool := heap.NewPool(heap.Options{Logger: slog.New(slog.DiscardHandler)})
	defer pool.Close()
	client, err := pool.Get(heap.Config{Provider: heap.ProviderNode, Address: address}, heap.Target{})
	if err != nil {
		t.Fatal(err)
	}
	h := NewHeap(HeapOptions{Target: "svc", Reader: client})
	defer h.Close()
	if got, err := heapValues(t, h); err == nil || errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "--inspect="+address) || len(got) > 0 {
		t.Errorf("with nothing there: %v, %v, want a failure with the hint", got, err)
	}
	cmd := exec.Command(path, "--inspect="+address, "--max-old-space-size=200", "-e", "setInterval(() => {}, 1000)")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got, err := heapValues(t, h)
		if err == nil {
			ratio := got["spillway_heap_used_ratio[svc node]"]
			limit := got["spillway_heap_limit_bytes[svc node]"]
			if len(got) != 4 || ratio <= 0 || ratio >= 1 || limit < 200<<20 || limit > 300<<20 {
				t.Errorf("read %v, want all four figures and a limit of some 200 MiB", got)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no reading: %v", err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// TestHeapIsReadByItsDistance: a heap that grows is read more often on its way to a threshold, as far
// as its cost allows, its rings keep their cadence, and a crossing is reported.
func TestHeapIsReadByItsDistance(t *testing.T) {
	tests := []struct {
		name        string
		cost        time.Duration
		costly      bool
		least, most int // readings in 30 s
		late        time.Duration
	}{
		{"cheap", 25 * time.Microsecond, false, 40, 500, 110 * time.Millisecond},
		{"an inspector", 200 * time.Microsecond, false, 30, 150, 450 * time.Millisecond},
		{"a profile", 20 * time.Millisecond, false, 7, 8, 11 * time.Second},
		{"one that leaves a trace", 25 * time.Microsecond, true, 7, 8, 11 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := &growingHeap{began: began, cost: tt.cost}
				s, store, _, _ := newTestSampler(t)
				c := &crossings{store: store}
				s.opts.Crossed = c.note
				s.lanes = append(s.lanes, newLane(s, Lane{Name: "heap", Interval: 5 * time.Second, Jobs: []Job{{Source: "heap", Target: "a", Impl: NewHeap(HeapOptions{
					Target: "a", Reader: r, Thresholds: testThresholds, Costly: tt.costly,
				})}}}))
				s.Start(t.Context())
				<-time.After(31 * time.Second)
				stopSampler(t, s)
				if r.reads < tt.least || r.reads > tt.most {
					t.Errorf("%d readings in 30 s, want %d to %d", r.reads, tt.least, tt.most)
				}
				at, ok := c.at(series.LevelCritical)
				if late := at.Sub(began) - 15*time.Second; !ok || late < 0 || late > tt.late || c.all[0].Signal != SignalHeap {
					t.Errorf("critical %s after 85 %%, want within %s: %+v", late, tt.late, c.all)
				}
				points := store.Points(nil, series.TierSample, metric.HeapUsed, "a", "node")
				if len(points) != 7 {
					t.Errorf("%d slots in 30 s, want 7", len(points))
				}
			})
		})
	}
}

// growingHeap grows from 55 % at 2 % a second to 85 % at 15 s, and stays at 90 %.
type growingHeap struct {
	began time.Time
	cost  time.Duration
	reads int
}

func (g *growingHeap) Read(context.Context) (heap.Usage, error) {
	g.reads++
	<-time.After(g.cost)
	ratio := min(.55+.02*time.Since(g.began).Seconds(), .9)
	return heap.Usage{Used: heap.Some(units.Bytes(ratio * (1 << 30))), Limit: heap.Some(1 << 30)}, nil
}

func (*growingHeap) Runtime() string { return "node" }
