package setup

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// When evidence is captured without an alert.
const (
	evidenceLook   = 10 * time.Second
	evidenceSettle = 5 * time.Minute  // from the start of a service to its baseline
	evidenceRest   = 15 * time.Minute // between two captures at warning, or of a heap that grows
	evidenceDaily  = 24 * time.Hour
	evidenceGrowth = 0.1 // of the heap's limit, after which a heap that grows is captured again
)

// The reasons of captures, as they stand in them.
const (
	reasonBaseline = "baseline" // the first of a start of the service
	reasonDaily    = "daily"
	reasonWarning  = "warning"
	reasonGrown    = "grown"  // the heap is larger by a tenth of its limit
	reasonRelief   = "relief" // before a step that relieves
	reasonManual   = evidence.ReasonManual
)

// EvidenceOptions configure an Evidence. All are required but Registerer.
type EvidenceOptions struct {
	Store      *series.Store
	Journal    func() *journal.Journal // nil before it is open
	ProcFS     string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Evidence captures what holds the memory of targets, and says when it is due. It outlives reloads.
type Evidence struct {
	opts    EvidenceOptions
	keeper  *evidence.Keeper
	metrics *evidence.Metrics
	began   time.Time
	folders evidence.Folders
	mapped  evidence.Mapped

	mu      sync.Mutex
	reasons map[string]string    // of the run that was requested, by target
	asked   map[string]time.Time // when that was
	looked  map[string]time.Time // when the mappings of a target were read
}

// NewEvidence returns an Evidence that has captured nothing.
func NewEvidence(o EvidenceOptions) *Evidence {
	store := evidence.NewStore(func() evidence.State {
		if j := o.Journal(); j != nil {
			return j
		}
		return nil
	})
	e := &Evidence{opts: o, metrics: evidence.NewMetrics(o.Registerer), began: o.Now(), reasons: make(map[string]string), asked: make(map[string]time.Time)}
	e.keeper = evidence.NewKeeper(evidence.KeeperOptions{Store: store, Logger: o.Logger, Metrics: e.metrics, Now: o.Now})
	return e
}

// Keeper returns what captures and keeps.
func (e *Evidence) Keeper() *evidence.Keeper { return e.keeper }

// Folders returns what fills the folders of policies.
func (e *Evidence) Folders() *evidence.Folders { return &e.folders }

// Folder returns what keeps the names in a policy's folder after each scan, nil where they are not kept.
func (e *Evidence) Folder(t *config.Target, kind, name string) func(at time.Time, every int64, shapes []dirscan.Shape) {
	if e == nil || !t.Evidence.Enabled() {
		return nil
	}
	redact, err := evidence.NewRedactor(t.Evidence.Redact)
	if err != nil {
		return nil // validation has refused it
	}
	return e.folders.Observer(t.Name, kind, name, redact)
}

// Of returns how evidence of a target is captured, nil where it is not.
func (e *Evidence) Of(cfg *config.Config, t *config.Target, client *heap.Client, members func() []proc.Member) action.EvidenceFunc {
	if !t.Captures() || client == nil {
		return nil
	}
	redact, err := evidence.NewRedactor(t.Evidence.Redact)
	if err != nil {
		return nil // validation has refused it
	}
	e.metrics.Born(t.Name, t.Heap.Provider)
	room := func() evidence.Room { return e.room(cfg, t) }
	return func(ctx context.Context, trigger string, dryRun bool) evidence.Taken {
		return e.keeper.Capture(ctx, evidence.Request{
			Process:  evidence.Process{Target: t.Name, Members: members(), Heap: client, ProcFS: e.opts.ProcFS, Redact: redact},
			Provider: t.Heap.Provider, Config: &t.Evidence, Room: room,
			Reason: e.reasonOf(t.Name, trigger), ByHand: trigger == string(alert.TriggerManual), DryRun: dryRun,
		})
	}
}

// reasonOf returns why a run captures.
func (e *Evidence) reasonOf(target, trigger string) string {
	switch alert.Trigger(trigger) {
	case alert.TriggerManual:
		return reasonManual
	case alert.TriggerSchedule:
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.reasons[target]
	}
	return reasonRelief
}

// room reads what a target has left, from memory. Of a heap that its runtime fills before it collects, what is used says nothing.
func (e *Evidence) room(cfg *config.Config, t *config.Target) evidence.Room {
	store, runtime := e.opts.Store, t.Heap.Runtime()
	level, _, _ := store.Value(metric.MemoryLevel, t.Name)
	r := evidence.Room{Level: series.Level(level)}
	r.Free = math.MaxInt64
	within := func(used, limit float64) {
		r.Known = true
		r.Free = min(r.Free, units.Bytes(limit-used))
	}
	used, _, okUsed := store.Value(metric.MemoryUsed, t.Name)
	limit, _, okLimit := store.Value(metric.MemoryLimit, t.Name)
	if okUsed && okLimit {
		within(used, limit)
		r.Used = units.Bytes(used)
		if growth, _, ok := store.Value(metric.MemoryFastGrowth, t.Name); ok {
			if left := series.Exhaustion(used, limit, growth); left < time.Hour.Seconds() {
				r.Until = max(time.Duration(left*float64(time.Second)), 1)
			}
		}
	}
	used, _, okUsed = store.Value(metric.HeapUsed, t.Name, runtime)
	limit, _, okLimit = store.Value(metric.HeapLimit, t.Name, runtime)
	if okUsed {
		r.Used = units.Bytes(used)
	}
	if okUsed && okLimit && limit > 0 {
		if !evidence.Apart(t.Heap.Provider) {
			within(used, limit)
		}
		if live, _, ok := store.Value(metric.HeapLive, t.Name, runtime); ok {
			used = live
		}
		r.Level = max(r.Level, cfg.Thresholds.Heap.Of().Of(used/limit))
	}
	if !r.Known {
		r.Free = 0
	}
	return r
}

// EvidenceGraph is what a configuration says of when evidence is captured.
type EvidenceGraph struct {
	Config  *config.Config
	Members func(target string) []proc.Member
}

// Run requests the captures that are due until ctx is done: the baseline of each start once the service has settled, one
// each day, one at warning, and one whenever the heap has grown. Only targets in mode enforce are asked.
func (e *Evidence) Run(ctx context.Context, graph func() EvidenceGraph, run func(context.Context, dispatch.ManualRequest) (string, error)) {
	tick := time.NewTicker(evidenceLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		g := graph()
		for i := range g.Config.Targets {
			t := &g.Config.Targets[i]
			members := g.Members(t.Name)
			e.lookAtMappings(t, members)
			if !t.Changes() || !t.Captures() {
				continue
			}
			if reason := e.due(g.Config, t, members); reason != "" {
				e.request(ctx, t.Name, reason, run)
			}
		}
	}
}

// request asks for a run that captures.
func (e *Evidence) request(ctx context.Context, target, reason string, run func(context.Context, dispatch.ManualRequest) (string, error)) {
	e.mu.Lock()
	e.reasons[target], e.asked[target] = reason, e.opts.Now()
	e.mu.Unlock()
	_, err := run(ctx, dispatch.ManualRequest{
		Target: target, Playbook: action.NameCaptureEvidence, Steps: []dispatch.Step{{Do: action.NameCaptureEvidence}},
		Trigger: alert.TriggerSchedule, By: reason,
	})
	if err != nil && !errors.Is(err, dispatch.ErrPaused) && ctx.Err() == nil {
		e.opts.Logger.Warn("a capture of evidence could not be started", "target", target, "reason", reason, "err", err)
	}
}

// due returns why evidence of a target is to be captured now; "" when it is not.
func (e *Evidence) due(cfg *config.Config, t *config.Target, members []proc.Member) string {
	now := e.opts.Now()
	e.mu.Lock()
	asked := e.asked[t.Name]
	e.mu.Unlock()
	if !asked.IsZero() && now.Sub(asked) < evidenceRest || t.Processes != nil && len(members) == 0 {
		return ""
	}
	var start time.Time
	for _, m := range members {
		if start.IsZero() || m.Start.Before(start) {
			start = m.Start
		}
	}
	if t.Heap.Provider == heap.ProviderNode && e.began.After(start) {
		start = e.began // it samples since then
	}
	if now.Sub(start) < evidenceSettle {
		return ""
	}
	all, err := e.keeper.Store().All(t.Name)
	if err != nil || len(all) == 0 || all[len(all)-1].Time.Before(start) {
		return reasonBaseline
	}
	newest := &all[len(all)-1]
	rests := now.Sub(newest.Time) < evidenceRest
	room := e.room(cfg, t)
	limit, _, known := e.opts.Store.Value(metric.HeapLimit, t.Name, t.Heap.Runtime())
	switch {
	case now.Sub(newest.Time) >= evidenceDaily:
		return reasonDaily
	case rests:
		return ""
	case room.Level >= series.LevelWarning:
		return reasonWarning
	case known && newest.Used > 0 && float64(room.Used)-float64(newest.Used) >= evidenceGrowth*limit:
		return reasonGrown
	}
	return ""
}
