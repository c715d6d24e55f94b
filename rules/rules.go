package rules

import "embed"

// FS holds the files named below.
//
//go:embed spillway.rules.yml spillway.rules_test.yml alertmanager.yml alertmanager-before-0.31.yml prometheus.yml
var FS embed.FS

// The files in FS.
const (
	Bundle       = "spillway.rules.yml"      // alerting rules, for Prometheus 2.42 and later and for the evaluator
	BundleTest   = "spillway.rules_test.yml" // unit tests of the bundle, for promtool
	Alertmanager = "alertmanager.yml"        // snippet: the receiver that calls the webhook
	Prometheus   = "prometheus.yml"          // snippet: scrape, rule file, Alertmanager

	// AlertmanagerOld is the snippet for versions that do not render the URL of a webhook.
	AlertmanagerOld = "alertmanager-before-0.31.yml"
)

// Reflex is the group of Bundle that the exporter evaluates itself even where a Prometheus evaluates
// the rules.
const Reflex = "spillway-reflex"

// Names lists the files in FS in the order in which a reader wants them.
func Names() []string { return []string{Bundle, BundleTest, Prometheus, Alertmanager, AlertmanagerOld} }

// Read returns the contents of one of the files in FS.
func Read(name string) ([]byte, error) { return FS.ReadFile(name) }
