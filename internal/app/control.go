package app

import (
	"context"
	"path/filepath"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/control"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// openControl makes the socket by which a person on this host asks. Without it everything else works.
func (a *App) openControl(ctx context.Context) {
	if !a.journal.Durable() {
		return // nothing can be locked out, and nothing is enforced
	}
	dir := filepath.Dir(a.journal.Path())
	cleaner := control.Cleaner{ // the dispatcher is made after it
		Config: func() *config.Config { return a.graph.Load().cfg }, Host: a.opts.Roots, File: a.opts.ConfigFile,
		RunNow: func(ctx context.Context, r dispatch.ManualRequest) (string, error) {
			return a.dispatcher.RunNow(ctx, r)
		},
		Trusted: func() error { return setup.CheckEnforced(a.graph.Load().cfg, a.service(a.auth), a.journal, &a.checks) },
	}
	dispatcher := func() *dispatch.Dispatcher { return a.dispatcher }
	s, err := control.Listen(ctx, dir, control.Options{Cleanup: cleaner.Cleanup, Pause: control.Pauser{Dispatcher: dispatcher}.Pause, Outside: a.evidence.Outside, Decide: control.Decider{Dispatcher: dispatcher}.Decide, Logger: a.logger})
	if err != nil {
		a.logger.Warn("the commands cannot reach this exporter", "dir", dir, "err", err)
		return
	}
	a.control = s
	a.life.Add("control socket", second, func(context.Context) error { return s.Close() })
}

// serveControl answers on the socket, if there is one.
func (a *App) serveControl() {
	if a.control == nil {
		return
	}
	go func() {
		if err := a.control.Serve(); err != nil {
			a.logger.Error("the control socket answers no longer: restart the exporter to clean up by command", "err", err)
		}
	}()
}
