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

func TestDescs(t *testing.T) {
	seen := make(map[string]bool)
	for _, d := range metric.Descs() {
		if seen[d.Name] {
			t.Errorf("%s is defined twice", d.Name)
		}
		seen[d.Name] = true
		if d.Help == "" || !strings.HasSuffix(d.Help, ".") {
			t.Errorf("%s: help %q is not a sentence", d.Name, d.Help)
		}
		if (d.Kind == series.Counter) != strings.HasSuffix(d.Name, "_total") {
			t.Errorf("%s: only counters end in _total", d.Name)
		}
	}
}

// TestRegistryIsKnown compares what a running exporter gathers with the list that rules and
// dashboards are checked against, and lets the linter of the Prometheus project look at it.
func TestRegistryIsKnown(t *testing.T) {
	a := startApp(t, "")
	known := metricNames()
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
	for _, err := range eval.Lint(set, metricNames(), dispatch.DefaultNames()) {
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
	known := append(metricNames(), "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds",
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
	a := startApp(t, "")
	help := make(map[string][2]string)
	families, err := a.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		help[f.GetName()] = [2]string{strings.ToLower(f.GetType().String()), f.GetHelp()}
	}
	var b bytes.Buffer
	b.WriteString("# Metrics\n\nGenerated from the definitions in the code: `go test ./internal/app -update`.\n\n" +
		"What cannot be read is absent, never 0; `spillway_source_success` says what fails. Counters of runs appear with the first run; what was freed and removed stands at 0 before it.\n\n" +
		"## Observed\n\n| family | kind | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range metric.Descs() {
		kind := "gauge"
		if d.Kind == series.Counter {
			kind = "counter"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, kind, strings.Join(d.Labels, ", "), d.Help)
	}
	b.WriteString("\n## The exporter itself\n\n| family | kind | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range registeredReference(t, a, help) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, m.labels, m.help)
	}
	b.WriteString("\nBeside these there are the usual families of the Go runtime (`go_*`) and of the process (`process_*`).\n")
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

type reference struct{ name, kind, labels, help string }

// registeredReference reads the definitions of the metrics that are registered, those without a
// series included.
func registeredReference(t *testing.T, a *App, help map[string][2]string) []reference {
	t.Helper()
	ch := make(chan *prometheusDesc, 64)
	go describe(a, ch)
	kinds := make(map[string]string)
	var out []reference
	for _, name := range []string{"spillway_series", "spillway_series_dropped_total"} { // of the store's exporter, which describes nothing
		out = append(out, reference{name, help[name][0], "", help[name][1]})
	}
	for d := range ch {
		if !strings.HasPrefix(d.name, "spillway_") || kinds[d.name] != "" {
			continue
		}
		kinds[d.name] = "seen"
		out = append(out, reference{d.name, kindOf(d.name), strings.Join(d.labels, ", "), d.help})
	}
	slices.SortFunc(out, func(x, y reference) int { return strings.Compare(x.name, y.name) })
	return out
}

// kindOf follows the naming rules that the linter enforces.
func kindOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case name == "spillway_action_duration_seconds", name == "spillway_sampler_tick_duration_seconds", name == "spillway_journal_commit_duration_seconds":
		return "histogram"
	}
	return "gauge"
}
