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
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/pull"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
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
	sourceCache      = "cache"
	sourceTemp       = "temp"
	sourceUpload     = "upload"
	sourceLog        = "log"
)

const (
	scanBudget   = 0.005 // of one core
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
	rules   *eval.Ruleset
	puller  *pull.Puller // nil: no Alertmanager is polled
	roots   *safefs.Roots
	cgroups *cgroup.Tree
}

// parts are what outlives a reload.
type parts struct {
	store   *series.Store
	pool    *heap.Pool
	opens   *hitrate.Pool
	metrics *collector.SamplerMetrics
	logger  *slog.Logger
	now     func() time.Time
	swept   func() // after each sweep of processes
	held    *heldFiles
	clock   *action.Clock
	exits   *exits
	pulls   *pull.Metrics
	submit  func(context.Context, alert.Batch) ([]alert.Disposition, error)
	journal func() *journal.Journal // nil before it is open
}

// build makes the graph of a configuration. Nothing is started, opened for writing or changed.
func build(cfg *config.Config, o *Options, p *parts) (*graph, error) {
	g := &graph{cfg: cfg, targets: make(map[string]dispatch.Target), opens: make(map[opensKey]*hitrate.Handle), roots: rootsOf(cfg, o, p.logger), cgroups: newCgroups(o)}
	var err error
	if g.rules, err = loadRules(cfg); err != nil {
		return nil, err
	}
	if g.tracker, err = newTracker(cfg, o, g.cgroups, p.logger); err != nil {
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
	if err := g.addPuller(p); err != nil {
		g.close()
		return nil, err
	}
	dirs, err := g.dirLane(o)
	if err != nil {
		g.close()
		return nil, err
	}
	if len(dirs.Jobs) > 0 {
		lanes = append(lanes, dirs)
	}
	g.sampler = collector.NewSampler(collector.SamplerOptions{
		Store: p.store, Lanes: lanes, Metrics: p.metrics, Logger: p.logger, Now: p.now,
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

func newCgroups(o *Options) *cgroup.Tree {
	return cgroup.NewTree(cgroup.Options{Procfs: o.ProcFS, Sysfs: o.SysFS})
}

func newTracker(cfg *config.Config, o *Options, cgroups *cgroup.Tree, logger *slog.Logger) (*proc.Tracker, error) {
	opts := proc.Options{Root: o.ProcFS, RootFS: o.RootFS, Cgroups: cgroups, Discover: cfg.Discover, Reserved: []string{collector.HostTarget}, Logger: logger}
	for i := range cfg.Targets {
		if t := &cfg.Targets[i]; t.Processes != nil {
			opts.Targets = append(opts.Targets, proc.Target{Name: t.Name, Config: *t.Processes, Shares: t.Memory.Proportional})
		}
	}
	t, err := proc.New(opts)
	if err != nil {
		return nil, fmt.Errorf("observe processes: %w", err)
	}
	return t, nil
}

func (g *graph) processLane(o *Options, p *parts) collector.Lane {
	cfg := g.cfg
	thresholds := cfg.Thresholds.Levels()
	interval := cfg.SampleInterval.Std()
	limits := collector.NewLimits(collector.LimitsOptions{Procfs: o.ProcFS, Sysfs: o.SysFS, Cgroups: g.cgroups})
	known := map[string]series.Thresholds{collector.HostTarget: thresholds}
	jobs := []collector.Job{{Source: sourceDiscovery, Impl: collector.NewDiscoverySource(g.tracker)}}
	var info []collector.InfoTarget
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		known[t.Name] = thresholds
		info = append(info, collector.InfoTarget{Name: t.Name, Mode: t.Mode, Processes: t.Processes != nil})
		if t.Processes == nil {
			continue
		}
		jobs = append(jobs, collector.Job{Source: sourceProcess, Target: t.Name, Impl: collector.NewTargetSource(collector.TargetOptions{
			Target: t.Name, Tracker: g.tracker, Store: p.store, Limits: limits, Memory: t.Memory, Thresholds: thresholds, Interval: interval,
		})})
	}
	if cfg.Discover != nil {
		jobs = append(jobs, collector.Job{Source: sourceGroups, Impl: collector.NewGroupsSource(collector.GroupsOptions{
			Tracker: g.tracker, Store: p.store, Limits: limits, Thresholds: thresholds, Interval: interval,
		})})
	}
	if cfg.ProcEvents {
		jobs = append(jobs, collector.Job{Source: sourceEvents, Impl: collector.NewEventsSource(collector.EventsOptions{
			Tracker: g.tracker, Store: p.store, Window: cfg.Window,
		})})
	}
	jobs = append(jobs,
		collector.Job{Source: sourceHost, Target: collector.HostTarget, Impl: collector.NewHostSource(collector.HostOptions{
			Procfs: o.ProcFS, Store: p.store, Thresholds: thresholds, Interval: interval,
		})},
		collector.Job{Source: sourceInfo, Impl: collector.NewInfoSource(info, g.tracker)},
		collector.Job{Source: sourceThresholds, Impl: collector.NewThresholdsSource(known)})
	return collector.Lane{
		Name: "process", Interval: interval, Timeout: sweepTimeout, Jobs: jobs, After: p.swept,
		Hurry: func() bool { return underPressure(p.store, cfg) },
	}
}

// underPressure reports whether a configured target is at warning or above.
func underPressure(store *series.Store, cfg *config.Config) bool {
	for i := range cfg.Targets {
		if level, _, ok := store.Value(collector.MemoryLevel, cfg.Targets[i].Name); ok && level >= float64(series.LevelWarning) {
			return true
		}
	}
	return false
}

// heapTarget tells a heap client of the processes of its target.
func (g *graph) heapTarget(t *config.Target, p *parts) heap.Target {
	name := t.Name
	return heap.Target{
		Name: name, Members: membersOf(g.tracker, name), Activate: g.activator(t, p), Wake: waker(t),
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
		})}},
	}
}

func (g *graph) dirLane(o *Options) (collector.Lane, error) {
	lane := collector.Lane{Name: "dirs", Interval: g.cfg.ScanInterval.Std(), Timeout: scanTimeout, Budget: scanBudget}
	for i := range g.cfg.Targets {
		t := &g.cfg.Targets[i]
		for _, c := range t.Caches {
			c.Dir = rooted(o.RootFS, c.Dir)
			src, err := collector.NewCache(t.Name, c, g.opens[opensKey{t.Name, c.Name}], g.cfg.Window)
			if err != nil {
				return lane, err
			}
			lane.Jobs = append(lane.Jobs, collector.Job{Source: sourceCache, Target: t.Name, Impl: src, Verify: verifier(g.roots, c.Dir)})
		}
		for _, d := range t.TempDirs {
			d.Dir = rooted(o.RootFS, d.Dir)
			src, err := collector.NewTemp(t.Name, d)
			if err != nil {
				return lane, err
			}
			lane.Jobs = append(lane.Jobs, collector.Job{Source: sourceTemp, Target: t.Name, Impl: src, Verify: verifier(g.roots, d.Dir)})
		}
		jobs, err := folderJobs(t, o, g.roots)
		if err != nil {
			return lane, err
		}
		lane.Jobs = append(lane.Jobs, jobs...)
	}
	if g.cfg.Defaults {
		src, err := collector.NewTemp(collector.HostTarget, hostTemp(o.RootFS))
		if err != nil {
			return lane, err
		}
		lane.Jobs = append(lane.Jobs, collector.Job{Source: sourceTemp, Target: collector.HostTarget, Impl: src})
	}
	return lane, nil
}

// hostTemp observes the host's temporary folder. It has no limit and no action works on it.
func hostTemp(rootfs string) policy.Temp {
	dir := os.TempDir()
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return policy.Temp{Common: policy.Common{Name: "tmp", Dir: rooted(rootfs, dir), Include: []string{"*"}}}
}

// rooted puts a directory of the configuration below the folder where the host's root is mounted.
func rooted(rootfs, dir string) string {
	if rootfs == "" || rootfs == "/" {
		return dir
	}
	return filepath.Join(rootfs, dir)
}

// newTarget gives the dispatcher what can be done for a target.
func (g *graph) newTarget(t *config.Target, client *heap.Client, o *Options, p *parts) dispatch.Target {
	out := dispatch.Target{Name: t.Name, Mode: t.Mode, Actions: make(map[string]action.Action)}
	opts := dirOptions(t.Name, g.cfg, p.logger, p.now)
	opts.ProcFS = o.ProcFS
	opts.Opens, opts.Clock, opts.Members, opts.Roots = g.opensOf(t), p.clock, membersOf(g.tracker, t.Name), g.roots
	for _, a := range dirActions(t, o, opts) {
		out.Actions[a.name] = notingAction{a.action, p.held}
	}
	if t.Heap.Collects() {
		out.Actions[dispatch.ActionCollectGarbage] = action.NewCollectGarbage(action.CollectGarbageOptions{
			Target: t.Name, Collector: client, MaxHeap: t.Heap.Collect.MaxHeap, Logger: p.logger, Now: p.now,
		})
	}
	g.addOwnActions(&out, t, o, p)
	out.Playbooks = t.Playbooks.Build(func(name string) bool { return out.Actions[name] != nil }, collectSteps(&t.Heap.Collect))
	return out
}

// collectSteps gives the steps that collect garbage the level and the rest of the heap's
// configuration, where a playbook does not say its own.
func collectSteps(c *heap.Collect) func(*dispatch.Step) {
	return func(s *dispatch.Step) {
		if s.Do != dispatch.ActionCollectGarbage {
			return
		}
		if len(s.When) == 0 {
			s.When = c.Levels()
		}
		if s.Cooldown == 0 {
			s.Cooldown = c.Cooldown
		}
	}
}

// membersOf returns what tells the processes of a target at present.
func membersOf(tracker *proc.Tracker, target string) func() []proc.Member {
	return func() []proc.Member { return tracker.Members(target) }
}

func dirOptions(target string, cfg *config.Config, logger *slog.Logger, now func() time.Time) action.DirOptions {
	return action.DirOptions{Target: target, Reserved: cfg.Journal.ReservedDirs(), Logger: logger, Now: now}
}

func rootedTemps(rootfs string, in []policy.Temp) []policy.Temp {
	out := make([]policy.Temp, len(in))
	for i, d := range in {
		d.Dir = rooted(rootfs, d.Dir)
		out[i] = d
	}
	return out
}

func rootedCaches(rootfs string, in []policy.Cache) []policy.Cache {
	out := make([]policy.Cache, len(in))
	for i, d := range in {
		d.Dir = rooted(rootfs, d.Dir)
		out[i] = d
	}
	return out
}
