// Package dashboards embeds the Grafana dashboards that the exporter ships.
package dashboards

import "embed"

// FS holds the dashboards as they are imported into Grafana.
//
//go:embed *.json
var FS embed.FS
