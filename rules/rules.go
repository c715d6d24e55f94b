// Package rules embeds the alert rules that the exporter ships and evaluates, and the snippets
// that wire Prometheus and Alertmanager to it.
package rules

import "embed"

// The names of the embedded files.
const (
	RulesFile        = "spillway.rules.yml"
	PrometheusFile   = "prometheus.yml"
	AlertmanagerFile = "alertmanager.yml"
)

// FS holds the rule file and the snippets, as they stand in the repository.
//
//go:embed spillway.rules.yml prometheus.yml alertmanager.yml
var FS embed.FS

// Rules returns the shipped rule file.
func Rules() []byte {
	b, err := FS.ReadFile(RulesFile)
	if err != nil {
		panic(err) // embedded by the compiler
	}
	return b
}
