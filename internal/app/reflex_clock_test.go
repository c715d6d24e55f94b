package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// diskJournal is a journal in memory that says it is on disk.
type diskJournal struct{ *journal.Journal }

func (diskJournal) Durable() bool { return true }

// cleaner is an action that brings the memory of app down to a value, or leaves it where it is.
type cleaner struct {
	b  *reflexBubble
	to float64
}

func (c *cleaner) Run(context.Context, action.Request) (action.Result, error) {
	if c.to > 0 {
		c.b.read(c.to)
	}
	return action.Result{Outcome: action.Done, Files: 1}, nil
}

// reflexBubble is the way from a reading to a run, in a time of its own: store, evaluator, dispatcher
// and journal as the exporter connects them.
type reflexBubble struct {
	t       *testing.T
	a       *App
	batch   series.Batch
	journal *journal.Journal
	cleaner cleaner
	samples uint64
	value   float64
	began   time.Time
}

// Observe implements dispatch.Observer.
func (b *reflexBubble) Observe(string, dispatch.Subject) dispatch.Reading {
	return dispatch.Reading{Known: true, Ratio: b.value, Peak: b.value, Level: thresholdsOfTest.Of(b.value), Samples: b.samples}
}

// Refresh implements dispatch.Observer.
func (b *reflexBubble) Refresh(string, dispatch.Subject) { b.samples++ }

var thresholdsOfTest = series.Thresholds{Warning: .7, Critical: .85, Emergency: .95}

// read puts a reading into the store.
func (b *reflexBubble) read(ratio float64) {
	b.value = ratio
	b.batch.Reset(time.Now())
	b.batch.Set(metric.MemoryUsed, ratio*1000, "app")
	b.batch.Set(metric.MemoryLimit, 1000, "app")
	b.batch.Set(metric.MemoryUsedRatio, ratio, "app")
	b.batch.Set(metric.MemoryLevel, float64(thresholdsOfTest.Of(ratio)), "app")
	b.batch.Set(metric.ThresholdRatio, .7, "app", metric.SignalMemory, "warning")
	b.batch.Set(metric.ThresholdRatio, .85, "app", metric.SignalMemory, "critical")
	b.batch.Set(metric.ThresholdRatio, .95, "app", metric.SignalMemory, "emergency")
	b.a.parts.store.Commit(&b.batch)
}

// cross is a reading that changed the level.
func (b *reflexBubble) cross(ratio float64) {
	b.read(ratio)
	b.a.crossed(collector.Crossing{Target: "app", Signal: collector.SignalMemory, At: time.Now()})
	synctest.Wait()
}

// intents returns the runs that are in the journal, with their levels and when they were recorded.
func (b *reflexBubble) intents() (out []string) {
	b.t.Helper()
	synctest.Wait()
	records, _, err := b.journal.Query(journal.Filter{Limit: journal.MaxLimit})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range slices.Backward(records) {
		if r.Step == 0 {
			out = append(out, fmt.Sprintf("%s at %s after %v", r.Alert, r.Level, r.Time.Sub(b.began)))
		}
	}
	return out
}

func (b *reflexBubble) expect(want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.intents()); diff != "" {
		b.t.Errorf("intents (-want +got):\n%s", diff)
	}
}

func inReflexBubble(t *testing.T, f func(b *reflexBubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg, err := config.Parse("x.yml", []byte("targets: [{name: app, processes: {match: {comm: x}}}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		set, err := setup.LoadRules(cfg, new(config.Checks))
		if err != nil {
			t.Fatal(err)
		}
		logger := slog.New(slog.DiscardHandler)
		b := &reflexBubble{t: t, a: &App{}, journal: journal.OpenMemory(journal.Options{Logger: logger}), began: time.Now()}
		b.cleaner.b = b
		actions := map[string]action.Action{action.NameCleanTemp: &b.cleaner}
		target := dispatch.Target{
			Name: "app", Mode: dispatch.ModeEnforce, Actions: actions,
			Playbooks: dispatch.Playbooks{}.Build(func(name string) bool { return actions[name] != nil }, nil),
		}
		b.a.parts.store = series.NewStore(series.Options{})
		g := &graph{cfg: cfg, targets: map[string]dispatch.Target{"app": target}}
		g.judge(cfg, set)
		b.a.graph.Store(g)
		reg := prometheus.NewRegistry()
		reg.MustRegister(collector.NewExporter(b.a.parts.store))
		d := dispatch.New(dispatch.Options{Journal: diskJournal{b.journal}, Observer: b, Logger: logger})
		d.Apply(g.targets)
		e := eval.New(eval.Options{
			Gatherer: reg, Rules: g.judged, Submit: d.Submit, Logger: logger, Registerer: prometheus.NewRegistry(),
			Store: b.a.parts.store, Acts: b.a.reflexes,
		})
		b.a.evaluator.Store(e)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- d.Run(ctx) }()
		go func() { e.Run(ctx); ended <- nil }()
		b.read(.5)
		e.Kick()
		synctest.Wait()
		f(b)
		stop()
		<-ended
		<-ended
		if err := b.journal.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFromTheCrossingToTheIntent: with a clock that the test moves, the intent of an emergency is in
// the journal at the moment of the reading, that of a critical value when its 10 s are over.
func TestFromTheCrossingToTheIntent(t *testing.T) {
	inReflexBubble(t, func(b *reflexBubble) {
		b.cleaner.to = .5
		<-time.After(7250 * time.Millisecond) // between two evaluations
		b.cross(.96)
		b.expect("SpillwayMemoryEmergency at emergency after 7.25s")
	})
	inReflexBubble(t, func(b *reflexBubble) {
		b.cleaner.to = .5
		<-time.After(7250 * time.Millisecond)
		b.cross(.86)
		<-time.After(9999 * time.Millisecond)
		b.expect()
		<-time.After(time.Millisecond)
		b.expect("SpillwayMemoryCritical at critical after 17.25s")
	})
}

// TestCooldownAtACrossing: an emergency breaks the cooldown once, what follows waits, however often
// the level changes.
func TestCooldownAtACrossing(t *testing.T) {
	inReflexBubble(t, func(b *reflexBubble) {
		b.cleaner.to = .5
		<-time.After(time.Second)
		for range 6 {
			b.cross(.96)
			<-time.After(10 * time.Second)
			b.cross(.5)
			<-time.After(10 * time.Second)
		}
		b.expect("SpillwayMemoryEmergency at emergency after 1s", "SpillwayMemoryEmergency at emergency after 21s")
	})
}
