package setup

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// evidenceWorld is an Evidence in the time of a bubble.
type evidenceWorld struct {
	*Evidence
	store   *series.Store
	cfg     *config.Config
	journal *journal.Journal
	members []proc.Member
	batch   series.Batch
}

func newEvidenceWorld(t *testing.T, target string) *evidenceWorld {
	t.Helper()
	cfg, err := config.Parse("spillway.yml", []byte("mode: enforce\ntrust_loopback: true\ntargets:\n  - "+target))
	if cfg == nil {
		t.Fatal(err)
	}
	w := &evidenceWorld{store: series.NewStore(series.Options{Window: 10, Interval: time.Second}), cfg: cfg}
	w.journal = journal.OpenMemory(journal.Options{Logger: slog.New(slog.DiscardHandler)})
	w.Evidence = NewEvidence(EvidenceOptions{
		Store: w.store, Journal: func() *journal.Journal { return w.journal }, ProcFS: "/proc", Logger: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewPedanticRegistry(), Now: time.Now,
	})
	w.members = []proc.Member{{PID: 1, Start: time.Now()}}
	return w
}

func (w *evidenceWorld) target() *config.Target { return &w.cfg.Targets[0] }

// reads sets what is sampled; values below 0 are absent.
func (w *evidenceWorld) reads(level, used, limit, heapUsed, heapLimit float64) {
	b := &w.batch
	b.Reset(time.Now())
	set := func(d *series.Desc, v float64, labels ...string) {
		if v >= 0 {
			b.Set(d, v, labels...)
		}
	}
	set(metric.MemoryLevel, level, "t")
	set(metric.MemoryUsed, used, "t")
	set(metric.MemoryLimit, limit, "t")
	set(metric.HeapUsed, heapUsed, "t", w.target().Heap.Runtime())
	set(metric.HeapLimit, heapLimit, "t", w.target().Heap.Runtime())
	w.store.Commit(b)
}

const (
	mb        = float64(1 << 20)
	agentText = "{name: t, processes: {match: {comm: node}}, heap: {provider: node_agent}}"
)

// TestEvidenceIsDue: a baseline once the service has settled, one a day, one at warning, one when the heap has grown.
func TestEvidenceIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEvidenceWorld(t, agentText)
		w.reads(0, 100*mb, 1000*mb, 50*mb, 500*mb)
		want := func(reason string) {
			t.Helper()
			if got := w.due(w.cfg, w.target(), w.members); got != reason {
				t.Fatalf("due: %q, want %q", got, reason)
			}
		}
		captured := func(used float64) {
			t.Helper()
			p := evidence.Profile{Target: "t", Time: time.Now(), Used: int64(used), Epoch: "1"}
			if err := w.Keeper().Store().Add(t.Context(), &p, 50); err != nil {
				t.Fatal(err)
			}
		}
		want("") // it has just started
		<-time.After(evidenceSettle)
		want(reasonBaseline)
		captured(50 * mb)
		want("")
		<-time.After(evidenceRest)
		want("")
		w.reads(0, 150*mb, 1000*mb, 101*mb, 500*mb)
		want(reasonGrown)
		captured(101 * mb)
		want("")
		<-time.After(evidenceRest)
		w.reads(1, 150*mb, 1000*mb, 101*mb, 500*mb)
		want(reasonWarning)
		w.reads(0, 150*mb, 1000*mb, 440*mb, 500*mb) // the heap is at critical
		want(reasonWarning)
		captured(440 * mb)
		w.reads(0, 150*mb, 1000*mb, 101*mb, 500*mb)
		<-time.After(evidenceDaily)
		want(reasonDaily)
		captured(101 * mb)
		<-time.After(time.Second)
		w.members[0].Start = time.Now() // it was restarted
		want("")
		<-time.After(evidenceSettle)
		want(reasonBaseline)
		w.members = nil
		want("")
	})
}

// TestEvidenceRequestsRuns: by a run, so that it is in the journal, and only of targets in mode enforce.
func TestEvidenceRequestsRuns(t *testing.T) {
	for _, mode := range []string{config.Enforce, config.DryRun} {
		synctest.Test(t, func(t *testing.T) {
			w := newEvidenceWorld(t, agentText)
			w.target().Mode = mode
			w.reads(0, 100*mb, 1000*mb, 50*mb, 500*mb)
			var asked []dispatch.ManualRequest
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				w.Run(ctx, func() EvidenceGraph {
					return EvidenceGraph{Config: w.cfg, Members: func(string) []proc.Member { return w.members }}
				}, func(_ context.Context, r dispatch.ManualRequest) (string, error) {
					asked = append(asked, r)
					return "id", nil
				})
			}()
			<-time.After(evidenceSettle + 3*evidenceLook)
			cancel()
			<-done
			want := 1
			if mode == config.DryRun {
				want = 0
			}
			if len(asked) != want {
				t.Fatalf("mode %s: requested %d times, want %d", mode, len(asked), want)
			}
			if want == 1 && (asked[0].Trigger != alert.TriggerSchedule || w.reasonOf("t", string(asked[0].Trigger)) != reasonBaseline) {
				t.Errorf("%+v", asked[0])
			}
		})
	}
}

// TestEvidenceRoom: what is not known is not taken for room.
func TestEvidenceRoom(t *testing.T) {
	f := func(name, target string, level, used, limit, heapUsed, heapLimit float64, want evidence.Room) {
		t.Helper()
		w := newEvidenceWorld(t, target)
		w.reads(level, used, limit, heapUsed, heapLimit)
		if got := w.room(w.cfg, w.target()); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	jvm := "{name: t, processes: {match: {comm: java}}, heap: {provider: jvm}}"
	f("memory is less", agentText, 0, 900*mb, 1000*mb, 100*mb, 500*mb, evidence.Room{Known: true, Free: 100 << 20, Used: 100 << 20})
	f("heap is less", agentText, 0, 100*mb, 1000*mb, 450*mb, 500*mb, evidence.Room{Known: true, Free: 50 << 20, Used: 450 << 20, Level: series.LevelCritical})
	f("a heap that fills before it is collected", jvm, 0, 600*mb, 1000*mb, 499*mb, 500*mb, evidence.Room{Known: true, Free: 400 << 20, Used: 499 << 20, Level: series.LevelEmergency})
	f("no heap", agentText, 2, 900*mb, 1000*mb, -1, -1, evidence.Room{Known: true, Free: 100 << 20, Used: 900 << 20, Level: series.LevelCritical})
	f("no limit", agentText, 0, 900*mb, -1, 100*mb, -1, evidence.Room{Used: 100 << 20})
	f("nothing", agentText, -1, -1, -1, -1, -1, evidence.Room{})
}

// TestEvidenceOf: off captures nothing, and neither does a heap without a profile.
func TestEvidenceOf(t *testing.T) {
	for text, want := range map[string]bool{
		agentText: true,
		"{name: t, processes: {match: {comm: node}}, heap: {provider: node_agent}, evidence: off}":               false,
		"{name: t, heap: {provider: json, url: 'http://127.0.0.1:1/', map: {used: a}}}":                          false,
		"{name: t, heap: {provider: node_inspector, address: '127.0.0.1:9229', session: per_sample}}":            false,
		"{name: t, heap: {provider: go_pprof, address: '127.0.0.1:6060', limit: 1GiB}, evidence: {per_hour: 1}}": true,
		"{name: t, processes: {match: {comm: java}}, heap: {provider: jvm, collect: {mode: off}}}":               true,
	} {
		w := newEvidenceWorld(t, text)
		pool := heap.NewPool(heap.Options{Logger: slog.New(slog.DiscardHandler)})
		client, err := pool.Get(w.target().Heap, heap.Target{Name: "t"})
		if err != nil {
			t.Fatal(err)
		}
		got := w.Of(w.cfg, w.target(), client, func() []proc.Member { return nil }) != nil
		if got != want {
			t.Errorf("%s: captures %v, want %v", text, got, want)
		}
		if err := client.Close(); err != nil {
			t.Error(fmt.Errorf("close: %w", err))
		}
	}
}
