// Package dashboards embeds the Grafana dashboards that the exporter ships. FS contains one JSON
// file per dashboard, and a Query is one expression of a panel, an annotation or a variable.
//
// The files in FS are the only copy: the command export writes them out unchanged. Queries
// extracts their expressions, so that tests can check every one of them against the metrics that
// the exporter has. The package talks to no Grafana.
package dashboards
