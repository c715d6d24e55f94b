package app

import (
	"log/slog"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

// accessOf says who may use the changing endpoints of a configuration.
func accessOf(cfg *config.Config) web.Access {
	return web.Access{TokenFile: cfg.Webhook.TokenFile, TrustLoopback: cfg.TrustsLoopback()}
}

// accessNote says what follows from a configuration for the callers of the changing endpoints where
// that may surprise: trust_loopback, and endpoints that no one can use. It is "" elsewhere.
func accessNote(cfg *config.Config, auth webAuth) string {
	proof := cfg.Webhook.TokenFile != "" || auth.decided()
	switch {
	case cfg.TrustLoopback && proof:
		return "trust_loopback: true changes nothing here: the token, or the listener's own authentication, is required of every caller"
	case cfg.TrustLoopback:
		return "trust_loopback: true lets every process on this host start clean-ups, with force too, and everyone who reaches a proxy on this host, such as nginx, that does not say so in a header"
	case !proof && !cfg.TrustsLoopback():
		return "/api/v1/webhook, /api/v1/run and /-/reload refuse every caller, because mode enforce is set and no one can prove who they are: write webhook: {token_file: ...}, protect the listener with --web.config.file, or write trust_loopback: true; rules evaluated here, schedules, polled Alertmanagers and SIGHUP work without them"
	}
	return ""
}

func logAccess(cfg *config.Config, auth webAuth, logger *slog.Logger) {
	if note := accessNote(cfg, auth); note != "" {
		logger.Warn("who may call the changing endpoints", "hint", note)
	}
}

// exchange puts a new graph in the place of the old one. At no moment are there both the old modes
// and looser rules of who may call.
func (a *App) exchange(g *graph) {
	if g.cfg.TrustsLoopback() {
		a.dispatcher.Apply(g.targets)
		a.graph.Store(g)
		return
	}
	a.graph.Store(g)
	a.dispatcher.Apply(g.targets)
}
