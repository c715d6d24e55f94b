package setup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	askTimeout = 5 * time.Second // of a heap, to which no connection is open yet
	askAtOnce  = 8               // targets
)

// Answer is what a service said when one of its sources was read once.
type Answer struct {
	Source string `json:"source"`         // heap, app or probe
	Text   string `json:"text,omitempty"` // what was read
	Error  string `json:"error,omitempty"`
}

// Ask reads the heap, the counters and the probe of each target once, as the exporter does, and returns the answers by
// target. Nothing is sent to a process, collected or opened for it.
func Ask(ctx context.Context, cfg *config.Config, host hostfs.Roots, tracker *proc.Tracker, now func() time.Time) map[string][]Answer {
	pool := heap.NewPool(heap.Options{Logger: slog.New(slog.DiscardHandler), Now: now, ProcFS: host.ProcFS})
	answers := make([][]Answer, len(cfg.Targets))
	var group errgroup.Group
	group.SetLimit(askAtOnce)
	for i := range cfg.Targets {
		group.Go(func() error {
			a := asker{t: &cfg.Targets[i], window: cfg.Window, tracker: tracker, now: now}
			a.heap(ctx, pool)
			a.app(ctx)
			a.probe(ctx)
			answers[i] = a.answers
			return nil
		})
	}
	_ = group.Wait() // an error is an answer
	_ = pool.Close() // what was read is read
	out := make(map[string][]Answer)
	for i := range answers {
		out[cfg.Targets[i].Name] = answers[i]
	}
	return out
}

type asker struct {
	t       *config.Target
	window  int
	tracker *proc.Tracker
	now     func() time.Time
	answers []Answer
}

func (a *asker) add(source, text string, err error) {
	answer := Answer{Source: source, Text: text}
	if err != nil {
		answer.Text, answer.Error = "", err.Error()
	}
	a.answers = append(a.answers, answer)
}

func (a *asker) heap(ctx context.Context, pool *heap.Pool) {
	if !a.t.Heap.Enabled() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client, err := pool.Get(a.t.Heap, heap.Target{
		Name: a.t.Name, Members: HeapMembersOf(a.tracker, a.t),
		Anon: func() (units.Bytes, bool) {
			u, err := a.tracker.Usage(a.t.Name)
			return units.Bytes(u.Anon), err == nil && u.Err == nil && u.Processes > 0
		},
	})
	var u heap.Usage
	if err == nil {
		u, err = client.Read(ctx)
		_ = client.Close()
	}
	a.add("heap", u.String(), err)
}

func (a *asker) app(ctx context.Context) {
	c := a.t.App
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout.Std())
	defer cancel()
	var b series.Batch
	b.Reset(a.now())
	source := collector.NewApp(collector.AppOptions{Target: a.t.Name, Config: *c, Store: series.NewStore(series.Options{Window: a.window, Interval: time.Second}), Window: a.window, Now: a.now})
	err := errors.Join(source.Sample(ctx, &b), source.Close())
	a.add("app", fmt.Sprintf("%d of %d values", len(c.Map), len(c.Map)), err)
}

func (a *asker) probe(ctx context.Context) {
	c := a.t.Probe
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout.Std())
	defer cancel()
	store := series.NewStore(series.Options{Window: a.window, Interval: time.Second})
	var b series.Batch
	b.Reset(a.now())
	source := collector.NewProbe(collector.ProbeOptions{Target: a.t.Name, Config: *c, Store: store, Now: a.now})
	err := errors.Join(source.Sample(ctx, &b), source.Close())
	store.Commit(&b)
	success, _, _ := store.Value(metric.ProbeSuccess, a.t.Name)
	status, _, answered := store.Value(metric.ProbeStatus, a.t.Name)
	seconds, _, _ := store.Value(metric.ProbeDuration, a.t.Name)
	text := fmt.Sprintf("status %.0f in %s", status, time.Duration(seconds*float64(time.Second)).Round(time.Millisecond))
	switch {
	case err != nil:
	case !answered:
		err = fmt.Errorf("no answer within %s", c.Timeout)
	case success != 1:
		err = fmt.Errorf("%s is not one that valid_status takes", text)
	}
	a.add("probe", text, err)
}
