package dashboards

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// FS holds the dashboards as they are imported into Grafana.
//
//go:embed *.json
var FS embed.FS

// Query is one expression of a dashboard.
type Query struct {
	Dashboard string // spillway-overview.json
	Panel     string // the title of its panel; of an annotation or a variable, the name of that
	Expr      string // PromQL with Grafana's variables replaced, so that it parses and selects everything; each selector has a name
	Raw       string // PromQL as it stands in the dashboard
	Legend    string // of a panel, the template of a series' name
	Instant   bool   // asked for one time, not for a range
}

var metricName = regexp.MustCompile(`\b(target:spillway_[a-z0-9_:]+|spillway_[a-z0-9_]+|ALERTS)\b`)

// Metrics returns the names of the metrics that the query reads, each once, in their order. The
// series of a histogram count as the histogram.
func (q *Query) Metrics() []string {
	var out []string
	for _, name := range metricName.FindAllString(q.Expr, -1) {
		if name = strings.TrimSuffix(name, "_bucket"); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// variables are what Grafana would put in the place of its variables.
var variables = strings.NewReplacer(
	"$__rate_interval", "5m", "$__range", "6h", "$__interval", "1m",
	"$cluster", ".*", "$namespace", ".*", "$job", ".+", "$instance", ".+", "$target", ".+",
)

var labelValues = regexp.MustCompile(`^label_values\((.+), [a-z]+\)$`)

var severalNames = regexp.MustCompile(`^\{__name__=~"([a-z_|]+)", (.+)\}$`)

// named writes a selector of several metrics, as variables have it, as one of each.
func named(expr string) string {
	m := severalNames.FindStringSubmatch(expr)
	if m == nil {
		return expr
	}
	var each []string
	for name := range strings.SplitSeq(m[1], "|") {
		each = append(each, name+"{"+m[2]+"}")
	}
	return strings.Join(each, " or ")
}

type panel struct {
	Title   string
	Targets []struct {
		Expr, LegendFormat string
		Instant            bool
	}
	Panels []panel
}

type dashboard struct {
	Panels      []panel
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

// Queries returns every expression of every dashboard: of panels, annotations and variables.
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
		add := func(q Query) {
			if q.Raw != "" {
				q.Dashboard, q.Expr = name, named(variables.Replace(q.Raw))
				out = append(out, q)
			}
		}
		addPanels(d.Panels, add)
		for _, a := range d.Annotations.List {
			add(Query{Panel: a.Name, Raw: a.Expr})
		}
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			m := labelValues.FindStringSubmatch(v.Definition)
			if m == nil {
				return nil, fmt.Errorf("dashboard %s: variable %s: %q is not label_values(selector, label)", name, v.Name, v.Definition)
			}
			add(Query{Panel: v.Name, Raw: m[1], Instant: true})
		}
	}
	return out, nil
}

func addPanels(panels []panel, add func(Query)) {
	for _, p := range panels {
		for _, t := range p.Targets {
			add(Query{Panel: p.Title, Raw: t.Expr, Legend: t.LegendFormat, Instant: t.Instant})
		}
		addPanels(p.Panels, add)
	}
}
