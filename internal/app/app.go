package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/control"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/ledger"
	"github.com/spillway-exporter/spillway_exporter/internal/lifecycle"
	"github.com/spillway-exporter/spillway_exporter/internal/listen"
	"github.com/spillway-exporter/spillway_exporter/internal/memlock"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/pull"
	"github.com/spillway-exporter/spillway_exporter/internal/schedule"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
	"github.com/spillway-exporter/spillway_exporter/internal/wake"
	"github.com/spillway-exporter/spillway_exporter/internal/watch"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

const (
	drainTime    = 20 * time.Second // for running steps at the end
	journalTime  = 2 * time.Second  // kept for the journal, whatever else does not end
	drainGrace   = 3 * time.Second  // of it: for those that are cancelled
	shutdownTime = 3 * time.Second  // for open requests
	firstSweep   = 30 * time.Second // the start is reported after this although a lane has not finished its first sweep
	second       = time.Second
)

// App is a running exporter. Its fields survive reloads; everything derived from the configuration
// is in graph.
type App struct {
	opts       Options
	logger     *slog.Logger
	registry   *prometheus.Registry
	parts      parts
	journal    *journal.Journal
	dispatcher *dispatch.Dispatcher
	watchers   *watch.Set
	polling    polling
	handler    *web.Handler
	listeners  []net.Listener
	auth       listen.Auth
	reloads    *reloadMetrics
	manager    manager
	control    *control.Server // nil without a journal on disk
	wakes      *setup.Wakes
	evidence   *setup.Evidence
	history    *setup.History // nil: nothing is recorded
	ledger     *ledger.Keeper

	graph      atomic.Pointer[graph]
	evaluator  atomic.Pointer[eval.Evaluator] // nil until it was needed once
	own        *lazy.Set                      // parts of this process that are opened on need
	ownMetrics *lazy.Metrics
	evaluators *lazy.Provider[*eval.Evaluator]
	reloadText atomic.Pointer[string]
	loadedAt   atomic.Pointer[time.Time] // of the configuration that runs

	life        *lifecycle.Lifecycle
	tasks       sync.WaitGroup // timers, and what waits for signals
	evaluations sync.WaitGroup
	schedule    *schedule.Schedule
	checks      config.Checks
	reloading   reloading

	running sync.Mutex // guards the two below
	cancel  context.CancelFunc
	stopped bool

	mu       sync.Mutex      // serialises start and reload
	ctx      context.Context // done when the exporter is shutting down; nil before start
	base     context.Context // of what is ended by a step of life
	stopEval context.CancelFunc
}

// New reads the configuration, opens the journal and the listeners, and wires everything. Nothing
// runs yet.
func New(ctx context.Context, o Options, logger *slog.Logger) (*App, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &App{opts: o, logger: logger, life: lifecycle.New(logger), reloading: newReloading()}
	a.checks.Host = o.Roots
	cfg, err := setup.LoadConfig(o.ConfigFile, &a.checks)
	if err != nil {
		return nil, err
	}
	if err := a.openManager(); err != nil {
		return nil, err
	}
	if a.auth, err = listen.ReadAuth(*o.Web.WebConfigFile); err != nil {
		return nil, setup.Mistake(err)
	}
	if err := setup.CheckService(cfg, a.service(a.auth), &a.checks); err != nil {
		return nil, err
	}
	if cfg.LockMemory {
		if err := memlock.Allowed(); err != nil {
			return nil, err
		}
	}
	setup.LogMode(cfg, o.ConfigFile, logger)
	setup.Warn(cfg, logger)
	setup.LogAccess(cfg, a.auth, logger)
	store := series.NewStore(series.Options{Window: cfg.Window, Interval: cfg.SampleInterval.Std()})
	a.registry = setup.NewRegistry(store)
	a.reloads = newReloadMetrics(a.registry)
	providers := lazy.NewMetrics(a.registry)
	a.own, a.ownMetrics = lazy.NewSet(), providers
	if a.evaluators, err = lazy.Add(a.own, lazy.Options[*eval.Evaluator]{
		Name: "embedded evaluator", Kind: "evaluator", Open: a.openEvaluator, Now: o.Now, Metrics: providers,
	}); err != nil {
		return nil, err
	}
	a.parts = parts{
		store: store, logger: logger, now: o.Now, left: action.NewLeft(), trends: trend.NewBoard(), exits: newExits(), pulls: pull.NewMetrics(a.registry), submit: a.submit, journal: func() *journal.Journal { return a.journal }, files: func() *folderlog.Log { return a.history.Folders() }, metrics: collector.NewSamplerMetrics(a.registry), swept: a.swept, crossed: a.crossed,
		checks: &a.checks, share: collector.NewShare(scanBudget, scansAtOnce), blocked: collector.NewBlocked(),
		pool: heap.NewPool(heap.Options{
			Logger: logger, Now: o.Now, Metrics: providers, ProcFS: o.ProcFS,
			Ports: func(m proc.Member) ([]netip.AddrPort, error) { return proc.Ports(o.ProcFS, m) },
		}), opens: hitrate.NewPool(o.Now, providers),
	}
	a.evidence = setup.NewEvidence(setup.EvidenceOptions{Store: store, Journal: a.parts.journal, ProcFS: o.ProcFS, Logger: logger, Registerer: a.registry, Now: o.Now})
	a.parts.evidence, a.parts.observe = a.evidence, observer{a}
	a.parts.restarts = setup.NewRestarts(a.parts.journal, a.registry, o.Now)
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
	waker := wake.New(wake.Options{Wake: a.wakeTarget, Logger: logger, Registerer: a.registry})
	a.wakes = setup.NewWakes(waker)
	a.life.Add("sampler", 2*second, func(ctx context.Context) error { return a.graph.Load().sampler.Stop(ctx) })
	a.life.Add("kernel notifications", second, waker.Stop)
	return a, nil
}

// open opens what outlives reloads: journal, dispatcher, listeners, handlers.
func (a *App) open(ctx context.Context, cfg *config.Config) error {
	var err error
	if a.journal, err = setup.OpenServedJournal(cfg, a.logger, a.registry); err != nil {
		return err
	}
	a.life.AddKept("journal", journalTime, func(context.Context) error { return a.journal.Close() })
	a.openControl(ctx)
	a.history = setup.NewHistory(setup.HistoryOptions{Config: cfg, Journal: a.journal, Series: a.parts.store, Members: a.members, ProcFS: a.opts.ProcFS, Logger: a.logger, Registerer: a.registry, Now: a.opts.Now, Trends: a.parts.trends})
	a.ledger = setup.NewLedger(a.journal, func() *config.Config { return a.graph.Load().cfg }, a.logger, a.opts.Now)
	if a.listeners, err = listen.Open(ctx, a.opts.Web); err != nil {
		return errors.Join(err, a.life.Stop())
	}
	a.life.Add("listeners", second, func(context.Context) error { return listen.Close(a.listeners) })
	a.life.Add("clients and watches", second, func(context.Context) error {
		return errors.Join(a.parts.pool.Close(), a.parts.opens.Close(), a.own.CloseAll())
	})
	a.dispatcher = dispatch.New(dispatch.Options{
		Journal: a.journal, Observer: observer{a}, Outlook: a.parts.trends.Of, Instance: cfg.Instance, PinInstance: a.pins(cfg), Logger: a.logger, Now: a.opts.Now, Registerer: a.registry,
	})
	a.schedule = schedule.New(schedule.Options{RunNow: a.dispatcher.RunNow, State: a.journal, Logger: a.logger, Now: a.opts.Now})
	a.watchers = watch.New(watch.Options{Report: a.reportOf, Run: a.runWatcher, Logger: a.logger, Registerer: a.registry})
	a.handler = web.New(web.Options{
		Store: a.parts.store, Metrics: setup.MetricsHandler(a.registry), TelemetryPath: a.opts.TelemetryPath,
		Submit: a.dispatcher.Submit, RunNow: a.runNow, Pause: a.pause, Decide: a.decide, Journal: a.journal.Query, State: a.state, Evidence: a.evidence.Keeper().Store().All, Folders: a.evidence.Folders().Of, Mappings: a.evidence.Mappings, Growth: a.parts.trends.Of, Advice: a.ledger.Advice, History: a.history, Host: setup.HostName(),
		Reload: a.Reload, Ready: a.ready, Interval: func() time.Duration { return a.graph.Load().cfg.SampleInterval.Std() },
		LearnHost: a.dispatcher.LearnHost, Access: func() web.Access { return accessOf(a.graph.Load().cfg) },
		Authenticated: a.authenticated, User: a.user, Version: "spillway_exporter " + version.Version,
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

// Run serves until ctx is done, then stops; see Stop.
func (a *App) Run(ctx context.Context) error {
	served, err := a.start(ctx)
	if err != nil {
		return err
	}
	select {
	case <-served: // a listener has failed
	case <-ctx.Done():
	}
	return a.Stop()
}

// start starts everything, each with the step that ends it. The channel is closed when the
// listeners have ended.
func (a *App) start(ctx context.Context) (served <-chan struct{}, err error) {
	a.running.Lock()
	defer a.running.Unlock()
	if a.stopped {
		return nil, errors.New("the exporter was stopped")
	}
	if err := memlock.Apply(a.graph.Load().cfg.LockMemory, false); err != nil {
		return nil, err
	}
	base := context.WithoutCancel(ctx)
	ctx, a.cancel = context.WithCancel(ctx)
	a.mu.Lock()
	a.ctx, a.base = ctx, base
	g := a.graph.Load()
	g.sampler.Start(base)
	a.setEvaluator(g)
	a.logJudged(g)
	a.setPolling(g)
	a.watchers.Apply(base, g.cfg.Watchers)
	a.mu.Unlock()
	a.life.Add("embedded evaluator", second, lifecycle.Wait(&a.evaluations))
	a.life.Add("polling of the Alertmanagers", second, lifecycle.Wait(&a.polling.done))
	a.life.Add("watchers", second, func(context.Context) error { a.watchers.Stop(); return nil })
	a.startDispatcher(base)
	a.serveControl()
	a.schedule.Apply(schedule.Of(g.cfg))
	a.tasks.Go(func() { a.schedule.Run(ctx) })
	a.tasks.Go(func() { a.evidence.Run(ctx, a.evidenceGraph, a.dispatcher.RunNow) })
	drains := setup.Drains{Ledger: a.parts.restarts, Journal: a.journal, Logger: a.logger, Now: a.opts.Now, Targets: func() map[string]dispatch.Target { return a.graph.Load().targets }}
	a.tasks.Go(func() { drains.Run(ctx, g.sampler.Ready()) })
	a.tasks.Go(func() { a.history.Run(ctx) })
	a.tasks.Go(func() { a.ledger.Run(ctx) })
	a.tasks.Go(func() { a.statusLog(ctx) })
	a.tasks.Go(func() { a.serveExits(ctx) })
	a.tasks.Go(func() { a.handleReloads(ctx) })
	a.serveManager(ctx)
	a.life.Add("timers", second, lifecycle.Wait(&a.tasks))
	a.life.Add("reload", second, a.reloading.wait)
	for _, l := range a.listeners {
		a.logger.Info("status page", "url", listen.URL(l.Addr(), a.auth.TLS))
	}
	return a.startServing(base), nil
}

// startDispatcher starts what runs playbooks. It is ended by Drain, so that running steps can
// finish.
func (a *App) startDispatcher(base context.Context) {
	dispatching := make(chan error, 1)
	go func() { dispatching <- a.dispatcher.Run(base) }()
	a.life.Add("dispatcher", drainTime, func(ctx context.Context) error {
		end, _ := ctx.Deadline()
		drain, done := context.WithDeadline(ctx, end.Add(-drainGrace))
		defer done()
		return errors.Join(a.dispatcher.Drain(drain), <-dispatching)
	})
}

// startServing serves all listeners.
func (a *App) startServing(base context.Context) <-chan struct{} {
	ctx, stop := context.WithCancel(base)
	served := make(chan struct{})
	var err error
	go func() {
		defer close(served)
		err = listen.Serve(ctx, a.listeners, listen.Options{Handler: a.handler, Caller: a.handler.Caller, Flags: a.opts.Web, Logger: a.logger, Grace: shutdownTime})
	}()
	a.life.Add("open requests", shutdownTime+second, func(context.Context) error {
		stop()
		<-served
		return err
	})
	return served
}

// Stop ends everything in the reverse order of its start, within 25 s: no new runs, running steps
// have most of that time, and what did not end is recorded as such. The error names what did not
// end in its time and was left behind. It may be called before Run, and again.
func (a *App) Stop() error {
	a.running.Lock()
	first := !a.stopped
	a.stopped = true
	cancel := a.cancel
	a.running.Unlock()
	if first {
		a.logger.Info("shutting down")
		a.tell(a.manager.Stopping("waiting for running steps"))
	}
	if cancel != nil {
		cancel()
	}
	return a.life.Stop()
}

// swept is called after each sweep of the processes. One in part, because a source is stuck, is no
// sign of life.
func (a *App) swept(whole bool) {
	if whole {
		a.beat()
	}
	a.history.Swept()
	a.observeExits()
	a.observeLevels()
	a.followCgroups()
	if e := a.evaluator.Load(); e != nil {
		e.Kick()
	}
}

// setEvaluator starts or stops the embedded evaluator as a graph says. mu is held.
func (a *App) setEvaluator(g *graph) {
	on := g.judged != nil
	if e := a.evaluator.Load(); e != nil && on {
		e.SetRules(g.judged)
	}
	switch {
	case on && a.stopEval == nil:
		lease, err := a.evaluators.Get(a.ctx)
		if err != nil {
			a.logger.Error("embedded rule evaluation could not be started", "err", err)
			return
		}
		e := lease.Value
		var ctx context.Context
		ctx, a.stopEval = context.WithCancel(a.ctx)
		a.evaluations.Go(func() {
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
	g := a.graph.Load()
	e := eval.New(eval.Options{
		Gatherer: a.registry, Rules: g.judged, Interval: g.cfg.EvaluationInterval.Std(), Submit: a.submitStandalone,
		State: setup.EvaluatorState{Journal: a.journal}, Labels: map[string]string{alert.LabelInstance: a.instance()}, Logger: a.logger, Registerer: a.registry, Now: a.opts.Now,
		Store: a.parts.store, Acts: a.reflexes, Page: func(target string) string { return a.links().Page(target) },
	})
	a.evaluator.Store(e)
	return e, nil
}

// members lists the current processes of a target.
func (a *App) members(target string) []proc.Member { return a.graph.Load().tracker.Members(target) }

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
	return id, refused(err)
}

// refused marks what the caller has to write differently.
func refused(err error) error {
	if errors.Is(err, dispatch.ErrUnknown) || errors.Is(err, dispatch.ErrBadRequest) || errors.Is(err, dispatch.ErrNotEnforced) {
		return fmt.Errorf("%w: %w", web.ErrRefused, err)
	}
	return err
}

// pause adapts a pause of the API, or its end.
func (a *App) pause(ctx context.Context, r web.PauseRequest) (err error) {
	req := dispatch.PauseRequest{Target: r.Target, For: r.For.Std(), Reason: r.Reason, By: r.By}
	if r.Resume {
		_, err = a.dispatcher.Resume(ctx, req)
	} else {
		_, err = a.dispatcher.Pause(ctx, req)
	}
	return refused(err)
}

// decide adapts what a person decides through the API about a proposal.
func (a *App) decide(ctx context.Context, d web.Decision) (runID string, err error) {
	if d.Deny {
		err = a.dispatcher.Deny(ctx, d.ID, d.By)
	} else {
		runID, err = a.dispatcher.Approve(ctx, d.ID, d.By)
	}
	switch {
	case errors.Is(err, dispatch.ErrNoProposal):
		err = fmt.Errorf("%w: %w", web.ErrGone, err)
	case errors.Is(err, dispatch.ErrVoided), errors.Is(err, dispatch.ErrPaused), errors.Is(err, dispatch.ErrHeld):
		err = fmt.Errorf("%w: %w", web.ErrVoid, err)
	}
	return runID, refused(err)
}
