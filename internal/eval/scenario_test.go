package eval

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/rules"
)

// promtoolFile is the part of a promtool test file that the shipped tests use.
type promtoolFile struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	Tests              []scenario     `yaml:"tests"`
}

type scenario struct {
	Name     string         `yaml:"name"`
	Interval model.Duration `yaml:"interval"`
	Input    []struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	} `yaml:"input_series"`
	Checks []struct {
		At       model.Duration `yaml:"eval_time"`
		Name     string         `yaml:"alertname"`
		Expected []expected     `yaml:"exp_alerts"`
	} `yaml:"alert_rule_test"`
	Expressions []struct {
		Expr     string         `yaml:"expr"` // here always a recorded series
		At       model.Duration `yaml:"eval_time"`
		Expected []sample       `yaml:"exp_samples"`
	} `yaml:"promql_expr_test"`
}

type sample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

type expected struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

func loadBundle(t testing.TB) *Ruleset {
	t.Helper()
	content, err := rules.Read(rules.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Load(LoadOptions{Bundle: []File{{Name: rules.Bundle, Content: content}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func loadScenarios(t *testing.T) *promtoolFile {
	t.Helper()
	content, err := rules.Read(rules.BundleTest)
	if err != nil {
		t.Fatal(err)
	}
	file := new(promtoolFile)
	dec := yaml.NewDecoder(strings.NewReader(string(content)))
	dec.KnownFields(true)
	if err := dec.Decode(file); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestShippedRulesOfClusters runs the same scenarios next to a cluster that has the same jobs and instances with other values, as in the
// ruler of Thanos or Mimir: nothing of one cluster is joined with the other, and no text has its values.
func TestShippedRulesOfClusters(t *testing.T) {
	file, bundle := loadScenarios(t), loadBundle(t)
	for i := range file.Tests {
		s := &file.Tests[i]
		if strings.Contains(s.Input[0].Series, "cluster=") {
			continue // it has two of its own
		}
		t.Run(s.Name, func(t *testing.T) {
			s.run(t, bundle, time.Duration(file.EvaluationInterval), "z", make(map[string]bool))
		})
	}
}

// TestShippedRulesAsPromtool runs the scenarios that promtool runs, from the same file, through
// the evaluator: the same rules give the same alerts without a Prometheus.
func TestShippedRulesAsPromtool(t *testing.T) {
	file, bundle := loadScenarios(t), loadBundle(t)
	fired := make(map[string]bool)
	for i := range file.Tests {
		s := &file.Tests[i]
		t.Run(s.Name, func(t *testing.T) { s.run(t, bundle, time.Duration(file.EvaluationInterval), "", fired) })
	}
	for _, r := range newRig(t, bundle, nil).Rules() {
		if !fired[r.Name] {
			t.Errorf("no scenario makes %s fire, or records it", r.Name)
		}
	}
}

// run runs a scenario, in a cluster of that name if it has one.
func (s *scenario) run(t *testing.T, bundle *Ruleset, every time.Duration, cluster string, fired map[string]bool) {
	g := newRig(t, bundle, func(o *Options) { o.Interval = every })
	g.base = time.Unix(0, 0) // as promtool does
	needs := maps.Clone(bundle.needs)
	for _, c := range s.Expressions { // of what is recorded only what rules read is kept
		name, _, _ := strings.Cut(c.Expr, "{")
		needs[name] = time.Minute
	}
	g.mem.setNeeds(needs)
	type input struct {
		labels labels.Labels
		values []parser.SequenceValue
	}
	var inputs []input
	for _, in := range s.Input {
		ls, values, err := newParser().ParseSeriesDesc(in.Series + " " + in.Values)
		if err != nil {
			t.Fatal(err)
		}
		if cluster == "" {
			inputs = append(inputs, input{ls, values})
			continue
		}
		others := slices.Clone(values)
		for i := range others {
			others[i].Value = 2*others[i].Value + 1
		}
		of := labels.NewBuilder(ls)
		if ls.Get(model.MetricNameLabel) == "spillway_target_info" {
			of.Set("namespace", "apps") // a label of its own: that of the target, not of the exporter
		}
		inputs = append(inputs, input{of.Set("cluster", "another").Labels(), others}, input{of.Set("cluster", cluster).Labels(), values})
	}
	var end time.Duration
	for _, c := range s.Checks {
		end = max(end, time.Duration(c.At))
	}
	for _, c := range s.Expressions {
		end = max(end, time.Duration(c.At))
	}
	for at := time.Duration(0); at <= end; at += every {
		var points []point
		for _, in := range inputs {
			v, ok := newestValue(in.values, int(at/time.Duration(s.Interval)))
			if !ok {
				continue
			}
			p := point{name: in.labels.Get(model.MetricNameLabel), value: v}
			in.labels.Range(func(l labels.Label) {
				if l.Name != model.MetricNameLabel {
					p.labels = append(p.labels, l.Name, l.Value)
				}
			})
			points = append(points, p)
		}
		g.world.set(points...)
		g.at(t, at)
		for _, c := range s.Checks {
			if time.Duration(c.At) != at {
				continue
			}
			got := slices.DeleteFunc(g.firing(c.Name), func(e expected) bool { return cluster != "" && e.Labels["cluster"] != cluster })
			for _, e := range c.Expected {
				e.Labels[labels.AlertName] = c.Name
				if cluster != "" {
					e.Labels["cluster"] = cluster
				}
			}
			if diff := gocmp.Diff(c.Expected, got, gocmp.Transformer("none", func(e []expected) []expected {
				if len(e) == 0 {
					return nil
				}
				return e
			})); diff != "" {
				t.Errorf("%s at %v (-want +got):\n%s", c.Name, at, diff)
			}
			fired[c.Name] = fired[c.Name] || len(got) > 0
		}
		s.checkExpressions(t, g, at, cluster, fired)
	}
}

func (s *scenario) checkExpressions(t *testing.T, g *rig, at time.Duration, cluster string, fired map[string]bool) {
	t.Helper()
	for _, c := range s.Expressions {
		if time.Duration(c.At) != at {
			continue
		}
		name, _, _ := strings.Cut(c.Expr, "{")
		var got, want []string
		samples, err := g.query(t.Context(), c.Expr, g.now)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range samples {
			if cluster != "" && v.Metric.Get("cluster") != cluster {
				continue
			}
			got = append(got, fmt.Sprintf("%s %v", v.Metric, v.F))
		}
		for _, e := range c.Expected {
			ls, err := newParser().ParseMetric(e.Labels)
			if err != nil {
				t.Fatal(err)
			}
			if cluster != "" {
				ls = labels.NewBuilder(ls).Set("cluster", cluster).Labels()
			}
			want = append(want, fmt.Sprintf("%s %v", ls, e.Value))
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s at %v (-want +got):\n%s", c.Expr, at, diff)
		}
		fired[name] = fired[name] || len(got) > 0
	}
}

// newestValue is what a gatherer would expose at step i.
func newestValue(values []parser.SequenceValue, i int) (float64, bool) {
	for i = min(i, len(values)-1); i >= 0; i-- {
		v := values[i]
		if v.Omitted {
			continue
		}
		return v.Value, !value.IsStaleNaN(v.Value)
	}
	return math.NaN(), false
}

func (g *rig) firing(name string) []expected {
	var out []expected
	for _, a := range g.Alerts() {
		if a.Name == name && a.State == string(stateFiring) {
			out = append(out, expected{Labels: a.Labels, Annotations: a.Annotations})
		}
	}
	slices.SortFunc(out, func(a, b expected) int { return cmp.Compare(a.Labels["target"], b.Labels["target"]) })
	return out
}

// shippedMetrics are the names that the shipped rules may read; internal/app checks the same rules
// against the true list.
var shippedMetrics = []string{
	"spillway_memory_used_ratio", "spillway_memory_limit_bytes", "spillway_memory_exhaustion_seconds", "spillway_memory_growth_bytes_per_second", "spillway_memory_fast_growth_bytes_per_second", "spillway_memory_used_bytes",
	"spillway_threshold_ratio", "spillway_heap_used_ratio", "spillway_heap_live_bytes", "spillway_heap_limit_bytes", "spillway_cache_used_ratio", "spillway_cache_hit_ratio", "spillway_cache_min_hit_ratio",
	"spillway_temp_files", "spillway_temp_max_files", "spillway_temp_used_ratio", "spillway_temp_expired_files", "spillway_upload_size_bytes", "spillway_upload_max_size_bytes", "spillway_upload_oversize_files", "spillway_upload_expired_files", "spillway_log_oversize_files", "spillway_log_expired_files", "spillway_processes", "spillway_process_oldest_start_time_seconds", "spillway_target_restarts_total", "spillway_probe_success", "spillway_probe_duration_seconds", "spillway_probe_http_status_code", "spillway_probe_max_duration_seconds", "spillway_startup_duration_seconds", "spillway_startup_max_duration_seconds", "spillway_cgroup_oom_kills_total",
	"spillway_action_runs_total", "spillway_playbook_runs_total", "spillway_budget_remaining", "spillway_proposals", "spillway_paused", "spillway_window_open", "spillway_playbook_running", "spillway_restart_needs_human", "spillway_source_success", "spillway_lane_stuck", "spillway_sampler_ticks_missed_total",
	"spillway_alertmanager_up", "spillway_alertmanager_push_up", "spillway_evaluator_rule_failing", "spillway_dashboard_info", "spillway_target_info", "spillway_config_last_reload_successful", "spillway_journal_writable",
}

func TestShippedRulesLint(t *testing.T) {
	bundle := loadBundle(t)
	const runbooks = "https://github.com/spillway-exporter/spillway_exporter/blob/main/docs/runbooks/"
	for _, err := range Lint(bundle, shippedMetrics, []string{"relieve_memory", "relieve_heap", "trim_cache", "clean_temp", "enforce_uploads", "rotate_logs"}) {
		t.Error(err)
	}
	for _, err := range LintBundle(bundle, func(url string) bool {
		page, ok := strings.CutPrefix(url, runbooks)
		if !ok {
			return false
		}
		_, err := os.Stat("../../docs/runbooks/" + page)
		return err == nil
	}) {
		t.Error(err)
	}
	if back := bundle.Lookback(); back > defaultMaxLookback {
		t.Errorf("the shipped rules look back %v, want at most %v", back, defaultMaxLookback)
	}
	pages, err := os.ReadDir("../../docs/runbooks")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		name := strings.TrimSuffix(p.Name(), ".md")
		found := p.Name() == "README.md"
		bundle.each(func(d *ruleDef) { found = found || d.name == name })
		if !found {
			t.Errorf("docs/runbooks/%s belongs to no alert", p.Name())
		}
	}
}
