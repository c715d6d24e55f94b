package app

import (
	"context"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/pull"
)

// addPuller makes what polls the Alertmanagers of the configuration.
func (g *graph) addPuller(p *parts) (err error) {
	if !g.cfg.Alertmanager.Enabled() {
		return nil
	}
	g.puller, err = pull.New(pull.Options{
		Config: g.cfg.Alertmanager, Instance: g.cfg.Instance, Submit: p.submit, Metrics: p.pulls, Logger: p.logger, Now: p.now,
	})
	return err
}

// submit hands polled alerts to the dispatcher, which is made after the graph.
func (a *App) submit(ctx context.Context, b alert.Batch) ([]alert.Disposition, error) {
	return a.dispatcher.Submit(ctx, b)
}

// polling is the poller that runs at present.
type polling struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// setPolling ends the poller of the last graph and starts that of g. mu is held.
func (a *App) setPolling(g *graph) {
	a.polling.stop()
	a.parts.pulls.Forget()
	if g.puller == nil {
		return
	}
	var ctx context.Context
	ctx, a.polling.cancel = context.WithCancel(a.ctx)
	a.polling.done.Go(func() { g.puller.Run(ctx) })
}

func (p *polling) stop() {
	if p.cancel != nil {
		p.cancel()
		p.cancel = nil
	}
	p.done.Wait()
}
