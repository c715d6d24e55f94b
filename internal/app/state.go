package app

import (
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

// state gathers what the page shows in addition to the targets.
func (a *App) state() web.State {
	g := a.graph.Load()
	st := web.State{Modes: make(map[string]string), Warnings: g.cfg.UnidentifiedTargets(), Orders: g.cfg.Orders, Standalone: *g.cfg.Standalone, Config: a.opts.ConfigFile, LoadedAt: *a.loadedAt.Load(), ReloadError: *a.reloadText.Load()}
	for i := range g.cfg.Targets {
		st.Modes[g.cfg.Targets[i].Name] = g.cfg.Targets[i].Mode
	}
	st.Activity, st.Week = activityOf(a.dispatcher.Status()), a.ledger.Week()
	for _, p := range a.schedule.Planned() {
		st.Activity.Planned = append(st.Activity.Planned, web.Planned{Target: p.Target, Action: p.Action, Policy: p.Name, At: p.At})
	}
	st.PrometheusURL = g.cfg.PrometheusURL
	st.DashboardURL, st.DashboardHome = setup.Dashboards(g.cfg, a.listeners[0].Addr())
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
	st.Journal = setup.JournalNotice(a.journal)
	st.Reflex = g.judgesReflex()
	e := a.evaluator.Load()
	if e == nil || g.judged == nil {
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
