package app

import (
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

// judge decides which rules are evaluated here: all of them with standalone, else the reflex group
// where some target has memory or a heap to read and a playbook that the group asks for. Without such
// a target nothing runs.
func (g *graph) judge(cfg *config.Config, set *eval.Ruleset) {
	if !*cfg.Standalone {
		set = set.Only(rules.Reflex)
	}
	reflex, playbooks := make(map[string]bool), set.Playbooks()
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		known := g.targets[t.Name].Playbooks
		asked := slices.ContainsFunc(playbooks, func(p string) bool { _, has := known[p]; return has })
		if asked && *cfg.Reflex && (t.Processes != nil || t.Heap.Provider != "") {
			reflex[t.Name] = true
		}
	}
	if *cfg.Standalone || len(reflex) > 0 {
		g.judged, g.reflex = set, reflex
	}
}

// JudgesReflex reports whether an exporter with a configuration evaluates the reflex group of its
// rules and no others.
func JudgesReflex(cfg *config.Config, set *eval.Ruleset) bool {
	g := graph{cfg: cfg, targets: playbooksOf(cfg)}
	g.judge(cfg, set)
	return g.judgesReflex()
}

// playbooksOf returns the targets with their playbooks and nothing else.
func playbooksOf(cfg *config.Config) map[string]dispatch.Target {
	out := make(map[string]dispatch.Target)
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		out[t.Name] = dispatch.Target{Playbooks: setup.Playbooks(t, t.Has)}
	}
	return out
}

// judgesReflex reports whether of all rules only the reflex group is evaluated here.
func (g *graph) judgesReflex() bool { return g.judged != nil && !*g.cfg.Standalone }

// logJudged says what is evaluated here where it is not everything.
func (a *App) logJudged(g *graph) {
	switch {
	case g.judgesReflex():
		a.logger.Info("rules are evaluated by Prometheus, and one group here", "group", rules.Reflex, "targets", slices.Sorted(maps.Keys(g.reflex)))
	case !*g.cfg.Standalone && *g.cfg.Reflex && len(g.cfg.RuleFiles) > 0:
		a.logger.Info("no rule is evaluated here: rule_files do not have the group, or no target has a playbook that it asks for", "group", rules.Reflex)
	}
}

// crossed is called when the level of a target has changed, between two sweeps too. It never waits.
func (a *App) crossed(c collector.Crossing) {
	a.observeLevels()
	if e := a.evaluator.Load(); e != nil {
		e.Cross(c.Target, c.At)
	}
}

// reflexes reports whether a target is judged as soon as it crosses a threshold.
func (a *App) reflexes(target string) bool {
	g := a.graph.Load()
	return g != nil && g.reflex[target]
}
