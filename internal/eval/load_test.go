package eval

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/spillway-exporter/spillway_exporter/rules"
)

var update = flag.Bool("update", false, "write the messages next to testdata/bad")

// TestBadRules: every bad file has its exact message, and each problem names file and line.
func TestBadRules(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(LoadOptions{Files: []string{file}})
			if err == nil {
				t.Fatal("loaded, want it refused")
			}
			for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
				var p *Problem
				if !errors.As(e, &p) || p.File != file || p.Message == "" {
					t.Errorf("%v is not a problem with a file and a message", e)
				} else if p.Line == 0 {
					t.Errorf("%v names no line", e)
				}
			}
			got := strings.ReplaceAll(err.Error(), "testdata/bad/", "") + "\n"
			golden := strings.TrimSuffix(file, ".yml") + ".error"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadTellsAllMistakesOfAllFiles(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yml")
	if err := os.WriteFile(big, make([]byte, maxRuleFile+1), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Load(LoadOptions{Files: []string{"testdata/bad/no_name.yml", filepath.Join(dir, "none.yml"), dir, big, "[", "testdata/bad/fixed_at.yml"}})
	if err == nil {
		t.Fatal("loaded")
	}
	for _, want := range []string{
		"no_name.yml:4: group \"a\", rule \"1\": one of 'record' or 'alert' must be set; give the rule a name",
		"none.yml: no such rule file; write the path of an existing file",
		": not a regular file; write the path of a YAML file",
		"big.yml: larger than 1 MiB; split it",
		"[: not a valid pattern; write a path",
		"fixed_at.yml:5: group \"a\", rule \"A\": @ with a fixed time",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

func TestLoadPatternsOnce(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.yml", "a.yml"} {
		text := "groups: [{name: " + name[:1] + ", rules: [{record: x, expr: up}]}]"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Load(LoadOptions{Files: []string{filepath.Join(dir, "*.yml"), filepath.Join(dir, "a.yml")}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range r.groups {
		got = append(got, g.name)
	}
	if want := []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("groups = %v, want %v", got, want)
	}
}

// TestReads checks which series an expression needs and how far back, against the engine's own
// idea of the time range.
func TestReads(t *testing.T) {
	f := func(expr string, names string, back time.Duration) {
		t.Helper()
		e, err := newParser().ParseExpr(expr)
		if err != nil {
			t.Fatal(err)
		}
		gotNames, gotBack, err := reads(e)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
		}
		if got := strings.Join(gotNames, " "); got != names {
			t.Errorf("%s reads %q, want %q", expr, got, names)
		}
		// The engine's ranges are open on the left, by a millisecond.
		if d := back - gotBack; d < 0 || d > time.Millisecond {
			t.Errorf("%s looks back %v, want %v", expr, gotBack, back)
		}
	}
	f(`a > b`, "a b", 0)
	f(`{__name__="a"} > 1`, "a", 0)
	f(`vector(1)`, "", 0)
	f(`rate(a[5m])`, "a", 5*time.Minute)
	f(`rate(a[5m] offset 10m)`, "a", 15*time.Minute)
	f(`a offset 10m`, "a", 15*time.Minute)
	f(`max_over_time(rate(a[5m])[30m:1m] offset 5m)`, "a", 40*time.Minute)
	f(`a unless a offset 15m or b`, "a b", 20*time.Minute)
	f(`a offset -5m`, "a", time.Millisecond)
	f(`max_over_time(vector(1)[10m:1m])`, "", 0)
}

func TestTemplateQueries(t *testing.T) {
	f := func(text string, uses bool, want ...string) {
		t.Helper()
		exprs, gotUses, err := templateQueries(newParser(), text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var got []string
		for _, e := range exprs {
			got = append(got, e.String())
		}
		if gotUses != uses || !slices.Equal(got, want) {
			t.Errorf("%s: uses %v %q, want %v %q", text, gotUses, got, uses, want)
		}
	}
	f(`{{ $value | humanize }}`, false)
	f(`{{ "query" }}`, false)
	f(`{{ query "a{b='c'}" | first | value }}`, true, `a{b="c"}`)
	f(`{{ with printf "a{b=%q}" $labels.b | query }}{{ . | first | value }}{{ end }}`, true, `a{b="x"}`)
	f(`{{ range query "sum by (c) (rate(a[%s]))" }}{{ .Labels.c }}{{ else }}{{ query "d" | len }}{{ end }}`, true, `d`)
	f(`{{ if gt (len (query "a")) 0 }}x{{ end }}`, true, "a")
	f(`{{ define "x" }}{{ end }}{{ $labels.q | query }}`, true)
}

func TestNeedsOnlyWhatRulesRead(t *testing.T) {
	r := mustLoad(t, `
groups:
  - name: a
    rules:
      - record: sum:a
        expr: sum(a)
      - alert: A
        expr: rate(b[5m]) > 0 and sum:a > 0
        annotations: {summary: '{{ query "c offset 1m" }}'}
  - name: late
    query_offset: 2m
    rules:
      - alert: B
        expr: d > 0
      - alert: C
        expr: rate(e[6m]) > 0
`)
	want := []string{"a", "b", "c", "d", "e", "sum:a"}
	if got := r.Metrics(); !slices.Equal(got, want) {
		t.Errorf("metrics = %v, want %v", got, want)
	}
	if r.needs["a"] != 0 || r.needs["d"] != 7*time.Minute || r.needs["c"] <= 6*time.Minute-time.Second ||
		r.needs["e"] <= 8*time.Minute-time.Second || r.Lookback() != r.needs["e"] {
		t.Errorf("needs = %v", r.needs)
	}
}

func TestLint(t *testing.T) {
	r := mustLoad(t, `
groups:
  - name: a
    rules:
      - record: spillway_mine
        expr: spillway_temp_files
      - alert: A
        expr: spillway_memory_use_ratio > 0.9 and spillway_mine > 1 and other_metric > 1
        labels: {playbook: relieve}
      - alert: B
        expr: histogram_quantile(0.9, rate(spillway_action_duration_seconds_bucket[5m])) > 1
        labels: {playbook: clean_temp}
      - alert: C
        expr: spillway_zzz_qqq_xxx > 0
        annotations: {summary: '{{ query "spillway_tempo_files" }}'}
`)
	var got []string
	for _, err := range Lint(r, []string{"spillway_temp_files", "spillway_memory_used_ratio", "spillway_action_duration_seconds"}, []string{"clean_temp"}) {
		got = append(got, err.Error())
	}
	want := []string{
		`test.yml:8: group "a", rule "A": the metric spillway_memory_use_ratio does not exist; did you mean spillway_memory_used_ratio?`,
		`test.yml:7: group "a", rule "A": the playbook "relieve" does not exist; write one of clean_temp, or leave the label out for an alert that only informs`,
		`test.yml:14: group "a", rule "C": the metric spillway_zzz_qqq_xxx does not exist; /metrics shows those that do`,
		`test.yml:14: group "a", rule "C": the metric spillway_tempo_files does not exist; did you mean spillway_temp_files?`,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if errs := Lint(r, nil, nil); len(errs) > 0 {
		t.Errorf("nothing to check, but %v", errs)
	}
}

// TestLintForeign: a rule on a series that this exporter does not have would be silent for ever.
func TestLintForeign(t *testing.T) {
	r := mustLoad(t, `
groups:
  - name: a
    rules:
      - record: mine:files
        expr: spillway_temp_files
      - alert: A
        expr: mine:files > 1 and up == 1 and ALERTS == 1 and go_goroutines > 1 and spillway_no_such > 1
      - alert: B
        expr: node_memory_MemAvailable_bytes < 1
      - alert: C
        expr: spillway_temp_files > 0
        annotations:
          summary: '{{ with printf "spillway_dashboard_info{instance=%q}" $labels.instance | query }}{{ . | first | label "url" }}{{ reReplaceAll "x" "y" "z" }}{{ if eq $labels.target "w" }}{{ end }}{{ end }}'
          description: '{{ query "kube_pod_info" }}'
`)
	var got []string
	for _, err := range LintForeign(r, []string{"go_goroutines"}) {
		got = append(got, err.Error())
	}
	want := []string{
		`test.yml:10: group "a", rule "B": this exporter has no metric node_memory_MemAvailable_bytes, so the rule would never do anything here; leave it to a Prometheus that scrapes it`,
		`test.yml:12: group "a", rule "C": this exporter has no metric kube_pod_info, so the rule would never do anything here; leave it to a Prometheus that scrapes it`,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestLintBundleRefusesNumbersAndGaps(t *testing.T) {
	f := func(expr string, want bool) {
		t.Helper()
		e, err := newParser().ParseExpr(expr)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := numberThreshold(e); got != want {
			t.Errorf("%s has a number as threshold: %v, want %v", expr, got, want)
		}
	}
	f(`a >= 0.85`, true)
	f(`0.85 <= a`, true)
	f(`a > (17 * 50)`, true)
	f(`a > -5`, true)
	f(`(a > 1) and b > 2`, true)
	f(`a_seconds + b > 3600`, true)
	f(`a > 0`, false)
	f(`a == 1`, false)
	f(`a_seconds < 3600`, false)
	f(`(clamp_min(a_bytes - b_bytes, 0) / on (t) (c_bytes_per_second > 0)) < 30`, false)
	f(`a_bytes / b_bytes < 30`, true)
	f(`a > on (t) group_left () b`, false)
	r := mustLoad(t, "groups: [{name: a, rules: [{alert: A, expr: up == 0, annotations: {summary: x}}]}]")
	if errs := LintBundle(r, func(string) bool { return true }); len(errs) != 6 {
		t.Errorf("%d problems (%v), want severity, description, dashboard_url, runbook_url missing, summary without the host and runbook_url wrong", len(errs), errs)
	}
}

// TestLookbackIsTheEngines: what a rule set remembers covers what the engine will ask for.
func TestLookbackIsTheEngines(t *testing.T) {
	bundle := loadBundle(t)
	at := time.Unix(1e9, 0)
	covers := func(rule string, expr parser.Expr) {
		t.Helper()
		names, _, err := reads(expr)
		if err != nil {
			t.Fatal(err)
		}
		oldest, _ := promql.FindMinMaxTime(&parser.EvalStmt{Expr: expr, Start: at, End: at, LookbackDelta: lookbackDelta})
		for _, name := range names {
			if back := at.Sub(time.UnixMilli(oldest)); bundle.needs[name] > 0 && bundle.needs[name] < back {
				t.Errorf("%s reads %v of %s, but %v are kept", rule, back, name, bundle.needs[name])
			}
		}
	}
	bundle.each(func(d *ruleDef) {
		covers(d.name, d.ast)
		d.annotations.Range(func(l labels.Label) {
			queries, _, err := templateQueries(newParser(), l.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range queries {
				covers(d.name+" in "+l.Name, q)
			}
		})
	})
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yml", "../../rules/*.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	if content, err := rules.Read(rules.Bundle); err == nil {
		f.Add(content[:len(content)/3])
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := Load(LoadOptions{Bundle: []File{{Name: "f.yml", Content: content}}})
		if (r == nil) == (err == nil) {
			t.Fatalf("ruleset %v with error %v", r, err)
		}
		if err != nil {
			var p *Problem
			if !errors.As(err, &p) || p.Message == "" {
				t.Fatalf("%v is not a problem", err)
			}
			return
		}
		if r.Lookback() > defaultMaxLookback+lookbackDelta {
			t.Fatalf("rules that look back %v were loaded", r.Lookback())
		}
		// What was loaded can be evaluated without a panic.
		g := newRig(t, r, nil)
		g.world.set(point{name: "up", value: 1})
		_ = g.Evaluate(t.Context(), epoch)
		_ = g.Evaluate(t.Context(), epoch.Add(time.Minute))
		_ = g.Alerts()
	})
}
