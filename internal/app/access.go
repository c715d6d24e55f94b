package app

import (
	"net/http"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/listen"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

// accessOf says who may use the changing endpoints of a configuration.
func accessOf(cfg *config.Config) web.Access {
	return web.Access{TokenFile: cfg.Webhook.TokenFile, TrustLoopback: cfg.TrustsLoopback(), PublicOutput: cfg.Journal.PublicOutput}
}

func (a *App) service(auth listen.Auth) setup.Service {
	return setup.Service{File: a.opts.ConfigFile, Addresses: *a.opts.Web.WebListenAddresses, Auth: auth}
}

// exchange puts a new graph in the place of the old one. At no moment are there both the old modes
// and looser rules of who may call.
func (a *App) exchange(g *graph) {
	a.dispatcher.SetInstance(g.cfg.Instance, a.pins(g.cfg))
	if g.cfg.TrustsLoopback() {
		a.dispatcher.Apply(g.targets)
		a.graph.Store(g)
		return
	}
	a.graph.Store(g)
	a.dispatcher.Apply(g.targets)
}

// pins reports whether the first name that this exporter learns stays the only one: where other hosts
// reach it, and something is at stake.
func (a *App) pins(cfg *config.Config) bool { return cfg.Enforces() && !listen.OnLoopback(a.listeners) }

// authenticated reports whether the listener has made sure who sent a request.
func (a *App) authenticated(r *http.Request) bool {
	ok, err := listen.Authenticated(*a.opts.Web.WebConfigFile, r)
	if err != nil {
		a.logger.Warn("no caller is authenticated by the listener", "err", err)
	}
	return ok
}

// user names who sent a request, "" where the listener does not know.
func (a *App) user(r *http.Request) string { return listen.User(*a.opts.Web.WebConfigFile, r) }
