// Package rules embeds the rule bundle that ships with the exporter: the recording and alerting
// rules in Bundle and the snippets that connect a Prometheus and an Alertmanager.
//
// There is one copy of every file. A Prometheus, the embedded evaluator and the command export all
// read the same bytes, so the same metrics raise the same alerts wherever the rules are evaluated.
// The package parses nothing: internal/eval loads the rules.
package rules
