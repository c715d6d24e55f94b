package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/pull"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The names of sources, as they stand in spillway_source_success.
const (
	sourceDiscovery  = "discovery"
	sourceProcess    = "process"
	sourceGroups     = "groups"
	sourceHost       = "host"
	sourceEvents     = "procevents"
	sourceThresholds = "thresholds"
	sourceInfo       = "info"
	sourceHeap       = "heap"
)

const (
	scanBudget   = 0.005 // of one core, for all folders together
	scansAtOnce  = 2
	scanTimeout  = 10 * time.Minute
	heapTimeout  = 3 * time.Second
	sweepTimeout = 5 * time.Second
)

// graph is everything that a configuration decides. It is built without side effects and
// exchanged as a whole by a reload.
type graph struct {
	cfg     *config.Config
	tracker *proc.Tracker
	sampler *collector.Sampler
	targets map[string]dispatch.Target
	clients []*heap.Client
	opens   map[opensKey]*hitrate.Handle
	judged  *eval.Ruleset   // the rules that are evaluated here; nil: none
	reflex  map[string]bool // targets that are judged as soon as they cross a threshold
	puller  *pull.Puller    // nil: no Alertmanager is polled
	pusher  *pull.Pusher    // nil: no Alertmanager is sent alerts
	roots   *safefs.Roots
	cgroups *cgroup.Tree
}

// parts are what outlives a reload.
type parts struct {
	store    *series.Store
	pool     *heap.Pool
	opens    *hitrate.Pool
	metrics  *collector.SamplerMetrics
	logger   *slog.Logger
	now      func() time.Time
	checks   *config.Checks
	share    *collector.Share   // of the lanes that scan folders
	blocked  *collector.Blocked // what does not return
	swept    func(whole bool)   // after each sweep of processes
	crossed  func(collector.Crossing)
	left     *action.Left
	trends   *trend.Board
	clock    *action.Clock
	evidence *setup.Evidence
	restarts *restart.Ledger
	observe  dispatch.Observer
	exits    *exits
	pulls    *pull.Metrics
	submit   func(context.Context, alert.Batch) ([]alert.Disposition, error)
	journal  func() *journal.Journal // nil before it is open
	files    func() *folderlog.Log   // nil where what becomes of files is not kept
}

// build makes the graph of a configuration. Nothing is started, opened for writing or changed.
func build(cfg *config.Config, o *Options, p *parts) (*graph, error) {
	g := &graph{cfg: cfg, targets: make(map[string]dispatch.Target), opens: make(map[opensKey]*hitrate.Handle), roots: setup.Folders(cfg, o.Roots, p.checks, p.logger), cgroups: setup.NewCgroups(o.Roots)}
	set, err := setup.LoadRules(cfg, p.checks)
	if err != nil {
		return nil, err
	}
	if g.tracker, err = setup.NewTracker(cfg, o.Roots, g.cgroups, p.logger); err != nil {
		return nil, err
	}
	lanes := []collector.Lane{g.processLane(o, p)}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		client, err := p.pool.Get(t.Heap, g.heapTarget(t, p))
		if err == nil {
			err = g.watchOpens(t, o, p)
		}
		if err != nil {
			g.close()
			return nil, fmt.Errorf("target %q: %w", t.Name, err)
		}
		if client != nil {
			g.clients = append(g.clients, client)
			lanes = append(lanes, g.heapLane(t, client, p))
		}
		lanes = append(lanes, g.serviceLanes(t, p)...)
		g.targets[t.Name] = g.newTarget(t, client, o, p)
	}
	g.judge(cfg, set)
	if err := g.addAlertmanagers(p); err != nil {
		g.close()
		return nil, err
	}
	dirs, err := g.dirLanes(o, p)
	if err != nil {
		g.close()
		return nil, err
	}
	g.sampler = collector.NewSampler(collector.SamplerOptions{
		Store: p.store, Lanes: append(lanes, dirs...), Metrics: p.metrics, Logger: p.logger, Now: p.now, Blocked: p.blocked, Crossed: p.crossed,
	})
	return g, nil
}

// close gives back what a graph that was never started holds.
func (g *graph) close() {
	g.tracker.Close()
	_ = g.release() // of what was never used
}

// release gives back the clients and watches that outlive a reload where its new graph took them.
func (g *graph) release() error {
	var errs []error
	for _, c := range g.clients {
		errs = append(errs, c.Close())
	}
	for _, h := range g.opens {
		h.Close()
	}
	return errors.Join(errs...)
}

func (g *graph) processLane(o *Options, p *parts) collector.Lane {
	cfg := g.cfg
	thresholds := cfg.Thresholds.Memory.Of()
	interval := cfg.SampleInterval.Std()
	limits := collector.NewLimits(collector.LimitsOptions{Procfs: o.ProcFS, Sysfs: o.SysFS, Cgroups: g.cgroups})
	known := map[string]series.Thresholds{collector.HostTarget: thresholds}
	heaps := make(map[string]series.Thresholds)
	jobs := []collector.Job{{Source: sourceDiscovery, Impl: collector.NewDiscoverySource(g.tracker)}}
	var info []collector.InfoTarget
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		known[t.Name] = thresholds
		if t.Heap.Enabled() {
			heaps[t.Name] = cfg.Thresholds.Heap.Of()
		}
		info = append(info, collector.InfoTarget{Name: t.Name, Mode: t.Mode, Processes: t.Processes != nil})
		if t.Processes == nil {
			continue
		}
		jobs = append(jobs, collector.Job{Source: sourceProcess, Target: t.Name, Impl: collector.NewTargetSource(collector.TargetOptions{
			Target: t.Name, Tracker: g.tracker, Store: p.store, Limits: limits, Memory: t.Memory, Thresholds: thresholds, Interval: interval, Trends: p.trends,
		})})
	}
	if cfg.Discover != nil {
		jobs = append(jobs, collector.Job{Source: sourceGroups, Impl: collector.NewGroupsSource(collector.GroupsOptions{
			Tracker: g.tracker, Store: p.store, Limits: limits, Thresholds: thresholds, Interval: interval, Trends: p.trends,
		})})
	}
	if cfg.ProcEvents {
		jobs = append(jobs, collector.Job{Source: sourceEvents, Impl: collector.NewEventsSource(collector.EventsOptions{
			Tracker: g.tracker, Store: p.store, Window: cfg.Window,
		})})
	}
	jobs = append(jobs,
		collector.Job{Source: sourceHost, Target: collector.HostTarget, Impl: collector.NewHostSource(collector.HostOptions{
			Procfs: o.ProcFS, Store: p.store, Thresholds: thresholds, Interval: interval, Trends: p.trends,
		})},
		collector.Job{Source: sourceInfo, Impl: collector.NewInfoSource(info, g.tracker)},
		collector.Job{Source: sourceThresholds, Impl: collector.NewThresholdsSource(known, heaps)})
	return collector.Lane{
		Name: "process", Interval: interval, Timeout: sweepTimeout, Jobs: jobs, After: p.swept,
		Hurry: func() bool { return underPressure(p.store, cfg) },
	}
}

// underPressure reports whether a configured target is at warning or above.
func underPressure(store *series.Store, cfg *config.Config) bool {
	for i := range cfg.Targets {
		if level, _, ok := store.Value(metric.MemoryLevel, cfg.Targets[i].Name); ok && level >= float64(series.LevelWarning) {
			return true
		}
	}
	return false
}

// heapTarget gives a heap client the processes of its target.
func (g *graph) heapTarget(t *config.Target, p *parts) heap.Target {
	name := t.Name
	return heap.Target{
		Name: name, Members: setup.HeapMembersOf(g.tracker, t), Activate: g.activator(t, p), Wake: waker(t), Sample: t.Captures() && t.Changes(),
		Anon: func() (units.Bytes, bool) {
			u, err := g.tracker.Usage(name)
			return units.Bytes(u.Anon), err == nil && u.Err == nil && u.Processes > 0
		},
	}
}

func (g *graph) heapLane(t *config.Target, client *heap.Client, p *parts) collector.Lane {
	name := t.Name
	return collector.Lane{
		Name: "heap", Interval: g.cfg.SampleInterval.Std(), Timeout: heapTimeout,
		Hurry: func() bool { return underPressure(p.store, g.cfg) },
		Jobs: []collector.Job{{Source: sourceHeap, Target: name, Impl: collector.NewHeap(collector.HeapOptions{
			Target: name, Reader: client, Running: g.running(t), Now: p.now,
			Thresholds: g.cfg.Thresholds.Heap.Of(), Interval: g.cfg.SampleInterval.Std(), Costly: t.Heap.Costly(),
		})}},
	}
}

// hostTemp observes the host's temporary folder. It has no limit and no action works on it.
func hostTemp(host hostfs.Roots) policy.Temp {
	dir := os.TempDir()
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return policy.Temp{Common: policy.Common{Name: "tmp", Dir: host.Join(dir), Include: []string{"*"}}}
}

// newTarget gives the dispatcher what can be done for a target.
func (g *graph) newTarget(t *config.Target, client *heap.Client, o *Options, p *parts) dispatch.Target {
	out := dispatch.Target{Name: t.Name, Mode: t.Mode, Actions: make(map[string]action.Action)}
	opts := setup.DirOptions(t.Name, g.cfg, o.Roots, p.logger, p.now)
	opts.ProcFS = o.ProcFS
	opts.Opens, opts.Clock, opts.Members, opts.Roots = g.opensOf(t), p.clock, setup.MembersOf(g.tracker, t.Name), g.roots
	opts.Inside = setup.Inside(t.Name, g.cfg, o.Roots, g.tracker, false)
	means := t.Means()
	means.Folders, means.Target, means.Dirs = setup.Rooted(t, o.Roots), t.Name, opts
	means.Heap, means.Collect, means.SysFS, means.Members = client, t.Heap.Collect, g.cgroups.Sysfs(p.now()), opts.Members
	means.Logger, means.Now, means.Capture = p.logger, p.now, p.evidence.Of(g.cfg, t, client, opts.Members)
	means.Restarts, means.Service = p.restarts, setup.RestartOf(g.cfg, t, g.tracker, p.store, p.observe)
	means.Cgroup = func() (string, error) {
		u, err := g.tracker.Usage(t.Name)
		return u.CgroupV2, err
	}
	for name, a := range means.Make() {
		if spec, _ := action.SpecOf(name); spec.Kind != "" {
			a = p.left.Noting(a)
		}
		out.Actions[name] = a
	}
	out.Playbooks = setup.Playbooks(t, func(name string) bool { return out.Actions[name] != nil })
	out.Digest, out.Process = t.Digest, setup.ProcessOf(t, opts.Members)
	out.Starts = setup.Starts(g.cfg, t, out.Playbooks)
	return out
}
