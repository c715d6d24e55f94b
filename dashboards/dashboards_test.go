package dashboards_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/dashboards"
)

// labelsOf returns the labels of every metric that a dashboard may use.
func labelsOf() map[string][]string {
	out := map[string][]string{
		"spillway_cache_hit_ratio":                   {"target", "cache", "source"}, // of docs: absent without a source of hits
		"spillway_action_runs_total":                 {"target", "action", "trigger", "outcome"},
		"spillway_action_skips_total":                {"target", "action", "reason"},
		"spillway_action_freed_bytes_total":          {"target", "action"},
		"spillway_action_removed_files_total":        {"target", "action"},
		"spillway_action_skipped_files_total":        {"target", "action", "reason"},
		"spillway_action_duration_seconds":           {"action", "le"},
		"spillway_action_last_run_timestamp_seconds": {"target", "action"},
		"spillway_playbook_runs_total":               {"target", "playbook", "trigger", "outcome"},
		"spillway_webhook_requests_total":            {"code"},
		"spillway_dispatch_queue_length":             {},
		"spillway_sampler_tick_duration_seconds":     {"le"},
		"spillway_sampler_ticks_missed_total":        {},
		"spillway_journal_writable":                  {},
		"spillway_journal_durable":                   {},
		"spillway_config_last_reload_successful":     {},
		"spillway_series":                            {},
		"spillway_exporter_build_info":               {"version"},
		"process_resident_memory_bytes":              {},
		"process_cpu_seconds_total":                  {},
		"up":                                         {},
		"ALERTS":                                     {"alertname", "alertstate", "severity", "level", "target"},
	}
	for _, d := range collector.Descs() {
		out[d.Name] = d.Labels
	}
	return out
}

// Where a metric is registered by a package of its own, the table above must not drift from it.
func TestTableOfLabelsIsTheSamplers(t *testing.T) {
	reg := prometheus.NewRegistry()
	collector.NewSamplerMetrics(reg)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := labelsOf()
	for _, name := range []string{"spillway_sampler_tick_duration_seconds", "spillway_sampler_ticks_missed_total"} {
		i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
		if i < 0 {
			t.Errorf("%s is not one of the sampler's metrics", name)
			continue
		}
		for _, l := range families[i].GetMetric()[0].GetLabel() {
			if !slices.Contains(known[name], l.GetName()) {
				t.Errorf("%s has a label %s that the table lacks", name, l.GetName())
			}
		}
	}
}

func TestQueriesParseAndReadWhatThereIs(t *testing.T) {
	queries, err := dashboards.Queries()
	if err != nil {
		t.Fatal(err)
	}
	if len(queries) < 40 {
		t.Fatalf("%d queries, want at least 40: the walk over the panels is broken", len(queries))
	}
	known := labelsOf()
	scraped := []string{"job", "instance", "__name__"} // what Prometheus adds
	p := parser.NewParser(parser.Options{})
	for _, q := range queries {
		t.Run(q.Panel, func(t *testing.T) {
			expr, err := p.ParseExpr(q.Expr)
			if err != nil {
				t.Fatalf("%s: %v", q.Expr, err)
			}
			parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
				v, ok := n.(*parser.VectorSelector)
				if !ok {
					return nil
				}
				name := strings.TrimSuffix(v.Name, "_bucket")
				allowed, ok := known[name]
				if !ok {
					t.Errorf("%s is not a metric of the exporter", v.Name)
					return nil
				}
				for _, m := range v.LabelMatchers {
					if !slices.Contains(allowed, m.Name) && !slices.Contains(scraped, m.Name) {
						t.Errorf("%s has no label %s", v.Name, m.Name)
					}
				}
				if !isVariable(q.Panel) && name != "ALERTS" {
					mustSelect(t, v.Name, v.LabelMatchers, "job")
					mustSelect(t, v.Name, v.LabelMatchers, "instance")
				}
				if counter := strings.HasSuffix(v.Name, "_total") || strings.HasSuffix(v.Name, "_bucket"); counter != underRate(path) {
					t.Errorf("%s: counters, and only those, stand below rate or increase", v.Name)
				}
				return nil
			})
		})
	}
}

func isVariable(panel string) bool {
	return slices.Contains([]string{"job", "instance", "target"}, panel)
}

func mustSelect(t *testing.T, metric string, matchers []*labels.Matcher, label string) {
	t.Helper()
	if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return m.Name == label && m.Type == labels.MatchRegexp }) {
		t.Errorf(`%s: select %s=~"$%s"`, metric, label, label)
	}
}

func underRate(path []parser.Node) bool {
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		c, ok := n.(*parser.Call)
		return ok && (c.Func.Name == "rate" || c.Func.Name == "increase")
	})
}

func TestQueryMetrics(t *testing.T) {
	q := dashboards.Query{Expr: `histogram_quantile(0.9, rate(spillway_a_seconds_bucket[5m])) + spillway_a_seconds / spillway_b{x="y"} or ALERTS{alertname=~"Spillway.+"}`}
	if got, want := q.Metrics(), []string{"spillway_a_seconds", "spillway_b", "ALERTS"}; !slices.Equal(got, want) {
		t.Errorf("metrics = %q, want %q", got, want)
	}
}

type grid struct{ H, W, X, Y int }

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  struct{ UID string }
	GridPos     grid
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Targets []struct {
		Expr, RefID string
		Datasource  struct{ UID string }
	}
	Panels []panel
}

type dashboard struct {
	UID           string
	Title         string
	Tags          []string
	SchemaVersion int
	Editable      bool
	Templating    struct {
		List []struct {
			Name, Label, Type, AllValue string
			Multi, IncludeAll           bool
			Refresh                     int
		}
	}
	Panels []panel
}

func read(t *testing.T) map[string]dashboard {
	t.Helper()
	names, err := fs.Glob(dashboards.FS, "*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	out := make(map[string]dashboard)
	for _, name := range names {
		raw, err := dashboards.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = d
	}
	return out
}

func TestDashboardsAreComplete(t *testing.T) {
	uids := make(map[string]string)
	for name, d := range read(t) {
		if d.UID+".json" != name || uids[d.UID] != "" {
			t.Errorf("%s: uid %q, want the name of the file, and each once", name, d.UID)
		}
		uids[d.UID] = name
		if d.SchemaVersion != 39 || len(d.Tags) == 0 || !d.Editable {
			t.Errorf("%s: schemaVersion %d, tags %q, editable %v, want 39 (Grafana 10.4 and 11), a tag, true", name, d.SchemaVersion, d.Tags, d.Editable)
		}
		var names []string
		for _, v := range d.Templating.List {
			names = append(names, v.Name)
			if v.Name != "datasource" && (!v.Multi || !v.IncludeAll || v.AllValue != ".+" || v.Refresh != 2) {
				t.Errorf("%s: variable %s: want multi, all as .+, refreshed with the time range", name, v.Name)
			}
		}
		if want := []string{"datasource", "job", "instance", "target"}; !slices.Equal(names, want) {
			t.Errorf("%s: variables %q, want %q", name, names, want)
		}
		seen := make(map[string]bool)
		checkPanels(t, name, d.Panels, seen)
	}
}

func checkPanels(t *testing.T, file string, panels []panel, seen map[string]bool) {
	t.Helper()
	var taken []grid
	for _, p := range panels {
		where := fmt.Sprintf("%s: panel %d %q", file, p.ID, p.Title)
		if id := fmt.Sprint("id ", p.ID); p.ID == 0 || seen[id] {
			t.Errorf("%s: the id must be unique", where)
		} else {
			seen[id] = true
		}
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s lies outside the grid: %+v", where, g)
		}
		for _, o := range taken {
			if g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H {
				t.Errorf("%s lies over another: %+v and %+v", where, g, o)
			}
		}
		taken = append(taken, g)
		if p.Title == "" {
			t.Errorf("%s has no title", where)
		}
		if p.Type == "row" {
			checkPanels(t, file, p.Panels, seen)
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("%s: description %q, unit %q, %d targets, want all of them", where, p.Description, p.FieldConfig.Defaults.Unit, len(p.Targets))
		}
		refs := make(map[string]bool)
		for _, q := range p.Targets {
			if q.Expr == "" || q.RefID == "" || refs[q.RefID] || q.Datasource.UID != "${datasource}" {
				t.Errorf("%s: query %q: want an expression, a unique refId and the datasource variable", where, q.RefID)
			}
			refs[q.RefID] = true
		}
	}
}

// The thresholds are the exporter's own, never numbers in a query.
func TestThresholdsComeFromTheMetric(t *testing.T) {
	queries, err := dashboards.Queries()
	if err != nil {
		t.Fatal(err)
	}
	uses := 0
	for _, q := range queries {
		if slices.Contains(q.Metrics(), "spillway_threshold_ratio") {
			uses++
		}
		for _, n := range []string{"0.7", "0.85", "0.95 ", ".85"} {
			if strings.Contains(q.Expr, n) {
				t.Errorf("%s: %s has a threshold in it: join spillway_threshold_ratio", q.Panel, q.Expr)
			}
		}
	}
	if uses < 3 {
		t.Errorf("%d queries read spillway_threshold_ratio, want memory, heap and bytes", uses)
	}
}
