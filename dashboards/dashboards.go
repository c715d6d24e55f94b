// Package dashboards embeds the Grafana dashboards that the exporter ships.
package dashboards

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
)

// FS holds the dashboards as they are imported into Grafana.
//
//go:embed *.json
var FS embed.FS

// Query is one PromQL expression of a dashboard, with its variables filled in so that it parses.
type Query struct {
	Dashboard string // file name
	Panel     string // title of the panel or annotation
	Expr      string
}

// variables are what Grafana would fill in.
var variables = strings.NewReplacer("$job", ".*", "$instance", ".*", "$target", ".*", "$__rate_interval", "5m")

// dashboard is the part of Grafana's model that these dashboards use.
type dashboard struct {
	Panels []struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
	Annotations struct {
		List []struct {
			Name string `json:"name"`
			Expr string `json:"expr"`
		} `json:"list"`
	} `json:"annotations"`
}

// Queries returns every expression of every dashboard.
func Queries() ([]Query, error) {
	names, err := fs.Glob(FS, "*.json")
	if err != nil {
		return nil, err
	}
	var out []Query
	for _, name := range names {
		raw, err := FS.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var d dashboard
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", name, err)
		}
		for _, p := range d.Panels {
			for _, t := range p.Targets {
				out = append(out, Query{name, p.Title, variables.Replace(t.Expr)})
			}
		}
		for _, a := range d.Annotations.List {
			out = append(out, Query{name, a.Name, variables.Replace(a.Expr)})
		}
	}
	return out, nil
}
