package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/listen"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/pull"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/watch"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

const (
	drainTime    = 20 * time.Second // for running steps at the end
	shutdownTime = 5 * time.Second  // for open requests
	firstSweep   = 30 * time.Second // a reload goes on after this although a lane has not finished its first sweep
)

// App is a running exporter. What stands here outlives reloads; what a configuration decides is
// in the graph.
type App struct {
	opts       Options
	logger     *slog.Logger
	registry   *prometheus.Registry
	parts      parts
	journal    *journal.Journal
	dispatcher *dispatch.Dispatcher
	watchers   *watch.Set
	polling    polling
	handler    http.Handler
	listeners  []net.Listener
	auth       listen.Auth
	reloads    *reloadMetrics
	manager    manager

	graph      atomic.Pointer[graph]
	evaluator  atomic.Pointer[eval.Evaluator] // nil until it was needed once
	own        *lazy.Set                      // parts of this process that are opened on need
	ownMetrics *lazy.Metrics
	evaluators *lazy.Provider[*eval.Evaluator]
	reloadText atomic.Pointer[string]
	loadedAt   atomic.Pointer[time.Time] // of the configuration that runs

	mu         sync.Mutex // serialises start, reload and stop
	ctx        context.Context
	stopEval   context.CancelFunc
	stopTimers context.CancelFunc
	tasks      sync.WaitGroup
}

// New reads the configuration, opens the journal and the listeners, and wires everything. Nothing
// runs yet.
func New(ctx context.Context, o Options, logger *slog.Logger) (*App, error) {
	cfg, err := setup.LoadConfig(o.ConfigFile)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &App{opts: o, logger: logger}
	if err := a.openManager(); err != nil {
		return nil, err
	}
	if a.auth, err = listen.ReadAuth(*o.Web.WebConfigFile); err != nil {
		return nil, setup.Mistake(err)
	}
	if err := cfg.CheckListener(*o.Web.WebListenAddresses, a.auth.Decided()); err != nil {
		return nil, err
	}
	setup.Warn(cfg, logger)
	logAccess(cfg, a.auth, logger)
	store := series.NewStore(series.Options{Window: cfg.Window, Interval: cfg.SampleInterval.Std()})
	a.registry = newRegistry(store)
	a.reloads = newReloadMetrics(a.registry)
	providers := lazy.NewMetrics(a.registry)
	a.own, a.ownMetrics = lazy.NewSet(), providers
	if a.evaluators, err = lazy.Add(a.own, lazy.Options[*eval.Evaluator]{
		Name: "embedded evaluator", Kind: "evaluator", Open: a.openEvaluator, Now: o.Now, Metrics: providers,
	}); err != nil {
		return nil, err
	}
	a.parts = parts{
		store: store, logger: logger, now: o.Now, held: newHeldFiles(), exits: newExits(), pulls: pull.NewMetrics(a.registry), submit: a.submit, journal: func() *journal.Journal { return a.journal }, metrics: collector.NewSamplerMetrics(a.registry), swept: a.swept,
		pool: heap.NewPool(heap.Options{
			Logger: logger, Now: o.Now, Metrics: providers, ProcFS: o.ProcFS,
			Ports: func(m proc.Member) ([]netip.AddrPort, error) { return proc.Ports(o.ProcFS, m) },
		}), opens: hitrate.NewPool(o.Now, providers),
	}
	a.parts.clock = setup.NewClock(o.Now, func() *journal.Journal { return a.journal })
	g, err := build(cfg, &a.opts, &a.parts)
	if err != nil {
		return nil, err
	}
	if err := a.open(ctx, cfg); err != nil {
		g.close()
		return nil, err
	}
	a.graph.Store(g)
	a.dispatcher.Apply(g.targets)
	a.loaded(nil)
	return a, nil
}

// open opens what outlives reloads: journal, dispatcher, listeners, handlers.
func (a *App) open(ctx context.Context, cfg *config.Config) error {
	var err error
	if a.journal, err = setup.OpenJournal(cfg, a.logger, a.registry); err != nil {
		return err
	}
	if a.listeners, err = listen.Open(ctx, a.opts.Web); err != nil {
		return errors.Join(err, a.journal.Close())
	}
	a.dispatcher = dispatch.New(dispatch.Options{
		Journal: a.journal, Observer: observer{a}, Instance: cfg.Instance, Logger: a.logger, Now: a.opts.Now, Registerer: a.registry,
	})
	a.watchers = watch.New(watch.Options{Report: a.reportOf, Run: a.runWatcher, Logger: a.logger, Registerer: a.registry})
	a.handler = web.New(web.Options{
		Store: a.parts.store, Metrics: metricsHandler(a.registry), TelemetryPath: a.opts.TelemetryPath,
		Submit: a.dispatcher.Submit, RunNow: a.runNow, Journal: a.journal.Query, State: a.state,
		Reload: a.Reload, Ready: a.ready, Interval: func() time.Duration { return a.graph.Load().cfg.SampleInterval.Std() },
		LearnHost: a.dispatcher.LearnHost, Access: func() web.Access { return accessOf(a.graph.Load().cfg) },
		Authenticated: a.authenticated, Version: "spillway_exporter " + version.Version,
		Logger: a.logger, Registerer: a.registry, Now: a.opts.Now, Providers: a.own, ProviderMetrics: a.ownMetrics,
	})
	return nil
}

// Addrs returns the addresses that the exporter listens on.
func (a *App) Addrs() []net.Addr {
	out := make([]net.Addr, len(a.listeners))
	for i, l := range a.listeners {
		out[i] = l.Addr()
	}
	return out
}

// Run serves until ctx is done, then drains: no new runs, running steps have 20 s, what did not
// end is recorded as such.
func (a *App) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.mu.Lock()
	a.ctx = ctx
	g := a.graph.Load()
	a.watchers.Apply(ctx, g.cfg.Watchers)
	a.setPolling(g)
	g.sampler.Start(ctx)
	a.startTimers(g)
	a.setStandalone(g)
	a.mu.Unlock()
	// The dispatcher is ended by Drain, so that running steps can finish.
	dispatching := make(chan error, 1)
	go func() { dispatching <- a.dispatcher.Run(context.WithoutCancel(ctx)) }()
	a.tasks.Go(func() { a.statusLog(ctx) })
	a.tasks.Go(func() { a.serveExits(ctx) })
	a.tasks.Go(func() { a.handleReloads(ctx) })
	a.serveManager(ctx)
	for _, l := range a.listeners {
		a.logger.Info("status page", "url", listen.URL(l.Addr(), a.auth.TLS))
	}
	err := listen.Serve(ctx, a.listeners, a.handler, a.opts.Web, a.logger, shutdownTime)
	cancel()
	a.logger.Info("shutting down")
	a.tell(a.manager.Stopping("waiting for running steps"))
	drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer done()
	drainErr := a.dispatcher.Drain(drain)
	dispatchErr := <-dispatching
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks.Wait()
	a.watchers.Stop()
	a.polling.stop()
	a.graph.Load().sampler.Stop()
	return errors.Join(err, drainErr, dispatchErr, a.parts.pool.Close(), a.parts.opens.Close(), a.own.CloseAll(), a.journal.Close())
}

// swept is called after each sweep of the processes.
func (a *App) swept() {
	a.beat()
	a.observeExits()
	a.observeLevels()
	if e := a.evaluator.Load(); e != nil {
		e.Kick()
	}
}

// setStandalone starts or stops the embedded evaluator as a graph says. mu is held.
func (a *App) setStandalone(g *graph) {
	on := *g.cfg.Standalone
	if e := a.evaluator.Load(); e != nil && on {
		e.SetRules(g.rules)
	}
	switch {
	case on && a.stopEval == nil:
		lease, err := a.evaluators.Get(a.ctx)
		if err != nil {
			a.logger.Error("the rules are not evaluated here", "err", err)
			return
		}
		e := lease.Value
		var ctx context.Context
		ctx, a.stopEval = context.WithCancel(a.ctx)
		a.tasks.Go(func() {
			defer func() {
				lease.Release()
				a.evaluators.Unload()
			}()
			select {
			case <-g.sampler.Ready():
			case <-ctx.Done():
				return
			}
			e.Run(ctx)
		})
	case !on && a.stopEval != nil:
		a.stopEval()
		a.stopEval = nil
	}
}

// openEvaluator makes the evaluator when rules are to be evaluated here for the first time. One
// that was switched off and on again is the same: it alone has the metrics.
func (a *App) openEvaluator(context.Context) (*eval.Evaluator, error) {
	if e := a.evaluator.Load(); e != nil {
		return e, nil
	}
	cfg := a.graph.Load().cfg
	e := eval.New(eval.Options{
		Gatherer: a.registry, Rules: a.graph.Load().rules, Interval: cfg.EvaluationInterval.Std(), Submit: a.submitStandalone,
		State: evalState{a.journal}, Labels: map[string]string{"instance": cfg.Instance}, Logger: a.logger, Registerer: a.registry, Now: a.opts.Now,
	})
	a.evaluator.Store(e)
	return e, nil
}

// submitStandalone gives the evaluator's alerts to the dispatcher.
func (a *App) submitStandalone(ctx context.Context, b alert.Batch) ([]alert.Disposition, error) {
	return a.dispatcher.Submit(ctx, b)
}

// startTimers runs the policies that have a schedule of their own. mu is held.
func (a *App) startTimers(g *graph) {
	if a.stopTimers != nil {
		a.stopTimers()
	}
	var ctx context.Context
	ctx, a.stopTimers = context.WithCancel(a.ctx)
	for i := range g.cfg.Targets {
		t := &g.cfg.Targets[i]
		a.startSchedules(ctx, t)
	}
}

// schedule asks for a clean-up of one folder on its own interval.
func (a *App) schedule(ctx context.Context, target string, s scheduled) {
	t := time.NewTicker(s.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		_, err := a.dispatcher.RunNow(ctx, dispatch.ManualRequest{
			Target: target, Action: s.action, Only: s.policy, Trigger: alert.TriggerSchedule,
		})
		if err != nil && ctx.Err() == nil {
			a.logger.Warn("a scheduled clean-up was not started", "target", target, "dir", s.policy, "err", err)
		}
	}
}

func (a *App) handleReloads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.opts.ReloadSignal:
			//nolint:errcheck // logged and counted by Reload
			a.Reload()
		}
	}
}

// Reload loads the configuration again and builds a whole new graph without side effects; only
// then the old one stops, the new one starts, and they are exchanged. A configuration that is
// wrong leaves the old one running.
func (a *App) Reload() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx == nil || a.ctx.Err() != nil {
		return errors.New("the exporter is not running")
	}
	a.tell(a.manager.Reloading())
	defer a.tellReady()
	err := a.reload()
	a.loaded(err)
	if err != nil {
		a.logger.Error("the configuration was not loaded, the old one still runs", "err", err)
		return err
	}
	a.logger.Info("configuration loaded", "file", a.opts.ConfigFile)
	return nil
}

func (a *App) reload() error {
	cfg, err := setup.LoadConfig(a.opts.ConfigFile)
	if err != nil {
		return err
	}
	auth, err := listen.ReadAuth(*a.opts.Web.WebConfigFile)
	if err != nil {
		return err
	}
	if err := cfg.CheckListener(*a.opts.Web.WebListenAddresses, auth.Decided()); err != nil {
		return err
	}
	if cfg.Enforces() && !a.journal.Durable() {
		return errors.New("mode enforce needs a journal on the disk, and this process has none: write journal: {dir: ...} and restart")
	}
	g, err := build(cfg, &a.opts, &a.parts)
	if err != nil {
		return err
	}
	setup.Warn(cfg, a.logger)
	logAccess(cfg, auth, a.logger)
	old := a.graph.Load()
	g.logExchanged(old, a.logger)
	if cfg.Window != old.cfg.Window || cfg.Journal != old.cfg.Journal {
		a.logger.Warn("window and journal take effect at the next start only")
	}
	old.sampler.Stop()
	g.sampler.Start(a.ctx)
	a.exchange(g)
	a.dispatcher.SetInstance(cfg.Instance)
	a.watchers.Apply(a.ctx, cfg.Watchers)
	a.setPolling(g)
	a.startTimers(g)
	a.setStandalone(g)
	select { // so that nothing which both observe is ever absent
	case <-g.sampler.Ready():
	case <-time.After(firstSweep):
	case <-a.ctx.Done():
	}
	old.sampler.Forget()
	if err := old.release(); err != nil {
		a.logger.Debug("closing the clients of the old configuration failed", "err", err)
	}
	return nil
}

// loaded notes how a load of the configuration ended.
func (a *App) loaded(err error) {
	text := ""
	if err != nil {
		text = err.Error()
		a.reloads.success.Set(0)
	} else {
		now := a.opts.Now()
		a.reloads.success.Set(1)
		a.reloads.at.Set(float64(now.UnixMilli()) / 1000)
		a.loadedAt.Store(&now)
	}
	a.reloadText.Store(&text)
}

// ready is nil once every source has been sampled.
func (a *App) ready() error {
	select {
	case <-a.graph.Load().sampler.Ready():
		return nil
	default:
		return errors.New("the first sweep has not ended yet")
	}
}

// runNow adapts a manual run of the API.
func (a *App) runNow(ctx context.Context, r web.RunRequest) (string, error) {
	id, err := a.dispatcher.RunNow(ctx, dispatch.ManualRequest{
		Target: r.Target, Playbook: r.Playbook, Action: r.Action, DryRun: r.DryRun, Force: r.Force,
	})
	if errors.Is(err, dispatch.ErrUnknown) || errors.Is(err, dispatch.ErrBadRequest) || errors.Is(err, dispatch.ErrNotEnforced) {
		return "", fmt.Errorf("%w: %w", web.ErrRefused, err)
	}
	return id, err
}

// state gathers what the page shows beside the targets.
func (a *App) state() web.State {
	g := a.graph.Load()
	st := web.State{Modes: make(map[string]string), Standalone: *g.cfg.Standalone, Config: a.opts.ConfigFile, LoadedAt: *a.loadedAt.Load(), ReloadError: *a.reloadText.Load()}
	for i := range g.cfg.Targets {
		st.Modes[g.cfg.Targets[i].Name] = g.cfg.Targets[i].Mode
	}
	st.Activity = activityOf(a.dispatcher.Status())
	for _, e := range g.sampler.Errors() {
		st.Errors = append(st.Errors, web.SourceError(e))
	}
	for _, p := range slices.Concat(a.parts.pool.Stats(), a.parts.opens.Stats(), a.own.Stats()) {
		provider := web.Provider{Name: p.Name, Kind: p.Kind, Open: p.Open, Opens: p.Opens, Failures: p.Failures}
		if p.LastErr != nil {
			provider.LastError = p.LastErr.Error()
		}
		st.Providers = append(st.Providers, provider)
	}
	switch {
	case !a.journal.Durable():
		st.Journal = "Dry runs are recorded in memory only: no folder for the journal can be written."
	case !a.journal.Writable():
		st.Journal = fmt.Sprintf("The journal cannot be written, and nothing is done until it can: %v.", a.journal.Failure())
	}
	e := a.evaluator.Load()
	if e == nil || !st.Standalone {
		return st
	}
	for _, al := range e.Alerts() {
		value, err := al.Value.MarshalText()
		if err != nil {
			continue
		}
		st.Alerts = append(st.Alerts, web.Alert{
			Name: al.Name, State: al.State, Labels: al.Labels, Annotations: al.Annotations, Value: string(value), ActiveAt: al.ActiveAt,
		})
	}
	for _, r := range e.Rules() {
		rule := web.Rule{Group: r.Group, Name: r.Name, LastError: r.LastError}
		if r.Kind == "alerting" {
			rule.State = r.State
		}
		st.Rules = append(st.Rules, rule)
	}
	return st
}
