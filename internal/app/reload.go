package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/lifecycle"
	"github.com/spillway-exporter/spillway_exporter/internal/listen"
	"github.com/spillway-exporter/spillway_exporter/internal/memlock"
	"github.com/spillway-exporter/spillway_exporter/internal/schedule"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

const (
	reloadLimit = 9 * time.Second // after which a reload says what it waits for
	reloadSweep = 4 * time.Second // a reload goes on after this although the processes have not been sampled
	reloadStop  = 2 * time.Second // for what the old configuration has open
)

// reloading is the turn of one reload, and what it waits for.
type reloading struct {
	turn  chan struct{}
	waits *atomic.Pointer[string]
}

func newReloading() reloading {
	r := reloading{turn: make(chan struct{}, 1), waits: new(atomic.Pointer[string])}
	r.waitsFor("its turn")
	return r
}

func (r *reloading) waitsFor(what string) { r.waits.Store(&what) }

// wait is the step that ends a reload that is under way.
func (r *reloading) wait(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}: // kept: no other begins
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a reload waits for %s", *r.waits.Load())
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
// wrong leaves the old one running. It returns within 10 s: a reload that needs longer goes on,
// and the error, a web.ErrPending, says what it waits for.
func (a *App) Reload() error {
	limit := time.NewTimer(reloadLimit)
	defer limit.Stop()
	pending := func() error {
		err := fmt.Errorf("%w: it waits for %s", web.ErrPending, *a.reloading.waits.Load())
		a.logger.Warn("the reload has not ended yet", "after", reloadLimit, "err", err)
		return err
	}
	select {
	case a.reloading.turn <- struct{}{}:
	case <-limit.C:
		return pending()
	}
	done := make(chan error, 1)
	go func() { // waited for by the step "reload"
		defer func() { <-a.reloading.turn }()
		done <- a.reloadNow()
	}()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return pending()
	}
}

func (a *App) reloadNow() error {
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
	setup.LogMode(a.graph.Load().cfg, a.opts.ConfigFile, a.logger)
	return nil
}

func (a *App) reload() error {
	a.reloading.waitsFor("the configuration file and the files and folders that it names")
	cfg, err := setup.LoadConfig(a.opts.ConfigFile, &a.checks)
	if err != nil {
		return err
	}
	auth, err := listen.ReadAuth(*a.opts.Web.WebConfigFile)
	if err != nil {
		return err
	}
	if err := setup.CheckService(cfg, a.service(auth), &a.checks); err != nil {
		return err
	}
	a.reloading.waitsFor("the journal")
	if err := a.journal.Reopen(); err != nil {
		a.logger.Error("the journal could not be opened anew: no action runs", "err", err)
	}
	if err := setup.CheckJournal(cfg, a.journal); err != nil {
		return err
	}
	g, err := build(cfg, &a.opts, &a.parts)
	if err != nil {
		return err
	}
	old := a.graph.Load()
	if err := memlock.Apply(cfg.LockMemory, old.cfg.LockMemory); err != nil {
		g.close()
		return err
	}
	setup.Warn(cfg, a.logger)
	setup.LogAccess(cfg, auth, a.logger)
	g.logExchanged(old, a.logger)
	if cfg.Window != old.cfg.Window || !cfg.Journal.SameStore(old.cfg.Journal) || cfg.History != old.cfg.History {
		a.logger.Warn("window, journal and history take effect at the next start only")
	}
	a.reloading.waitsFor("the sources of the old configuration to end")
	a.stopOld(old)
	if a.ctx.Err() != nil {
		g.close()
		return errors.New("the exporter is shutting down")
	}
	g.sampler.Start(a.base)
	a.exchange(g)
	a.reloading.waitsFor("the watchers and the polling of the old configuration to end")
	a.watchers.Apply(a.base, cfg.Watchers)
	a.setPolling(g)
	a.schedule.Apply(schedule.Of(g.cfg))
	a.setEvaluator(g)
	a.logJudged(g)
	a.reloading.waitsFor("the first sweep of the new configuration")
	select { // so that series sampled by both graphs never disappear during the swap
	case <-g.sampler.Ready():
	case <-time.After(reloadSweep):
	case <-a.ctx.Done():
	}
	old.sampler.Forget()
	a.reloading.waitsFor("the clients of the old configuration to close")
	if err := lifecycle.Within(reloadStop, old.release); err != nil {
		a.logger.Debug("closing the clients of the old configuration failed", "err", err)
	}
	return nil
}

// stopOld ends the sampler of the old configuration. What does not return is left behind: it was
// logged when it was noticed, or the new sampler will.
func (a *App) stopOld(old *graph) {
	ctx, cancel := context.WithTimeout(a.base, reloadStop)
	defer cancel()
	if err := old.sampler.Stop(ctx); err != nil {
		a.logger.Debug("sources of the old configuration do not return", "err", err)
	}
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
		a.reloads.link(a.links())
		a.reloads.at.Set(float64(now.UnixMilli()) / 1000)
		a.loadedAt.Store(&now)
	}
	a.reloadText.Store(&text)
}
