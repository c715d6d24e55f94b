package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

// LoadRules reads the rules that a configuration names, or the embedded bundle, and checks them
// against the metrics and playbooks that there are.
func LoadRules(cfg *config.Config) (*eval.Ruleset, error) {
	bundle, err := rules.Read(rules.Bundle)
	if err != nil {
		return nil, fmt.Errorf("the embedded rules: %w", err)
	}
	set, err := eval.Load(eval.LoadOptions{
		Files: cfg.RuleFiles, Bundle: []eval.File{{Name: rules.Bundle, Content: bundle}}, Interval: cfg.EvaluationInterval.Std(),
	})
	if err != nil {
		return nil, setup.Mistake(err)
	}
	if errs := eval.Lint(set, metricNames(), playbookNames(cfg)); len(errs) > 0 {
		return nil, setup.Mistake(errors.Join(errs...))
	}
	return set, nil
}

// playbookNames returns every playbook that a rule may ask for.
func playbookNames(cfg *config.Config) []string {
	all := make([]dispatch.Playbooks, len(cfg.Targets))
	for i := range cfg.Targets {
		all[i] = cfg.Targets[i].Playbooks
	}
	return dispatch.Names(all...)
}

// evalState keeps the evaluator's alerts in the journal's file.
type evalState struct{ j *journal.Journal }

const evalStateKey = "evaluator"

// Get implements eval.StateStore.
func (s evalState) Get() ([]byte, error) { return s.j.State(evalStateKey) }

// Put implements eval.StateStore.
func (s evalState) Put(blob []byte) error {
	return s.j.PutState(context.Background(), evalStateKey, blob)
}
