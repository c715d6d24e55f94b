package setup

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

// LoadRules reads the rules that a configuration names, or the embedded bundle, and checks them
// against the metrics and playbooks that there are: a rule that is evaluated here and reads what this
// exporter does not have would be silent for ever.
func LoadRules(cfg *config.Config, checks *config.Checks) (*eval.Ruleset, error) {
	bundle, err := rules.Read(rules.Bundle)
	if err != nil {
		return nil, fmt.Errorf("the embedded rules: %w", err)
	}
	opts := eval.LoadOptions{
		Files: cfg.RuleFiles, Bundle: []eval.File{{Name: rules.Bundle, Content: bundle}}, Interval: cfg.EvaluationInterval.Std(),
	}
	var set *eval.Ruleset
	if len(cfg.RuleFiles) == 0 {
		set, err = eval.Load(opts)
	} else {
		set, err = readRules(opts, checks)
	}
	if err != nil {
		return nil, Mistake(err)
	}
	here := set
	if !*cfg.Standalone { // a Prometheus evaluates the others, and has series of its own
		here = set.Only(rules.Reflex)
	}
	errs := eval.Lint(set, metric.Names(), playbookNames(cfg))
	if errs = append(errs, eval.LintForeign(here, foreignMetrics())...); len(errs) > 0 {
		return nil, Mistake(errors.Join(errs...))
	}
	return set, nil
}

// readRules loads rule files, which may lie on a mount that does not answer.
func readRules(opts eval.LoadOptions, checks *config.Checks) (*eval.Ruleset, error) {
	type loaded struct {
		set *eval.Ruleset
		err error
	}
	l, err := config.Ask(checks, strings.Join(opts.Files, ", "), func() (l loaded) {
		l.set, l.err = eval.Load(opts)
		return l
	})
	if err != nil {
		return nil, fmt.Errorf("rule_files: %w", err)
	}
	return l.set, l.err
}

// playbookNames returns every playbook that a rule may ask for.
func playbookNames(cfg *config.Config) []string {
	all := make([]dispatch.Playbooks, len(cfg.Targets))
	for i := range cfg.Targets {
		all[i] = cfg.Targets[i].Playbooks
	}
	return dispatch.Names(all...)
}
