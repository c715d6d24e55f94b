package difftest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
)

var (
	seeds         = flag.Int("seeds", 60, "random worlds to compare")
	firstSeed     = flag.Uint64("first", 1, "seed of the first world")
	notifications = flag.Int("notifications", 100_000, "go on with further worlds until this many notifications were compared")
)

const (
	interval = 15 * time.Second
	ticks    = 240 // an hour, four times as long as resolved alerts are repeated
)

// epoch is a time at which a head block is not cut.
var epoch = time.UnixMilli(1_700_000_100_000)

// TestSameNotificationsAsPrometheus gives random series to the evaluator and to the rule groups of
// Prometheus, and wants the same notifications from both at each evaluation: labels, annotations,
// times, repeats.
func TestSameNotificationsAsPrometheus(t *testing.T) {
	total := 0
	for seed := *firstSeed; seed < *firstSeed+uint64(*seeds) || total < *notifications; seed++ {
		total += compare(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d differs; run with -first %d -seeds 1 -notifications 0", seed, seed)
		}
	}
	t.Logf("%d notifications are identical", total)
	if total < *notifications {
		t.Errorf("%d notifications were compared, want at least %d", total, *notifications)
	}
}

// compare runs one world and returns the number of notifications.
func compare(t *testing.T, seed uint64) int {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	text := randomRules(rnd)
	w := newWorld(rnd)
	ours, theirs := newOurs(t, text, w), newTheirs(t, text, w)
	defer theirs.close()
	n := 0
	for i := range ticks {
		if rnd.IntN(40) == 0 {
			continue // an evaluation was missed
		}
		at := epoch.Add(time.Duration(i) * interval)
		w.step()
		got, want := ours.evaluate(at), theirs.evaluate(at)
		n += len(want)
		if !slices.Equal(got, want) {
			t.Errorf("seed %d, tick %d:\nevaluator:\n  %s\nPrometheus:\n  %s\nrules:\n%s", seed, i, strings.Join(got, "\n  "), strings.Join(want, "\n  "), text)
			return n
		}
	}
	return n
}

// randomRules is a rule file with every feature of the state machine.
func randomRules(rnd *rand.Rand) string {
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	var b strings.Builder
	b.WriteString("groups:\n")
	for g := range 1 + rnd.IntN(3) {
		fmt.Fprintf(&b, "  - name: g%d\n", g)
		if rnd.IntN(4) == 0 {
			b.WriteString("    labels: {team: video, severity: group}\n")
		}
		if rnd.IntN(6) == 0 {
			fmt.Fprintf(&b, "    query_offset: %s\n", pick("15s", "30s", "20s"))
		}
		if rnd.IntN(6) == 0 {
			fmt.Fprintf(&b, "    limit: %d\n", 2+rnd.IntN(8))
		}
		b.WriteString("    rules:\n")
		fmt.Fprintf(&b, "      - {record: 'r:%d', expr: '%s', labels: {kind: recorded}}\n", g, pick("sum by (target) (a)", "a + on (target) group_left () limit", "max_over_time(b[2m])", "rate(c[1m])"))
		for r := range 2 + rnd.IntN(4) {
			// No two rules write the same ALERTS: what Prometheus makes of that is not defined.
			fmt.Fprintf(&b, "      - alert: A%d%d\n        expr: '%s'\n", g, r, pick(
				"a > 10", "a >= on (target) group_left () limit", "b == 0", "absent(b)", "a > 10 unless on (target) b > 0",
				"max_over_time(a[1m]) > 12", "avg_over_time(a[3m]) > 8", "increase(c[2m]) > 3", "changes(b[5m]) > 2", "a offset 1m > 12",
				"rate(c[1m]) > 0 or (c unless c offset 2m) > 0", "sum by (target) (a) > 15", "r:0 > 10", "count(a) > 2", "vector(1) > 0 and on () b > 0",
				`ALERTS{alertstate="firing"}`, `ALERTS_FOR_STATE > 0`, "max_over_time(rate(c[1m])[3m:30s]) > 0.1", "up == 1", "topk(2, a) > 9", "scalar(b{target=\"t0\"}) > bool 0"))
			if rnd.IntN(3) > 0 {
				fmt.Fprintf(&b, "        for: %s\n", pick("15s", "30s", "1m", "20s", "5m"))
			}
			if rnd.IntN(3) == 0 {
				fmt.Fprintf(&b, "        keep_firing_for: %s\n", pick("15s", "1m", "2m", "7m"))
			}
			fmt.Fprintf(&b, "        labels: {severity: %s}\n", pick("warning", "critical", "'{{ if gt $value 12.0 }}high{{ else }}low{{ end }}'", "''", "'of {{ $labels.target }}'"))
			fmt.Fprintf(&b, "        annotations: {summary: '%s'}\n", pick("fixed", "{{ $labels.target }} at {{ $value | humanize }}", "{{ $value | humanizePercentage }} {{ $labels.p }}",
				"{{ with query \"sort(limit)\" }}{{ . | first | value }}{{ end }} {{ $value }}", "{{ range query \"sum(b)\" }}{{ .Labels.target }}={{ .Value }} {{ end }}", "{{ $labels.none }}{{ printf \"b{target=%q}\" $labels.target | query | len }}"))
		}
	}
	return b.String()
}

// sample is one series at one moment.
type sample struct {
	labels labels.Labels
	value  float64
	on     bool
}

// world is a set of series that wander, vanish and come back.
type world struct {
	rnd     *rand.Rand
	samples []*sample
}

func newWorld(rnd *rand.Rand) *world {
	w := &world{rnd: rnd}
	for i := range 3 {
		target := fmt.Sprintf("t%d", i)
		for p := range 1 + rnd.IntN(2) {
			w.add("a", 5+rnd.Float64()*10, "target", target, "p", fmt.Sprint(p))
		}
		w.add("b", float64(rnd.IntN(2)), "target", target)
		w.add("c", 0, "target", target)
		w.add("limit", 8+rnd.Float64()*4, "target", target)
	}
	return w
}

func (w *world) add(name string, v float64, pairs ...string) {
	w.samples = append(w.samples, &sample{labels: labels.FromStrings(append(pairs, model.MetricNameLabel, name)...), value: v, on: w.rnd.IntN(8) > 0})
}

func (w *world) step() {
	for _, s := range w.samples {
		if w.rnd.IntN(25) == 0 {
			s.on = !s.on
		}
		switch s.labels.Get(model.MetricNameLabel) {
		case "a":
			s.value = math.Abs(s.value + w.rnd.NormFloat64()*1.5)
			if w.rnd.IntN(200) == 0 {
				s.value = math.NaN()
			} else if math.IsNaN(s.value) {
				s.value = 10
			}
		case "b":
			if w.rnd.IntN(12) == 0 {
				s.value = 1 - s.value
			}
		case "c":
			if w.rnd.IntN(5) == 0 {
				s.value += float64(w.rnd.IntN(3))
			}
			if w.rnd.IntN(150) == 0 {
				s.value = 0
			}
		}
	}
}

// Gather implements prometheus.Gatherer.
func (w *world) Gather() ([]*dto.MetricFamily, error) {
	byName := make(map[string]*dto.MetricFamily)
	var out []*dto.MetricFamily
	for _, s := range w.samples {
		if !s.on {
			continue
		}
		name, v := s.labels.Get(model.MetricNameLabel), s.value
		f := byName[name]
		if f == nil {
			f = &dto.MetricFamily{Name: &name, Type: dto.MetricType_GAUGE.Enum()}
			byName[name] = f
			out = append(out, f)
		}
		m := &dto.Metric{Gauge: &dto.Gauge{Value: &v}}
		s.labels.Range(func(l labels.Label) {
			if l.Name != model.MetricNameLabel {
				m.Label = append(m.Label, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
			}
		})
		f.Metric = append(f.Metric, m)
	}
	return out, nil
}

// describe writes a notification so that two of them can be compared.
func describe(ls map[string]string, annotations map[string]string, starts, ends time.Time) string {
	if ends.IsZero() {
		return fmt.Sprintf("firing %v %v since %d", ls, annotations, starts.UnixMilli())
	}
	return fmt.Sprintf("resolved %v %v since %d until %d", ls, annotations, starts.UnixMilli(), ends.UnixMilli())
}

type ours struct {
	e    *eval.Evaluator
	told []string
}

func newOurs(t *testing.T, text string, w *world) *ours {
	t.Helper()
	r, err := eval.Load(eval.LoadOptions{Bundle: []eval.File{{Name: "r.yml", Content: []byte(text)}}, Interval: interval})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	o := &ours{}
	o.e = eval.New(eval.Options{
		Gatherer: w, Rules: r, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Submit: func(_ context.Context, b alert.Batch) ([]alert.Disposition, error) {
			for _, a := range b.Alerts {
				o.told = append(o.told, describe(a.Labels, a.Annotations, a.StartsAt, a.EndsAt))
			}
			return nil, nil
		},
	})
	return o
}

func (o *ours) evaluate(at time.Time) []string {
	o.told = nil
	_ = o.e.Evaluate(context.Background(), at) // a rule over its limit is an error to both
	slices.Sort(o.told)
	return o.told
}

type theirs struct {
	db     *tsdb.DB
	world  *world
	groups []*promrules.Group
	was    map[*sample]bool
	up     labels.Labels
	told   []string
}

func newTheirs(t *testing.T, text string, w *world) *theirs {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "r.yml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	db, err := tsdb.Open(filepath.Join(dir, "db"), quiet, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	x := &theirs{db: db, world: w, was: make(map[*sample]bool), up: labels.FromStrings(model.MetricNameLabel, "up")}
	p := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: p,
		NoStepSubqueryIntervalFn: func(int64) int64 { return interval.Milliseconds() },
	})
	m := promrules.NewManager(&promrules.ManagerOptions{
		QueryFunc: promrules.EngineQueryFunc(engine, db), Queryable: db, AppendableV2: db, Logger: quiet, Context: context.Background(),
		ResendDelay: time.Minute, Registerer: prometheus.NewRegistry(), Parser: p,
		NotifyFunc: func(_ context.Context, _ string, alerts ...*promrules.Alert) {
			for _, a := range alerts {
				x.told = append(x.told, describe(a.Labels.Map(), a.Annotations.Map(), a.FiredAt, a.ResolvedAt))
			}
		},
	})
	groups, errs := m.LoadGroups(interval, labels.EmptyLabels(), "", nil, false, file)
	if errs != nil {
		t.Fatal(errs)
	}
	for _, g := range groups {
		for _, r := range g.Rules() {
			if a, ok := r.(*promrules.AlertingRule); ok {
				a.SetRestored(true) // nothing to restore: it may write ALERTS
			}
		}
		x.groups = append(x.groups, g)
	}
	slices.SortFunc(x.groups, func(a, b *promrules.Group) int { return strings.Compare(a.Name(), b.Name()) })
	return x
}

func (x *theirs) close() { _ = x.db.Close() }

// evaluate writes what a scrape would write, and evaluates the groups in order.
func (x *theirs) evaluate(at time.Time) []string {
	ctx := context.Background()
	app := x.db.AppenderV2(ctx)
	write := func(ls labels.Labels, v float64) {
		if _, err := app.Append(0, ls, 0, at.UnixMilli(), v, nil, nil, storage.AOptions{}); err != nil {
			panic(err)
		}
	}
	write(x.up, 1)
	for _, s := range x.world.samples {
		switch {
		case s.on:
			write(s.labels, s.value)
		case x.was[s]:
			write(s.labels, math.Float64frombits(value.StaleNaN))
		}
		x.was[s] = s.on
	}
	if err := app.Commit(); err != nil {
		panic(err)
	}
	x.told = nil
	for _, g := range x.groups {
		g.Eval(ctx, at)
	}
	slices.Sort(x.told)
	return x.told
}
