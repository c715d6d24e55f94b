package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
)

// TestBounds: a bound is written as Prometheus 3 stores it, or no rule would find its bucket.
func TestBounds(t *testing.T) {
	for in, want := range map[float64]string{0: "0.0", 1: "1.0", -2: "-2.0", .25: "0.25", 1e6: "1e+06", 1e21: "1e+21", math.Inf(1): "+Inf", math.Inf(-1): "-Inf"} {
		if got := number(in); got != want {
			t.Errorf("number(%v) = %q, want %q", in, got, want)
		}
	}
	if got := number(math.NaN()); got != "NaN" {
		t.Errorf("number(NaN) = %q", got)
	}
}

// gathered is a registry that gives what it holds.
type gathered []*dto.MetricFamily

func (g gathered) Gather() ([]*dto.MetricFamily, error) { return g, nil }

// TestEveryTypeIsRead: untyped values too, a histogram's own +Inf bucket once, and of a histogram and a summary
// that no rule reads nothing is held.
func TestEveryTypeIsRead(t *testing.T) {
	text := func(s string) *string { return &s }
	value := func(v float64) *float64 { return &v }
	count := func(n uint64) *uint64 { return &n }
	bucket := func(bound float64, n uint64) *dto.Bucket {
		return &dto.Bucket{UpperBound: value(bound), CumulativeCount: count(n)}
	}
	histogram := func(name string) *dto.MetricFamily {
		return &dto.MetricFamily{Name: text(name), Type: dto.MetricType_HISTOGRAM.Enum(), Metric: []*dto.Metric{{Histogram: &dto.Histogram{
			SampleCount: count(3), SampleSum: value(6), Bucket: []*dto.Bucket{bucket(1, 2), bucket(math.Inf(1), 3)},
		}}}}
	}
	summary := func(name string) *dto.MetricFamily {
		return &dto.MetricFamily{Name: text(name), Type: dto.MetricType_SUMMARY.Enum(), Metric: []*dto.Metric{{Summary: &dto.Summary{SampleCount: count(3), SampleSum: value(6)}}}}
	}
	families := gathered{
		{Name: text("u"), Type: dto.MetricType_UNTYPED.Enum(), Metric: []*dto.Metric{{Untyped: &dto.Untyped{Value: value(7)}}}},
		histogram("h"), histogram("h_unread"), summary("s"), summary("s_unread"),
	}
	g := newRig(t, mustLoad(t, `
groups:
  - name: g
    rules:
      - {alert: Untyped, expr: u == 7}
      - {alert: Buckets, expr: 'count(h_bucket) == 2 and on () h_bucket{le="+Inf"} == 3'}
      - {alert: Sum, expr: s_sum == 6}
      - {alert: Number, expr: '7'}
      - {alert: Up, expr: up == 1}
`), func(o *Options) { o.Gatherer = families })
	g.at(t, 0)
	if got := g.states(); len(got) != 5 {
		t.Errorf("states %v, want all five", got)
	}
	for name, f := range g.mem.families {
		if strings.Contains(name, "unread") && len(f.list) > 0 {
			t.Errorf("%s is held, but no rule reads it", name)
		}
	}
}

// TestRuleStates: what the page shows of rules before, while and after their alerts.
func TestRuleStates(t *testing.T) {
	r := mustLoad(t, `
groups:
  - name: g
    rules:
      - {record: r, expr: v * 2}
      - {alert: Hold, expr: v > 10, for: 20s, keep_firing_for: 30s}
      - {alert: Now, expr: r > 100}
`)
	if r.Len() != 3 || (&Ruleset{}).Len() != 0 {
		t.Errorf("%d rules, want 3", r.Len())
	}
	g := newRig(t, r, nil)
	states := func() string {
		var out []string
		for _, s := range g.Rules() {
			out = append(out, fmt.Sprint(s.Name, "/", s.Kind, "/", s.State, "/", s.Alerts, "/", s.For, "/", s.KeepFiringFor))
		}
		return strings.Join(out, " ")
	}
	f := func(want string) {
		t.Helper()
		if got := states(); got != want {
			t.Errorf("at %s:\n got %s\nwant %s", g.now.Sub(epoch), got, want)
		}
	}
	f("r/recording/unknown/0// Hold/alerting/unknown/0/20s/30s Now/alerting/unknown/0//")
	g.world.set(point{"v", []string{"target", "a"}, 1})
	g.at(t, 0)
	f("r/recording/ok/0// Hold/alerting/inactive/0/20s/30s Now/alerting/inactive/0//")
	g.world.set(point{"v", []string{"target", "a"}, 60}, point{"v", []string{"target", "b"}, 60})
	g.at(t, 10*time.Second)
	f("r/recording/ok/0// Hold/alerting/pending/2/20s/30s Now/alerting/firing/2//")
	g.world.set(point{"v", []string{"target", "a"}, 60}, point{"v", []string{"target", "b"}, 1})
	g.at(t, 30*time.Second)
	f("r/recording/ok/0// Hold/alerting/firing/1/20s/30s Now/alerting/firing/1//")
	g.world.set()
	g.at(t, 40*time.Second)
	f("r/recording/ok/0// Hold/alerting/firing/1/20s/30s Now/alerting/inactive/0//") // it keeps firing
	g.at(t, 80*time.Second)
	f("r/recording/ok/0// Hold/alerting/inactive/0/20s/30s Now/alerting/inactive/0//")
}

// TestStateIsBounded: a blob that is too large is not even decoded.
func TestStateIsBounded(t *testing.T) {
	big := make([]byte, maxStateSize+1)
	if _, err := decodeState(big); err == nil || !strings.Contains(err.Error(), "is larger than") {
		t.Errorf("%v", err)
	}
}

// TestValues: a value that JSON has no number for goes through a restart.
func TestValues(t *testing.T) {
	for _, v := range []float64{0, -1.5, 1e300, math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64} {
		text, err := Value(v).MarshalText()
		var back Value
		if err != nil || back.UnmarshalText(text) != nil || math.Float64bits(float64(back)) != math.Float64bits(v) && !(math.IsNaN(v) && math.IsNaN(float64(back))) {
			t.Errorf("%v is written %q, %v and read back as %v", v, text, err, back)
		}
	}
	back := Value(3)
	if err := back.UnmarshalText([]byte("x")); err == nil || err.Error() != `"x" is not a number` || back != 3 {
		t.Errorf("%v, %v", back, err)
	}
}

// TestExprMetrics: what a dashboard's expression reads, each once and sorted.
func TestExprMetrics(t *testing.T) {
	f := func(expr, names, says string) {
		t.Helper()
		got, err := ExprMetrics(expr)
		if strings.Join(got, " ") != names || (says != "") != (err != nil) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s reads %q, %v, want %q, %s", expr, got, err, names, says)
		}
	}
	f(`b / a + b + rate(c[5m])`, "a b c", "")
	f(`{__name__="x"} unless vector(1)`, "x", "")
	f(`1`, "", "")
	f(`a +`, "", "unexpected end of input")
	f(`{job="x"}`, "", "names no metric")
	f(`a @ 10`, "", "@ with a fixed time")
	f(`max_over_time(a[5m:1m] @ 10)`, "", "@ with a fixed time")
}

// TestWrongTypes: what stands in a rule file in place of what, in words that are not Go's.
func TestWrongTypes(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := Load(LoadOptions{Bundle: []File{{Name: "x.yml", Content: []byte(text)}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	f("groups: {a: b}", "x.yml:1: a mapping stands where a list is expected")
	f("groups: [a]", "x.yml:1: a text stands where a mapping is expected")
	f("groups:\n  - {name: a, limit: x, rules: []}", "x.yml:2: a text stands where a number is expected")
	f("groups:\n  - {name: [a], rules: []}", "x.yml:2: a list stands where a text is expected")
	f("groups:\n  - {name: a, rules: 5}", "x.yml:2: a number stands where a list is expected")
	f("groups: []", "x.yml:1: no rule groups; write `groups:`")
	f("groups:\n  - {name: '', rules: []}", "x.yml:2: Groupname must not be empty; write `name:`")
	f("groups:\n  - name: a\n    interval: soon\n    rules: []", `x.yml:3: "soon" is not a duration; write for example 30s, 5m or 1h`)
}

// TestDistance: against its definition by recursion, and symmetric.
func TestDistance(t *testing.T) {
	var slow func(a, b string) int
	slow = func(a, b string) int {
		switch {
		case a == "" || b == "":
			return len(a) + len(b)
		case a[0] == b[0]:
			return slow(a[1:], b[1:])
		}
		return 1 + min(slow(a[1:], b), slow(a, b[1:]), slow(a[1:], b[1:]))
	}
	rng := rand.New(rand.NewPCG(10, 10))
	word := func() string {
		b := make([]byte, rng.IntN(6))
		for i := range b {
			b[i] = "abc"[rng.IntN(3)]
		}
		return string(b)
	}
	for range 500 {
		a, b := word(), word()
		if got := strictyaml.Distance(a, b); got != slow(a, b) || got != strictyaml.Distance(b, a) {
			t.Fatalf("Distance(%q, %q) = %d, want %d", a, b, got, slow(a, b))
		}
	}
}

// TestConstants: a number is one behind parentheses and signs, and arithmetic of numbers hides it from no one.
func TestConstants(t *testing.T) {
	for text, want := range map[string]string{"5": "5 true", "-(5)": "-5 true", "-(-(2))": "2 true", "2 * 3": "NaN true", "2 * a": "NaN false", "a": "0 false", "time()": "0 false", "vector(5)": "0 false"} {
		e, err := newParser().ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		v, ok := constant(e)
		if got := fmt.Sprint(v, " ", ok); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestTemplatePlaceholders: a query that printf puts together is understood whatever verbs it has, in every
// place of a template.
func TestTemplatePlaceholders(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		exprs, uses, err := templateQueries(newParser(), text)
		var got []string
		for _, e := range exprs {
			got = append(got, e.String())
		}
		if err != nil || !uses {
			t.Errorf("%s: uses %v, %v", text, uses, err)
		}
		slices.Sort(got)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	f(`{{ printf "a > %d" 5 | query }}`, "a > 1")
	f(`{{ printf "a * %.2f %% %g" 5 6 | query }}`, "a * 1 % 1")
	f(`{{ printf "a{b=%q,c=%q}" $labels.b $labels.c | query }}`, `a{b="x",c="x"}`)
	f(`{{ (query "a" | first).Value }}`, "a")
	f(`{{ define "t" }}{{ . }}{{ end }}{{ template "t" query "b" }}`, "b")
	if _, _, err := templateQueries(newParser(), "{{ if }}"); err == nil || !strings.HasPrefix(err.Error(), "not a valid template: ") {
		t.Errorf("%v", err)
	}
}
