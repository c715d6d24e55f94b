package dashboards_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// The rules whose names end with -rule are those of Grafana's dashboard linter (github.com/grafana/dashboard-linter), written
// anew and made stricter where that costs nothing: they hold for every type of panel, rows that are
// closed included. Two rules have nothing to look at here: target-logql-rule and
// target-logql-auto-rule are about Loki, and template-datasource-rule sees to it that every data
// source is a Prometheus.
var (
	dashboardRules = map[string]func(d *jsonDashboard) error{
		"template-datasource-rule":            templateDatasource,
		"template-job-rule":                   func(d *jsonDashboard) error { return templateOf(d, "job", "Job") },
		"template-instance-rule":              func(d *jsonDashboard) error { return templateOf(d, "instance", "Instance") },
		"template-cluster":                    func(d *jsonDashboard) error { return templateOf(d, "cluster", "Cluster") },
		"template-namespace":                  func(d *jsonDashboard) error { return templateOf(d, "namespace", "Namespace") },
		"template-label-promql-rule":          templateLabelPromQL,
		"template-on-time-change-reload-rule": templateReload,
		"uneditable-dashboard":                uneditable,
	}
	panelRules = map[string]func(p *jsonPanel) error{
		"panel-datasource-rule":        panelDatasource,
		"panel-no-targets-rule":        panelTargets,
		"panel-title-description-rule": panelTitle,
		"panel-units-rule":             panelUnits,
		"panel-no-value":               panelNoValue,
	}
	targetRules = map[string]func(expr string) error{
		"target-promql-rule":        targetPromQL,
		"target-rate-interval-rule": targetRateInterval,
		"target-job-rule":           func(expr string) error { return targetMatcher(expr, "job") },
		"target-instance-rule":      func(expr string) error { return targetMatcher(expr, "instance") },
		"target-counter-agg-rule":   targetCounterAgg,
		"target-cluster":            func(expr string) error { return targetMatcher(expr, "cluster") },
		"target-namespace":          func(expr string) error { return targetMatcher(expr, "namespace") },
		"target-host":               targetHost,
	}
)

func TestRulesOfTheDashboardLinter(t *testing.T) {
	for name, d := range read(t) {
		for rule, check := range dashboardRules {
			if err := check(d); err != nil {
				t.Errorf("%s: %s: %v", name, rule, err)
			}
		}
		for _, p := range d.allPanels() {
			for rule, check := range panelRules {
				if err := check(p); err != nil {
					t.Errorf("%s: panel %q: %s: %v", name, p.Title, rule, err)
				}
			}
			for _, q := range p.Targets {
				for rule, check := range targetRules {
					if err := check(q.Expr); err != nil {
						t.Errorf("%s: panel %q: query %s: %s: %v", name, p.Title, q.RefID, rule, err)
					}
				}
			}
		}
	}
}

// Each rule finds what it is there for.
func TestRulesFindWhatIsWrong(t *testing.T) {
	broken := map[string]func(d *jsonDashboard){
		"template-datasource-rule":            func(d *jsonDashboard) { d.list()[0].(obj)["name"] = "ds" },
		"template-job-rule":                   func(d *jsonDashboard) { d.list()[3].(obj)["allValue"] = ".*" },
		"template-instance-rule":              func(d *jsonDashboard) { d.list()[4].(obj)["multi"] = false },
		"template-cluster":                    func(d *jsonDashboard) { d.list()[1].(obj)["allValue"] = ".+" },
		"template-namespace":                  func(d *jsonDashboard) { d.list()[2].(obj)["includeAll"] = false },
		"template-label-promql-rule":          func(d *jsonDashboard) { d.list()[1].(obj)["query"].(obj)["query"] = "label_value(up, job)" },
		"template-on-time-change-reload-rule": func(d *jsonDashboard) { d.list()[5].(obj)["refresh"] = 1.0 },
		"uneditable-dashboard":                func(d *jsonDashboard) { d.Editable = true },
		"panel-datasource-rule":               func(d *jsonDashboard) { d.allPanels()[0].Datasource.UID = "prometheus-1" },
		"panel-no-targets-rule":               func(d *jsonDashboard) { d.allPanels()[0].Targets = nil },
		"panel-title-description-rule":        func(d *jsonDashboard) { d.allPanels()[0].Description = "" },
		"panel-units-rule":                    func(d *jsonDashboard) { d.allPanels()[1].FieldConfig.Defaults["unit"] = "bites" },
		"panel-no-value":                      func(d *jsonDashboard) { delete(d.allPanels()[0].FieldConfig.Defaults, "noValue") },
		"target-promql-rule":                  func(d *jsonDashboard) { d.allPanels()[0].Targets[0].Expr = "sum(" },
		"target-rate-interval-rule": func(d *jsonDashboard) {
			d.allPanels()[0].Targets[0].Expr = `rate(a{job=~"$job",instance=~"$instance"}[5m])`
		},
		"target-job-rule":      func(d *jsonDashboard) { d.allPanels()[0].Targets[0].Expr = `a{job="$job",instance=~"$instance"}` },
		"target-instance-rule": func(d *jsonDashboard) { d.allPanels()[0].Targets[0].Expr = `a{job=~"$job"}` },
		"target-cluster":       func(d *jsonDashboard) { d.allPanels()[0].Targets[0].Expr = `a{namespace=~"$namespace"}` },
		"target-namespace":     func(d *jsonDashboard) { d.allPanels()[0].Targets[0].Expr = `a{cluster=~"$cluster"}` },
		"target-host":          func(d *jsonDashboard) { d.allPanels()[0].Targets[0].Expr = "sum by (instance) (a)" },
		"target-counter-agg-rule": func(d *jsonDashboard) {
			d.allPanels()[0].Targets[0].Expr = `a_total{job=~"$job",instance=~"$instance"}`
		},
	}
	for name := range broken {
		d := read(t)["spillway-target.json"]
		if err := apply(name, d); err != nil {
			t.Fatalf("%s on what is shipped: %v", name, err)
		}
		broken[name](d)
		if apply(name, d) == nil {
			t.Errorf("%s does not find what is wrong", name)
		}
	}
	if rules := len(dashboardRules) + len(panelRules) + len(targetRules); rules != len(broken) {
		t.Errorf("%d rules, %d of them tried", rules, len(broken))
	}
}

// apply runs one rule on everything in the dashboard that it is about.
func apply(rule string, d *jsonDashboard) error {
	if check := dashboardRules[rule]; check != nil {
		return check(d)
	}
	for _, p := range d.allPanels() {
		if check := panelRules[rule]; check != nil {
			if err := check(p); err != nil {
				return err
			}
		}
		for _, q := range p.Targets {
			if check := targetRules[rule]; check != nil {
				if err := check(q.Expr); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// allPanels returns the panels of all rows, closed ones included.
func (d *jsonDashboard) allPanels() []*jsonPanel {
	var out []*jsonPanel
	for _, p := range d.Panels {
		if p.Type == "row" {
			out = append(out, p.Panels...)
		} else {
			out = append(out, p)
		}
	}
	return out
}

func (d *jsonDashboard) list() []any { return d.Templating["list"].([]any) }

type templateVariable struct {
	Name, Label, Type, AllValue string
	Multi, IncludeAll           bool
	Refresh                     int
	Datasource                  dsRef
	Query                       any
}

func (d *jsonDashboard) variables() []templateVariable {
	raw, err := json.Marshal(d.list())
	if err != nil {
		panic(err)
	}
	var out []templateVariable
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

func templateDatasource(d *jsonDashboard) error {
	var found []templateVariable
	for _, v := range d.variables() {
		if v.Type == "datasource" {
			found = append(found, v)
		}
	}
	if len(found) != 1 || found[0].Name != "datasource" || found[0].Label != "Data source" || found[0].Query != "prometheus" {
		return fmt.Errorf("want one data source variable, named datasource, labelled 'Data source', of type prometheus: %+v", found)
	}
	return nil
}

func templateOf(d *jsonDashboard, name, label string) error {
	for _, v := range d.variables() {
		if v.Name != name {
			continue
		}
		all := ".+"
		if name == "cluster" || name == "namespace" { // labels that not every series has
			all = ".*"
		}
		oneByOne := d.UID == "spillway-target" && name == "instance" // a target that is on every host would be a line for each
		if v.Type != "query" || v.Label != label || v.Datasource != prom || !v.Multi || v.IncludeAll == oneByOne || v.AllValue != all {
			return fmt.Errorf("want a query of ${datasource}, labelled %q, multi, all as %s: %+v", label, all, v)
		}
		return nil
	}
	return fmt.Errorf("there is no variable %s", name)
}

var labelFunction = regexp.MustCompile(`^(label_names|label_values|metrics|query_result)\((.+?)(, [a-z_]+)?\)$`)

func templateLabelPromQL(d *jsonDashboard) error {
	for _, v := range d.variables() {
		if v.Type != "query" {
			continue
		}
		query, _ := v.Query.(obj)
		text, _ := query["query"].(string)
		m := labelFunction.FindStringSubmatch(text)
		if m == nil {
			return fmt.Errorf("variable %s: %q is not a function of the Prometheus data source", v.Name, text)
		}
		if _, err := parse(m[2]); err != nil {
			return fmt.Errorf("variable %s: %w", v.Name, err)
		}
	}
	return nil
}

func templateReload(d *jsonDashboard) error {
	for _, v := range d.variables() {
		if v.Type == "query" && v.Refresh != 2 {
			return fmt.Errorf("variable %s: want it read again when the time range changes (refresh 2), not %d", v.Name, v.Refresh)
		}
	}
	return nil
}

// A dashboard that is provisioned is edited in a copy.
func uneditable(d *jsonDashboard) error {
	if d.Editable {
		return fmt.Errorf("want editable: false")
	}
	return nil
}

func panelDatasource(p *jsonPanel) error {
	if p.Datasource == nil || *p.Datasource != prom {
		return fmt.Errorf("want the data source ${datasource}, not %+v", p.Datasource)
	}
	return nil
}

func panelTargets(p *jsonPanel) error {
	if len(p.Targets) == 0 {
		return fmt.Errorf("has no query")
	}
	return nil
}

func panelTitle(p *jsonPanel) error {
	if p.Title == "" || !strings.HasSuffix(p.Description, ".") {
		return fmt.Errorf("want a title, and a description in sentences: %q", p.Description)
	}
	return nil
}

// panelNoValue wants every panel to say what it means that it is empty.
func panelNoValue(p *jsonPanel) error {
	if text, _ := p.FieldConfig.Defaults["noValue"].(string); text == "" {
		return fmt.Errorf("want noValue: what an empty panel means")
	}
	return nil
}

// units are those of the linter's list (Grafana's valueFormats/categories.ts) that are used here.
var units = []string{"none", "short", "percentunit", "bytes", "binBps", "s", "ops", "reqps", "dateTimeFromNow"}

// The linter lets a panel with mappings go without a unit; here it has one all the same.
func panelUnits(p *jsonPanel) error {
	found := []any{p.FieldConfig.Defaults["unit"]}
	raw, err := json.Marshal(p.FieldConfig.Overrides)
	if err != nil {
		return err
	}
	var overrides []struct {
		Properties []struct {
			ID    string
			Value any
		}
	}
	if err := json.Unmarshal(raw, &overrides); err != nil {
		return err
	}
	for _, o := range overrides {
		for _, pr := range o.Properties {
			if pr.ID == "unit" {
				found = append(found, pr.Value)
			}
		}
	}
	for _, u := range found {
		if name, ok := u.(string); !ok || !slices.Contains(units, name) {
			return fmt.Errorf("%v is not one of the units %q", u, units)
		}
	}
	return nil
}

// stepInterval stands for $__rate_interval while a query is parsed: no one writes it by chance.
const stepInterval = 8869990787 * time.Millisecond

func parse(expr string) (parser.Expr, error) {
	expr = strings.NewReplacer("$__rate_interval", "8869990787ms", "$__range", "6h").Replace(expr)
	return parser.NewParser(parser.Options{}).ParseExpr(expr)
}

func targetPromQL(expr string) error {
	_, err := parse(expr)
	return err
}

func targetRateInterval(expr string) error {
	return walk(expr, func(n parser.Node, path []parser.Node) error {
		m, ok := n.(*parser.MatrixSelector)
		if !ok || m.Range == stepInterval || len(path) == 0 {
			return nil
		}
		if c, ok := path[len(path)-1].(*parser.Call); !ok || c.Func.Name == "rate" || c.Func.Name == "irate" {
			return fmt.Errorf("%s: want [$__rate_interval]", expr)
		}
		return nil
	})
}

func targetMatcher(expr, label string) error {
	return walk(expr, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if ok && !slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Name == label && m.Type == labels.MatchRegexp && m.Value == "$"+label
		}) {
			return fmt.Errorf(`%s: want %s=~"$%s"`, v, label, label)
		}
		return nil
	})
}

// targetHost wants what is grouped by or joined on an instance to be so on a cluster: two clusters may give
// the same address.
func targetHost(expr string) error {
	return walk(expr, func(n parser.Node, _ []parser.Node) error {
		var by []string
		switch n := n.(type) {
		case *parser.AggregateExpr:
			by = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil && n.VectorMatching.On {
				by = n.VectorMatching.MatchingLabels
			}
		}
		if slices.Contains(by, "instance") && !slices.Contains(by, "cluster") {
			return fmt.Errorf("%s: want cluster with the instance", n)
		}
		return nil
	})
}

func targetCounterAgg(expr string) error {
	return walk(expr, func(n parser.Node, path []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok || !strings.HasSuffix(v.Name, "_total") {
			return nil
		}
		if len(path) >= 2 {
			_, ranged := path[len(path)-1].(*parser.MatrixSelector)
			c, called := path[len(path)-2].(*parser.Call)
			if ranged && called && slices.Contains([]string{"rate", "irate", "increase"}, c.Func.Name) {
				return nil
			}
		}
		return fmt.Errorf("%s: want rate, irate or increase of it", v)
	})
}

// walk visits the expression; one that does not parse is what target-promql-rule is for.
func walk(expr string, visit func(n parser.Node, path []parser.Node) error) error {
	tree, err := parse(expr)
	if err != nil {
		return nil //nolint:nilerr // another rule reports it
	}
	var first error
	parser.Inspect(tree, func(n parser.Node, path []parser.Node) error {
		if err := visit(n, path); err != nil && first == nil {
			first = err
		}
		return nil
	})
	return first
}
