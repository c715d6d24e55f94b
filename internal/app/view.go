package app

import (
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/listen"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

// URL returns the address of the status page as a person opens it.
func (a *App) URL() string { return listen.URL(a.listeners[0].Addr(), a.auth.TLS) }

// Targets returns every target as it was last sampled.
func (a *App) Targets() []health.Target { return health.Targets(a.parts.store.Snapshot(nil)) }

func (a *App) evidenceGraph() setup.EvidenceGraph {
	g := a.graph.Load()
	return setup.EvidenceGraph{Config: g.cfg, Members: g.tracker.Members}
}

// Alerts returns the alerts of the rules that are evaluated here; none where Prometheus does.
func (a *App) Alerts() []web.Alert { return a.state().Alerts }

// Records returns records of the journal, newest first, and where to go on, as journal.Query does.
func (a *App) Records(f journal.Filter) ([]journal.Record, string, error) {
	return a.journal.Query(f)
}
