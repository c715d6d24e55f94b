package app

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

var update = flag.Bool("update", false, "write the generated documents")

// TestRegistryIsKnown compares what a running exporter gathers with the list that rules and
// dashboards are checked against, and lets the linter of the Prometheus project look at it.
func TestRegistryIsKnown(t *testing.T) {
	a := startApp(t, "")
	known := metric.Names()
	families, err := a.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) < 60 {
		t.Errorf("only %d families were gathered", len(families))
	}
	for _, f := range families {
		name := f.GetName()
		if strings.HasPrefix(name, "spillway_") && !slices.Contains(known, name) {
			t.Errorf("%s is gathered and not in the list of metrics", name)
		}
	}
	registered := make(map[string]*prometheusDesc)
	ch := make(chan *prometheusDesc, 64)
	go describe(a, ch)
	for d := range ch {
		registered[d.name] = d
	}
	for _, o := range metric.Owns() {
		switch d := registered[o.Name]; {
		case o == metric.StoreSeries, o == metric.StoreDropped: // of the store's exporter, which describes nothing
		case d == nil:
			t.Errorf("%s is in the list of metrics and not registered", o.Name)
		case d.help != o.Help || !slices.Equal(d.labels, o.Labels) && o != metric.BuildInfo:
			t.Errorf("%s is registered as %q with the labels %q, listed as %q with %q", o.Name, d.help, d.labels, o.Help, o.Labels)
		}
		delete(registered, o.Name)
	}
	for name := range registered {
		if strings.HasPrefix(name, metric.Prefix) {
			t.Errorf("%s is registered and not in the list of metrics", name)
		}
	}
	problems, err := testutil.GatherAndLint(a.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestShippedRulesFit(t *testing.T) {
	text, err := rules.Read(rules.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	set, err := eval.Load(eval.LoadOptions{Bundle: []eval.File{{Name: rules.Bundle, Content: text}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range eval.Lint(set, metric.Names(), dispatch.DefaultNames()) {
		t.Error(err)
	}
	const runbooks = "https://github.com/spillway-exporter/spillway_exporter/blob/main/"
	for _, err := range eval.LintBundle(set, func(url string) bool {
		_, err := os.Stat("../../" + strings.TrimPrefix(url, runbooks))
		return strings.HasPrefix(url, runbooks) && err == nil
	}) {
		t.Error(err)
	}
}

func TestDashboardsFit(t *testing.T) {
	queries, err := dashboards.Queries()
	if err != nil {
		t.Fatal(err)
	}
	known := append(metric.Names(), "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds",
		"go_goroutines", "go_memstats_heap_inuse_bytes", "go_memstats_sys_bytes", "up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS", "target:spillway_slo:met")
	for _, q := range queries {
		if q.Expr == "" { // Grafana's own annotations
			continue
		}
		names, err := eval.ExprMetrics(q.Expr)
		if err != nil {
			t.Errorf("%s, panel %q: %v in %s", q.Dashboard, q.Panel, err, q.Expr)
		}
		if len(names) == 0 {
			t.Errorf("%s, panel %q reads no series: %s", q.Dashboard, q.Panel, q.Expr)
		}
		for _, name := range names {
			if !slices.Contains(known, name) && !slices.Contains(known, strings.TrimSuffix(name, "_bucket")) {
				t.Errorf("%s, panel %q reads %s, which does not exist", q.Dashboard, q.Panel, name)
			}
		}
	}
}

// TestMetricsReference fails when docs/metrics.md is stale; go test ./internal/app -update writes it.
func TestMetricsReference(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# Metrics\n\nGenerated from the definitions in the code: `go test ./internal/app -update`.\n\n" +
		"What cannot be read is absent, never 0; `spillway_source_success` says what fails. The counters of runs, of what was freed and of what was removed stand at 0 before the first run.\n\n" +
		"## Observed\n\n| family | kind | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range metric.Descs() {
		kind := "gauge"
		if d.Kind == series.Counter {
			kind = "counter"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, kind, strings.Join(d.Labels, ", "), d.Help)
	}
	b.WriteString("\n## The exporter itself\n\n| family | kind | labels | meaning |\n|---|---|---|---|\n")
	owns := metric.Owns()
	slices.SortFunc(owns, func(x, y *metric.Own) int { return strings.Compare(x.Name, y.Name) })
	for _, o := range owns {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.Name, o.Kind, strings.Join(o.Labels, ", "), o.Help)
	}
	b.WriteString(valuesReference(t))
	b.WriteString("\nNext to these there are the usual families of the Go runtime (`go_*`) and of the process (`process_*`).\n")
	const path = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(have)); diff != "" {
		t.Errorf("docs/metrics.md is stale, run go test ./internal/app -update (-want +have):\n%s", diff)
	}
}
