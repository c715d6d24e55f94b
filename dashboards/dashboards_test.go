package dashboards_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
)

// reference is a line of the metrics reference, which a test of internal/app keeps to what the
// code publishes.
var reference = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (gauge|counter|histogram) \\| ([a-z_, ]*) \\|")

// labelsOf returns the labels of every metric that a dashboard may use: those of the reference, of
// Prometheus itself, and of the libraries.
func labelsOf(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{
		"process_resident_memory_bytes": {}, "process_cpu_seconds_total": {}, "process_open_fds": {},
		"go_goroutines": {}, "go_memstats_heap_inuse_bytes": {}, "go_memstats_sys_bytes": {},
		"up": {}, "scrape_duration_seconds": {}, "scrape_samples_scraped": {},
		"ALERTS":                  {"alertname", "alertstate", "severity", "level", "target"},
		"target:spillway_slo:met": {"target", "slo"}, // recorded by the shipped rules
	}
	maps.Copy(out, published(t))
	return out
}

// published returns the labels of every family in the metrics reference.
func published(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]string)
	for _, m := range reference.FindAllStringSubmatch(string(text), -1) {
		labels := strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' })
		if m[2] == "histogram" {
			labels = append(labels, "le")
		}
		out[m[1]] = labels
	}
	if len(out) < 100 {
		t.Fatalf("%d families in the reference: it is read wrongly", len(out))
	}
	out["spillway_exporter_build_info"] = []string{"version"} // constant, so not in the reference
	return out
}

func queries(t *testing.T) []dashboards.Query {
	t.Helper()
	out, err := dashboards.Queries()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 200 {
		t.Fatalf("%d queries, want at least 200: the walk over the panels is broken", len(out))
	}
	return out
}

// added are the labels that Prometheus writes on every series.
var added = []string{"cluster", "namespace", "job", "instance", "__name__"}

// Every expression parses, reads metrics that there are, and names labels that these have: in
// matchers, in groupings and in legends.
func TestQueriesParseAndReadWhatThereIs(t *testing.T) {
	known := labelsOf(t)
	p := parser.NewParser(parser.Options{})
	for _, q := range queries(t) {
		t.Run(q.Dashboard+"/"+q.Panel, func(t *testing.T) {
			expr, err := p.ParseExpr(q.Expr)
			if err != nil {
				t.Fatalf("%s: %v", q.Expr, err)
			}
			has := slices.Clone(added)
			parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
				switch n := n.(type) {
				case *parser.VectorSelector:
					labels, ok := known[strings.TrimSuffix(n.Name, "_bucket")]
					if !ok {
						t.Errorf("%s is not a metric of the exporter", n.Name)
					}
					has = append(has, labels...)
					for _, m := range n.LabelMatchers {
						if !slices.Contains(labels, m.Name) && !slices.Contains(added, m.Name) {
							t.Errorf("%s has no label %s", n.Name, m.Name)
						}
					}
					if counter := strings.HasSuffix(n.Name, "_total") || strings.HasSuffix(n.Name, "_bucket"); counter != underRate(path) {
						t.Errorf("%s: counters, and only those, stand below rate or increase", n.Name)
					}
				case *parser.AggregateExpr:
					if made, ok := n.Param.(*parser.StringLiteral); ok && n.Op == parser.COUNT_VALUES {
						has = append(has, made.Val)
					}
				}
				return nil
			})
			checkLabels(t, expr, q.Legend, has)
		})
	}
}

var legendLabel = regexp.MustCompile(`{{ *([a-z_]+) *}}`)

// checkLabels compares the labels that are grouped by, joined on and shown with those that the
// selected series have; a legend can only show what the outermost grouping has left.
func checkLabels(t *testing.T, expr parser.Expr, legend string, has []string) {
	t.Helper()
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		var used []string
		switch n := n.(type) {
		case *parser.AggregateExpr:
			used = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				used = append(slices.Clone(n.VectorMatching.MatchingLabels), n.VectorMatching.Include...)
			}
		}
		for _, l := range used {
			if !slices.Contains(has, l) {
				t.Errorf("%s groups or joins by %s, which its series do not have", n, l)
			}
		}
		return nil
	})
	for {
		b, ok := expr.(*parser.BinaryExpr)
		if !ok || !b.Op.IsComparisonOperator() && !b.Op.IsSetOperator() {
			break
		}
		expr = b.LHS
	}
	if c, ok := expr.(*parser.Call); ok && c.Func.Name == "histogram_quantile" {
		expr = c.Args[1]
	}
	if a, ok := expr.(*parser.AggregateExpr); ok && a.Op != parser.TOPK && a.Op != parser.COUNT_VALUES {
		has = a.Grouping
	}
	for _, m := range legendLabel.FindAllStringSubmatch(legend, -1) {
		if !slices.Contains(has, m[1]) {
			t.Errorf("the legend %q shows %s, which the result of %s does not have", legend, m[1], expr)
		}
	}
}

func underRate(path []parser.Node) bool {
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		c, ok := n.(*parser.Call)
		return ok && (c.Func.Name == "rate" || c.Func.Name == "increase")
	})
}

// Every family that is published stands on a dashboard.
func TestEveryFamilyIsShown(t *testing.T) {
	shown := make(map[string]bool)
	for _, q := range queries(t) {
		for _, name := range q.Metrics() {
			shown[name] = true
		}
	}
	for name := range published(t) {
		if !shown[name] {
			t.Errorf("%s is on no dashboard: give it a panel in target_test.go, overview_test.go or self_test.go, and run go test ./dashboards -update", name)
		}
	}
}

// TestListsAreThoseOfTheCode: a description that lists values of a label lists all that there are.
func TestListsAreThoseOfTheCode(t *testing.T) {
	for _, list := range []struct{ file, constants, want string }{
		{"../internal/dispatch/decide.go", `\bSkip\w+ += "(\w+)"`, skipReasons},
		{"../internal/dispatch/decide.go", `\bOutcome\w+ += "(\w+)"`, runOutcomes},
		{"../internal/action/action.go", `\w+ +Outcome += "(\w+)"`, runOutcomes},
		{"../internal/alert/alert.go", `\t(?:Accepted|Duplicate|Cooldown|Waiting|Paused|Closed|NeedsHuman|Proposed|Denied|NoPlaybook|NotOurs|Resolved|Refused) += "(\w+)"`, dispositions},
	} {
		raw, err := os.ReadFile(list.file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(list.constants).FindAllStringSubmatch(string(raw), -1)
		if len(found) < 5 {
			t.Errorf("%s: %d values of %s: it is read wrongly", list.file, len(found), list.constants)
		}
		for _, m := range found {
			if !slices.Contains(strings.Split(list.want, ", "), m[1]) {
				t.Errorf("%s has %s, which the panels do not name: %s", list.file, m[1], list.want)
			}
		}
	}
}

// optional matches the metrics of what has to be configured, or to have happened, before there are any.
var optional = regexp.MustCompile(`\bspillway_(heap|cache|temp|upload|log|app|probe|startup|evidence|proposal|budget|window|paused|reaction|restart|history|alertmanager)[a-z_]*\b|\bslo:met\b`)

// TestRowsOfFeaturesAreClosed: a panel over time of what may not be configured stands in a row that is closed at
// first. A number or a bar in an open row says by its text that there is none.
func TestRowsOfFeaturesAreClosed(t *testing.T) {
	for name, d := range read(t) {
		closed := 0
		for _, p := range d.Panels {
			if p.Type == "row" && len(p.Panels) > 0 {
				closed++
				continue
			}
			for _, q := range p.Targets {
				if (p.Type == "timeseries" || p.Type == "state-timeline") && optional.MatchString(q.Expr) {
					t.Errorf("%s: panel %q stands in an open row and shows %s", name, p.Title, optional.FindString(q.Expr))
				}
			}
		}
		if closed < 3 {
			t.Errorf("%s: %d rows are closed at first, want those of all features", name, closed)
		}
	}
}

// TestRowsHaveNoHoles: the panels of a row fill it, and one is not left alone next to nothing.
func TestRowsHaveNoHoles(t *testing.T) {
	for name, d := range read(t) {
		rows := make(map[string][]*jsonPanel)
		var row string
		for _, p := range d.Panels {
			if p.Type == "row" {
				row = p.Title
				rows[row] = p.Panels
				continue
			}
			rows[row] = append(rows[row], p)
		}
		for title, panels := range rows {
			area, top, bottom := 0, panels[0].GridPos.Y, 0
			for _, p := range panels {
				area += p.GridPos.W * p.GridPos.H
				bottom = max(bottom, p.GridPos.Y+p.GridPos.H)
			}
			if whole := 24 * (bottom - top); area != whole {
				t.Errorf("%s: the panels of %q fill %d of %d cells", name, title, area, whole)
			}
		}
	}
}

// TestOnlyExportersCount: what every scraped target has is joined with what only the exporters have, since
// all jobs are chosen at first.
func TestOnlyExportersCount(t *testing.T) {
	foreign := regexp.MustCompile(`\b(up|scrape_\w+|process_\w+|go_\w+)\{`)
	for _, q := range queries(t) {
		if foreign.MatchString(q.Raw) && !strings.Contains(q.Raw, "spillway_exporter_build_info") {
			t.Errorf("%s, panel %q counts other jobs: %s", q.Dashboard, q.Panel, q.Raw)
		}
	}
}

func TestQueryMetrics(t *testing.T) {
	q := dashboards.Query{Expr: `histogram_quantile(0.9, rate(spillway_a_seconds_bucket[5m])) + spillway_a_seconds / spillway_b{x="y"} or ALERTS{alertname=~"Spillway.+"}`}
	if got, want := q.Metrics(), []string{"spillway_a_seconds", "spillway_b", "ALERTS"}; !slices.Equal(got, want) {
		t.Errorf("metrics = %q, want %q", got, want)
	}
}

func read(t *testing.T) map[string]*jsonDashboard {
	t.Helper()
	names, err := fs.Glob(dashboards.FS, "*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	out := make(map[string]*jsonDashboard)
	for _, name := range names {
		raw, err := dashboards.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d jsonDashboard
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = &d
	}
	return out
}

func TestDashboardsAreComplete(t *testing.T) {
	all := read(t)
	for name, d := range all {
		if d.UID+".json" != name {
			t.Errorf("%s: uid %q, want the name of the file", name, d.UID)
		}
		if d.SchemaVersion != 39 || len(d.Tags) == 0 {
			t.Errorf("%s: schemaVersion %d, tags %q, want 39 (Grafana 10.4 and later read it) and a tag", name, d.SchemaVersion, d.Tags)
		}
		var names []string
		for _, v := range d.variables() {
			names = append(names, v.Name)
		}
		if want := []string{"datasource", "cluster", "namespace", "job", "instance", "target"}; !slices.Equal(names, want) {
			t.Errorf("%s: variables %q, want %q", name, names, want)
		}
		checkLinks(t, name, d, all)
		checkPanels(t, name, d.Panels, make(map[int]bool))
	}
}

// checkLinks wants a link to each other dashboard that takes the variables and the time along,
// and nothing but links that lead somewhere.
func checkLinks(t *testing.T, name string, d *jsonDashboard, all map[string]*jsonDashboard) {
	t.Helper()
	to := make(map[string]bool)
	for _, l := range d.Links {
		url, _ := l["url"].(string)
		if uid, ok := strings.CutPrefix(url, "/d/"); ok {
			to[uid+".json"] = l["includeVars"] == true && l["keepTime"] == true && l["targetBlank"] == false
		}
	}
	for other := range all {
		if other != name && !to[other] {
			t.Errorf("%s: no link to %s that keeps variables and time", name, other)
		}
	}
	raw, err := dashboards.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"(`+regexp.QuoteMeta(runbooks)+`)([^"$]*)`).FindAllStringSubmatch(string(raw), -1) {
		if _, err := os.Stat("../docs/runbooks/" + m[2]); err != nil {
			t.Errorf("%s leads to a runbook that is not there: %v", name, err)
		}
	}
	for _, m := range regexp.MustCompile(`"/d/([a-z-]+)`).FindAllStringSubmatch(string(raw), -1) {
		if all[m[1]+".json"] == nil {
			t.Errorf("%s leads to %s, which is not there", name, m[1])
		}
	}
}

func checkPanels(t *testing.T, file string, panels []*jsonPanel, seen map[int]bool) {
	t.Helper()
	var taken []gridPos
	titles := make(map[string]bool)
	for _, p := range panels {
		where := fmt.Sprintf("%s: panel %d %q", file, p.ID, p.Title)
		if p.ID == 0 || seen[p.ID] {
			t.Errorf("%s: the id must be unique", where)
		}
		seen[p.ID] = true
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
		if p.Type == "row" {
			titles = make(map[string]bool)
			checkPanels(t, file, p.Panels, seen)
			continue
		}
		if titles[p.Title] {
			t.Errorf("%s: two panels of a row have that title", where)
		}
		titles[p.Title] = true
		refs := make(map[string]bool)
		for _, q := range p.Targets {
			if q.RefID == "" || refs[q.RefID] || q.Datasource != prom || q.Instant == q.Range {
				t.Errorf("%s: query %q: want a unique refId, the datasource variable, and either an instant or a range", where, q.RefID)
			}
			refs[q.RefID] = true
		}
		checkColumns(t, where, p)
	}
}

// checkColumns wants the columns of a table to come from labels and values that its queries have.
func checkColumns(t *testing.T, where string, p *jsonPanel) {
	t.Helper()
	for _, tr := range p.Transformations {
		if tr["id"] != "organize" {
			continue
		}
		for from := range tr["options"].(obj)["renameByName"].(obj) {
			ref, isValue := strings.CutPrefix(from, "Value #")
			found := from == "Value"
			for _, q := range p.Targets {
				found = found || isValue && q.RefID == ref || strings.Contains(q.Expr, from)
			}
			if !found {
				t.Errorf("%s has a column %q that no query gives", where, from)
			}
		}
	}
}

// The thresholds are the exporter's own, never numbers in a query or of a panel.
func TestThresholdsComeFromTheMetric(t *testing.T) {
	uses := make(map[string]int)
	for _, q := range queries(t) {
		if slices.Contains(q.Metrics(), "spillway_threshold_ratio") {
			uses[q.Dashboard]++
		}
	}
	if uses["spillway-target.json"] < 3 || uses["spillway-overview.json"] < 2 {
		t.Errorf("spillway_threshold_ratio is read %v times, want it for memory, heap and bytes", uses)
	}
	typed := regexp.MustCompile(`\b0?\.(7|70|85|95)\b`)
	for name := range read(t) {
		raw, err := dashboards.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.NewReplacer(`"rowHeight": 0.85`, "", `"rowHeight":0.85`, "").Replace(string(raw))) {
			if typed.MatchString(line) && !strings.Contains(line, "quantile(0.95,") {
				t.Errorf("%s has a threshold in it, join spillway_threshold_ratio: %s", name, line)
			}
		}
	}
}
