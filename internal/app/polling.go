package app

import (
	"context"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/pull"
)

// addAlertmanagers makes what polls the Alertmanagers of the configuration, and what sends to them.
func (g *graph) addAlertmanagers(p *parts) (err error) {
	c := g.cfg.Alertmanager
	if c.Pulls() {
		g.puller, err = pull.New(pull.Options{Config: c, Instance: g.cfg.Instance, Submit: p.submit, Metrics: p.pulls, Logger: p.logger, Now: p.now})
	}
	if err == nil && c.Pushes() {
		g.pusher, err = pull.NewPusher(pull.PushOptions{Config: c, Metrics: p.pulls, Logger: p.logger, Now: p.now})
	}
	return err
}

// submit hands polled alerts to the dispatcher, which is made after the graph.
func (a *App) submit(ctx context.Context, b alert.Batch) ([]alert.Disposition, error) {
	return a.dispatcher.Submit(ctx, b)
}

// submitStandalone gives the evaluator's alerts to the dispatcher, and to the people behind the
// Alertmanagers. The latter hear of them whether or not the dispatcher takes them.
func (a *App) submitStandalone(ctx context.Context, b alert.Batch) ([]alert.Disposition, error) {
	if p := a.graph.Load().pusher; p != nil {
		p.Offer(b.Alerts)
	}
	return a.dispatcher.Submit(ctx, b)
}

// polling is the poller and the pusher that run at present.
type polling struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// setPolling ends the poller and the pusher of the last graph and starts those of g. mu is held.
func (a *App) setPolling(g *graph) {
	a.polling.stop()
	a.parts.pulls.Forget()
	var ctx context.Context
	ctx, a.polling.cancel = context.WithCancel(a.ctx)
	if g.puller != nil {
		a.polling.done.Go(func() { g.puller.Run(ctx) })
	}
	if g.pusher != nil {
		a.polling.done.Go(func() { g.pusher.Run(ctx) })
	}
}

func (p *polling) stop() {
	if p.cancel != nil {
		p.cancel()
		p.cancel = nil
	}
	p.done.Wait()
}
