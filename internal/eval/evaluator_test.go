package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// absent as a value in a table means that the series is not exposed.
var absent = math.NaN()

const oneRule = `
groups:
  - name: g
    rules:
      - alert: High
        expr: v > 10
        for: %s
        keep_firing_for: %s
        labels: {playbook: relieve_memory}
        annotations: {summary: 'v of {{ $labels.target }} is {{ $value }}'}
`

// TestAlertStates drives one series through a rule, 10 s a step.
func TestAlertStates(t *testing.T) {
	f := func(name, hold, keep string, values []float64, want ...string) {
		t.Helper()
		g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, hold, keep)), nil)
		var got []string
		for i, v := range values {
			g.world.set()
			if !math.IsNaN(v) {
				g.world.set(point{"v", []string{"target", "app"}, v})
			}
			g.at(t, time.Duration(i)*10*time.Second)
			s := strings.TrimPrefix(strings.Join(g.states(), ","), "High ")
			if sent := g.inbox.take(); len(sent) > 0 {
				s += " sent " + strings.Join(sent, ",")
			}
			got = append(got, s)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	f("no waiting", "0s", "0s", []float64{10, 11, 10},
		"", "firing sent firing High", " sent resolved High")
	f("for", "20s", "0s", []float64{11, 11, 11, 11, 5},
		"pending", "pending", "firing sent firing High", "firing", " sent resolved High")
	f("for begins anew after a dip", "20s", "0s", []float64{11, 11, 5, 11, 11, 11},
		"pending", "pending", "", "pending", "pending", "firing sent firing High")
	f("pending that ends is not sent", "20s", "0s", []float64{11, 5},
		"pending", "")
	f("keep_firing_for", "0s", "20s", []float64{11, 5, 5, 5, 5},
		"firing sent firing High", "firing", "firing", " sent resolved High", "")
	f("keep_firing_for is renewed", "0s", "20s", []float64{11, 5, 11, 5, 5, 5},
		"firing sent firing High", "firing", "firing", "firing", "firing", " sent resolved High")
	f("an absent series resolves", "0s", "0s", []float64{11, absent, absent},
		"firing sent firing High", " sent resolved High", "")
	f("absent while pending", "20s", "0s", []float64{11, absent, 11, 11, 11},
		"pending", "", "pending", "pending", "firing sent firing High")
	f("fires again", "0s", "0s", []float64{11, 5, 11},
		"firing sent firing High", " sent resolved High", "firing sent firing High")
}

// TestRepeats: firing is sent each minute, resolved for a quarter of an hour, and never more.
func TestRepeats(t *testing.T) {
	g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "0s", "0s")), nil)
	sent := make(map[string]int)
	for i := range 4 * 60 {
		v := 11.0
		if i >= 12 { // three minutes
			v = 5
		}
		g.world.set(point{"v", []string{"target", "app"}, v})
		g.at(t, time.Duration(i)*15*time.Second)
		for _, s := range g.inbox.take() {
			sent[s]++
		}
	}
	// More than a minute has to pass: each fifth evaluation of 15 s.
	if sent["firing High"] != 3 || sent["resolved High"] != 13 {
		t.Errorf("sent %v, want 3 times firing, 13 times resolved", sent)
	}
	if n := len(g.groups[0].rules[0].active); n != 0 {
		t.Errorf("%d alerts are remembered after the quarter of an hour, want none", n)
	}
}

func TestNotificationIsAlertmanagers(t *testing.T) {
	g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "10s", "0s")), func(o *Options) {
		o.Labels = map[string]string{"instance": "host1:10042", "job": "spillway", "none": ""}
	})
	g.world.set(point{"v", []string{"target", "app"}, 12.5})
	g.at(t, 0)
	g.at(t, 10*time.Second)
	g.world.set(point{"v", []string{"target", "app"}, 9})
	g.at(t, 20*time.Second)
	lset := map[string]string{"alertname": "High", "instance": "host1:10042", "job": "spillway", "target": "app", "playbook": "relieve_memory"}
	set := make(model.LabelSet)
	for k, v := range lset {
		set[model.LabelName(k)] = model.LabelValue(v)
	}
	n := alert.Alert{
		Status: alert.StatusFiring, Labels: lset, Annotations: map[string]string{"summary": "v of app is 12.5"},
		StartsAt: epoch.Add(10 * time.Second).UTC(), Fingerprint: set.Fingerprint().String(),
	}
	resolved := n
	resolved.Status, resolved.EndsAt = alert.StatusResolved, epoch.Add(20*time.Second).UTC()
	want := []alert.Batch{
		{Trigger: alert.TriggerStandalone, Receiver: "standalone", GroupKey: "standalone", Alerts: []alert.Alert{n}},
		{Trigger: alert.TriggerStandalone, Receiver: "standalone", GroupKey: "standalone", Alerts: []alert.Alert{resolved}},
	}
	if diff := gocmp.Diff(want, g.inbox.batches); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
	if g.inbox.batches[0].Alerts[0].Fingerprint == "" {
		t.Error("no fingerprint")
	}
}

// TestSubmitErrorIsNotALoss: what was refused is sent at the next evaluation, not a minute later.
func TestSubmitErrorIsNotALoss(t *testing.T) {
	g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "0s", "0s")), nil)
	g.world.set(point{"v", []string{"target", "app"}, 11})
	g.inbox.err = errors.New("queue full")
	for i := range 3 {
		g.now = epoch.Add(time.Duration(i) * 10 * time.Second)
		if err := g.Evaluate(t.Context(), g.now); err == nil || !strings.Contains(err.Error(), "submit 1 alerts: queue full") {
			t.Fatalf("error = %v", err)
		}
	}
	g.inbox.err = nil
	g.at(t, 30*time.Second)
	if got := g.inbox.take(); !slices.Equal(got, []string{"firing High"}) {
		t.Errorf("sent %v, want the alert", got)
	}
	g.at(t, 40*time.Second)
	if got := g.inbox.take(); got != nil {
		t.Errorf("sent %v again", got)
	}
	if err := testutil.GatherAndCompare(g.reg, strings.NewReader(`
# HELP spillway_evaluator_notifications_refused_total Alerts that the dispatcher refused and that are sent again.
# TYPE spillway_evaluator_notifications_refused_total counter
spillway_evaluator_notifications_refused_total 3
# HELP spillway_evaluator_notifications_total Alerts handed to the dispatcher, including repeats.
# TYPE spillway_evaluator_notifications_total counter
spillway_evaluator_notifications_total 1
`), "spillway_evaluator_notifications_total", "spillway_evaluator_notifications_refused_total"); err != nil {
		t.Error(err)
	}
}

// TestHighestLevelFirst: the dispatcher starts one run per target, for what presses most.
func TestHighestLevelFirst(t *testing.T) {
	g := newRig(t, mustLoad(t, `
groups:
  - name: g
    rules:
      - {alert: W, expr: v > 0, labels: {level: warning}}
      - {alert: None, expr: v > 0}
      - {alert: C, expr: v > 0, labels: {level: critical}}
      - {alert: Gone, expr: v == 1, labels: {level: emergency}}
      - {alert: E, expr: v > 1, labels: {level: emergency}}
`), nil)
	g.world.set(point{name: "v", value: 1})
	g.at(t, 0)
	g.inbox.take()
	g.world.set(point{name: "v", value: 2})
	g.at(t, 90*time.Second)
	want := []string{"firing E", "firing C", "firing W", "firing None", "resolved Gone"}
	if got := g.inbox.take(); !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// TestConcurrentUse: the page, a reload and Submit itself may ask at any time.
func TestConcurrentUse(t *testing.T) {
	r := loadBundle(t)
	var g *rig
	reg := prometheus.NewRegistry()
	reg.MustRegister(newTargets50())
	var sent atomic.Int64
	g = newRig(t, r, func(o *Options) {
		o.State, o.Gatherer = &blob{}, reg
		o.Submit = func(context.Context, alert.Batch) ([]alert.Disposition, error) {
			sent.Add(int64(len(g.Alerts()))) // no lock is held
			return nil, nil
		}
	})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 20 {
				g.SetRules(r)
				_ = g.Alerts()
				_ = g.Rules()
				g.Kick()
			}
		})
	}
	for i := range 20 {
		g.at(t, time.Duration(i)*time.Minute)
	}
	wg.Wait()
	if sent.Load() == 0 {
		t.Error("nothing was sent")
	}
}

// TestVanishedSeriesAreAbsentAtOnce: not five minutes later, and a range still sees their past.
func TestVanishedSeriesAreAbsentAtOnce(t *testing.T) {
	g := newRig(t, mustLoad(t, `
groups:
  - name: g
    rules:
      - {alert: Now, expr: a}
      - {alert: Past, expr: 'max_over_time(a[1m])'}
      - {alert: Gone, expr: 'absent(a)'}
      - {alert: Down, expr: 'up == 0'}
`), nil)
	g.world.set(point{name: "a", value: 1})
	g.at(t, 0)
	if got := g.states(); !slices.Equal(got, []string{"Now firing", "Past firing"}) {
		t.Errorf("present: %v", got)
	}
	g.world.set()
	g.at(t, 10*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"Past firing", "Gone firing"}) {
		t.Errorf("vanished: %v", got)
	}
	g.world.err = errors.New("a collector failed")
	g.now = epoch.Add(20 * time.Second)
	if err := g.Evaluate(t.Context(), g.now); err == nil || !strings.Contains(err.Error(), "a collector failed") {
		t.Errorf("error = %v, want the gatherer's", err)
	}
	if got := g.states(); !slices.Equal(got, []string{"Past firing", "Gone firing", "Down firing"}) {
		t.Errorf("gatherer failed: %v", got)
	}
	g.world.err = nil
	g.at(t, 2*time.Minute)
	if n := g.mem.series; n != 1 {
		t.Errorf("%d series are held, want only up", n)
	}
}

func TestRecordingRulesAndALERTS(t *testing.T) {
	g := newRig(t, mustLoad(t, `
groups:
  - name: g
    labels: {team: video, severity: group}
    rules:
      - record: job:v:sum
        expr: sum by (target) (v)
        labels: {from: '{{ not a template here }}'}
      - alert: Sum
        expr: job:v:sum > 10
        for: 10s
        labels: {severity: own}
      - alert: Meta
        expr: ALERTS{alertname="Sum", alertstate="pending"}
      - alert: Since
        expr: time() - ALERTS_FOR_STATE{alertname="Sum"} >= 20
`), nil)
	g.world.set(point{"v", []string{"target", "app", "p", "1"}, 6}, point{"v", []string{"target", "app", "p", "2"}, 6})
	g.at(t, 0)
	if got := g.states(); !slices.Equal(got, []string{"Sum pending", "Meta firing"}) {
		t.Errorf("first: %v", got)
	}
	g.at(t, 10*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"Sum firing"}) {
		t.Errorf("second: %v", got)
	}
	g.at(t, 20*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"Sum firing", "Since firing"}) {
		t.Errorf("third: %v", got)
	}
	want := map[string]string{"alertname": "Sum", "target": "app", "team": "video", "severity": "own", "from": "{{ not a template here }}"}
	if diff := gocmp.Diff(want, g.Alerts()[0].Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	g.world.set()
	g.at(t, 30*time.Second)
	if got := g.states(); got != nil {
		t.Errorf("recorded series without a source: %v", got)
	}
}

func TestGroupIntervalOffsetAndLimit(t *testing.T) {
	g := newRig(t, mustLoad(t, `
groups:
  - name: slow
    interval: 1m
    rules:
      - {record: slow, expr: v}
  - name: late
    query_offset: 20s
    rules:
      - {alert: Late, expr: v > 10}
  - name: limited
    limit: 1
    rules:
      - {alert: Limited, expr: v > 10}
      - {record: limited, expr: v > 10}
  - name: read
    rules:
      - {alert: Slow, expr: slow > 10}
      - {alert: Recorded, expr: limited}
`), func(o *Options) { o.Interval = 10 * time.Second })
	g.world.set(point{"v", []string{"target", "a"}, 11})
	g.at(t, 0)
	if got := g.states(); !slices.Equal(got, []string{"Limited firing", "Slow firing", "Recorded firing"}) {
		t.Errorf("at 0s: %v", got)
	}
	g.world.set(point{"v", []string{"target", "a"}, 5})
	g.at(t, 10*time.Second)
	g.at(t, 20*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"Late firing", "Slow firing"}) {
		t.Errorf("at 20s: %v, want the value of 20s ago, and of the last minute", got)
	}
	g.at(t, 60*time.Second)
	if got := g.states(); got != nil {
		t.Errorf("at 60s: %v", got)
	}
	g.world.set(point{"v", []string{"target", "a"}, 11}, point{"v", []string{"target", "b"}, 11})
	g.now = epoch.Add(70 * time.Second)
	err := g.Evaluate(t.Context(), g.now)
	if err == nil || !strings.Contains(err.Error(), `rule "Limited": 2 alerts are more than the group's limit of 1`) ||
		!strings.Contains(err.Error(), `rule "limited": 2 series are more than the group's limit of 1`) {
		t.Errorf("error = %v", err)
	}
	if got := g.states(); got != nil {
		t.Errorf("over the limit: %v", got)
	}
}

// TestRuleErrors: one rule's failure is reported, counted and shown, and stops nothing else.
func TestRuleErrors(t *testing.T) {
	g := newRig(t, mustLoad(t, `
groups:
  - name: g
    rules:
      - {alert: Many, expr: 'v * on () w > 0'}
      - {alert: Same, expr: 'v > 0', labels: {p: same}}
      - {record: v, expr: 'v + 1'}
      - {alert: Fine, expr: 'w > 0'}
`), nil)
	g.world.set(point{"v", []string{"p", "1"}, 6}, point{"v", []string{"p", "2"}, 6}, point{"w", nil, 1})
	g.now = epoch
	err := g.Evaluate(t.Context(), g.now)
	for _, want := range []string{`rule "Many": evaluate: `, `rule "Same": two results`, `record it under another name`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
	if got := g.states(); !slices.Equal(got, []string{"Fine firing"}) {
		t.Errorf("states = %v", got)
	}
	var failed []string
	for _, r := range g.Rules() {
		if r.LastError != "" {
			failed = append(failed, r.Name)
		}
	}
	if !slices.Equal(failed, []string{"Many", "Same", "v"}) {
		t.Errorf("rules with an error = %v", failed)
	}
	if got := testutil.ToFloat64(g.metrics.failures); got != 3 {
		t.Errorf("failures = %v, want 3", got)
	}
	g.world.set(point{"v", []string{"p", "1"}, 6}, point{"w", nil, 1})
	g.now = epoch.Add(time.Minute)
	if err := g.Evaluate(t.Context(), g.now); err == nil {
		t.Error("recording over an exposed series went well")
	}
	if got := g.states(); !slices.Equal(got, []string{"Many firing", "Same firing", "Fine firing"}) {
		t.Errorf("fixed: %v", got)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	g := newRig(t, mustLoad(t, `groups: [{name: g, rules: [{alert: A, expr: v > 0}]}]`), func(o *Options) { o.MaxSeries = 3 })
	var points []point
	for i := range 5 {
		points = append(points, point{"v", []string{"p", fmt.Sprint(i)}, 1}, point{"unread", []string{"p", fmt.Sprint(i)}, 1})
	}
	g.world.set(points...)
	g.at(t, 0)
	g.at(t, time.Second)
	if n := len(g.Alerts()); n != 3 || g.mem.series != 3 {
		t.Errorf("%d alerts, %d series, want 3", n, g.mem.series)
	}
	if got := testutil.ToFloat64(g.metrics.dropped); got != 4 {
		t.Errorf("dropped = %v, want 4", got)
	}
}

// TestRingsForget: memory follows what rules look at, however long it runs.
func TestRingsForget(t *testing.T) {
	g := newRig(t, mustLoad(t, `groups: [{name: g, rules: [{alert: A, expr: 'a > 100'}, {alert: B, expr: 'min_over_time(b[1m]) > 100'}]}]`), nil)
	for i := range 1000 {
		g.world.set(point{name: "a", value: 1}, point{name: "b", value: 1})
		g.at(t, time.Duration(i)*time.Second)
	}
	a, b := g.mem.families["a"].list[0], g.mem.families["b"].list[0]
	if n := len(a.points) - a.head; n != 1 || cap(a.points) > 4 {
		t.Errorf("a holds %d samples in %d slots, want the newest one", n, cap(a.points))
	}
	if n := len(b.points) - b.head; n < 60 || n > 62 || cap(b.points) > 256 {
		t.Errorf("b holds %d samples in %d slots, want a minute", n, cap(b.points))
	}
}

func TestHistogramsAndSummaries(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h_seconds", Help: "h", Buckets: []float64{1, 2.5}})
	s := prometheus.NewSummary(prometheus.SummaryOpts{Name: "s_seconds", Help: "s", Objectives: map[float64]float64{0.5: 0.1}})
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c_total", Help: "c"}, []string{"code"})
	reg.MustRegister(h, s, c)
	for _, v := range []float64{0.5, 2, 2, 9} {
		h.Observe(v)
		s.Observe(v)
	}
	c.WithLabelValues("200").Add(3)
	g := newRig(t, mustLoad(t, `
groups:
  - name: g
    rules:
      - {alert: One, expr: 'h_seconds_bucket{le="1.0"} == 1'}
      - {alert: Most, expr: 'h_seconds_bucket{le="2.5"} == 3'}
      - {alert: All, expr: 'h_seconds_bucket{le="+Inf"} == ignoring (le) h_seconds_count'}
      - {alert: Median, expr: 's_seconds{quantile="0.5"} == 2'}
      - {alert: Mean, expr: 's_seconds_sum / s_seconds_count > 3'}
      - {alert: Counter, expr: 'c_total{code="200"} == 3'}
`), func(o *Options) { o.Gatherer = reg })
	g.at(t, 0)
	if n := len(g.Alerts()); n != 6 {
		t.Errorf("states = %v, want all six", g.states())
	}
	if f := g.mem.families["h_seconds_sum"]; f != nil && len(f.list) > 0 {
		t.Error("h_seconds_sum is held, but no rule reads it")
	}
}

// TestAnnotationsAreOfTheirMoment: a resolved alert is described as it was when it last fired, its
// queries included, although they run when it sends.
func TestAnnotationsAreOfTheirMoment(t *testing.T) {
	g := newRig(t, mustLoad(t, `
groups:
  - name: g
    rules:
      - alert: A
        expr: v > 10
        annotations: {summary: '{{ $value }} of {{ query "w" | first | value }}'}
`), nil)
	for i, v := range []float64{11, 12, 13, 5} {
		g.world.set(point{"v", nil, v}, point{"w", nil, v * 100})
		g.at(t, time.Duration(i)*10*time.Second)
	}
	var got []string
	for _, b := range g.inbox.batches {
		for _, a := range b.Alerts {
			got = append(got, string(a.Status)+": "+a.Annotations["summary"])
		}
	}
	if want := []string{"firing: 11 of 1100", "resolved: 13 of 1300"}; !slices.Equal(got, want) {
		t.Errorf("annotations = %q, want %q", got, want)
	}
}

func TestTemplateErrorIsShown(t *testing.T) {
	g := newRig(t, mustLoad(t, `
groups:
  - name: g
    rules:
      - alert: A
        expr: v > 10
        labels: {target: '{{ $labels.t | toUpper }}', empty: '{{ $labels.none }}'}
        annotations: {summary: '{{ query "none" | first | value }}'}
`), nil)
	g.world.set(point{"v", []string{"t", "app"}, 11})
	g.at(t, 0)
	a := g.Alerts()[0]
	if diff := gocmp.Diff(map[string]string{"alertname": "A", "t": "app", "target": "APP"}, a.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if s := a.Annotations["summary"]; !strings.HasPrefix(s, "<error expanding template: ") || !strings.Contains(s, "first() called on vector with no elements") {
		t.Errorf("summary = %q", s)
	}
}

// TestClockSetBack: nothing of a time yet to come is left, and waiting is not cut short.
func TestClockSetBack(t *testing.T) {
	g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "20s", "0s")), nil)
	g.world.set(point{"v", []string{"target", "app"}, 11})
	g.at(t, time.Hour)
	g.at(t, time.Hour+10*time.Second)
	g.at(t, 0) // back by an hour and ten seconds: ten seconds of waiting are done
	if got := g.states(); !slices.Equal(got, []string{"High pending"}) {
		t.Errorf("after the jump: %v", got)
	}
	g.at(t, 10*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"High firing"}) {
		t.Errorf("10s later: %v", got)
	}
	g.at(t, 20*time.Second)
	if got := g.inbox.take(); !slices.Equal(got, []string{"firing High"}) {
		t.Errorf("sent %v", got)
	}
	// The rings hold what is past now, in order.
	g = newRig(t, mustLoad(t, "groups: [{name: g, rules: [{alert: A, expr: 'count_over_time(v[1m]) == 2'}]}]"), nil)
	g.world.set(point{name: "v", value: 11})
	g.at(t, 3600*time.Second)
	g.at(t, 3610*time.Second)
	g.at(t, 0)
	g.at(t, 10*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"A firing"}) {
		t.Errorf("samples of the last minute: %v, want the two after the jump", got)
	}
}

// TestAFailingRuleTellsNothing: no one knows whether its alert still holds.
func TestAFailingRuleTellsNothing(t *testing.T) {
	g := newRig(t, mustLoad(t, `groups: [{name: g, rules: [{alert: A, expr: 'v * on () w > 0'}]}]`), nil)
	g.world.set(point{"v", []string{"p", "1"}, 1}, point{"w", nil, 1})
	g.at(t, 0)
	g.inbox.take()
	g.world.set(point{"v", []string{"p", "1"}, 1}, point{"v", []string{"p", "2"}, 1}, point{"w", []string{"q", "1"}, 1}, point{"w", []string{"q", "2"}, 1})
	g.now = epoch.Add(2 * time.Minute)
	if err := g.Evaluate(t.Context(), g.now); err == nil {
		t.Fatal("no error")
	}
	if got := g.inbox.take(); got != nil {
		t.Errorf("sent %v", got)
	}
	g.world.set(point{"v", []string{"p", "1"}, 1}, point{"w", nil, 1})
	g.at(t, 3*time.Minute)
	if got := g.inbox.take(); !slices.Equal(got, []string{"firing A"}) {
		t.Errorf("sent %v once it works again", got)
	}
}

func TestGatheredLabels(t *testing.T) {
	g := newRig(t, mustLoad(t, `groups: [{name: g, rules: [{alert: A, expr: v}]}]`), func(o *Options) {
		o.Labels = map[string]string{"job": "given", "instance": "given"}
	})
	g.world.set(point{"v", []string{"job", "own", "empty", ""}, 1}, point{"v", []string{"a", "1"}, 1})
	g.at(t, 0)
	var got []map[string]string
	for _, a := range g.Alerts() {
		got = append(got, a.Labels)
	}
	want := []map[string]string{
		{"alertname": "A", "a": "1", "instance": "given", "job": "given"},
		{"alertname": "A", "instance": "given", "job": "own"},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	for s := range g.mem.families["v"].byKey {
		if strings.Contains(s, "empty") {
			t.Errorf("key %q holds an empty label, which is not a label", s)
		}
	}
}

func TestSelectSorted(t *testing.T) {
	g := newRig(t, mustLoad(t, `groups: [{name: g, rules: [{alert: A, expr: v}]}]`), nil)
	g.world.set(point{"v", []string{"p", "2"}, 1}, point{"v", []string{"p", "1"}, 1})
	g.at(t, 0)
	q, err := g.mem.Querier(epoch.UnixMilli(), epoch.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	name := labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "v")
	for _, c := range []struct {
		sorted bool
		want   string
	}{{true, "12"}, {false, "21"}} {
		got := ""
		for set := q.Select(t.Context(), c.sorted, nil, name); set.Next(); {
			got += set.At().Labels().Get("p")
		}
		if got != c.want {
			t.Errorf("sorted %v: %s, want %s", c.sorted, got, c.want)
		}
	}
	if set := q.Select(t.Context(), false, nil, name, labels.MustNewMatcher(labels.MatchRegexp, "p", "2|3")); !set.Next() || set.Next() {
		t.Error("a matcher on a label gives not one series")
	}
}

func TestSetRulesKeepsUnchangedRules(t *testing.T) {
	g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "20s", "0s")), nil)
	g.world.set(point{"v", []string{"target", "app"}, 11})
	g.at(t, 0)
	g.at(t, 10*time.Second)
	g.SetRules(mustLoad(t, fmt.Sprintf(oneRule, "20s", "0s")+"      - {alert: New, expr: v > 0}\n"))
	g.at(t, 20*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"High firing", "New firing"}) {
		t.Errorf("after a reload: %v, want the waiting of before to count", got)
	}
	firedAt := g.Alerts()[0].FiredAt
	g.SetRules(mustLoad(t, fmt.Sprintf(oneRule, "20s", "5m")))
	g.at(t, 30*time.Second)
	if got := g.Alerts(); len(got) != 1 || !got[0].FiredAt.Equal(firedAt) {
		t.Errorf("alerts = %+v, want the same alert alone", got)
	}
	g.inbox.take()
	// A longer `for` makes it wait again.
	g.SetRules(mustLoad(t, fmt.Sprintf(oneRule, "1m", "0s")))
	g.at(t, 40*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"High pending"}) {
		t.Errorf("longer for: %v", got)
	}
	// Other labels make another rule.
	g.SetRules(mustLoad(t, strings.Replace(fmt.Sprintf(oneRule, "20s", "0s"), "relieve_memory", "clean_temp", 1)))
	g.at(t, 50*time.Second)
	if got := g.Alerts(); len(got) != 1 || got[0].State != "pending" || !got[0].ActiveAt.Equal(epoch.Add(50*time.Second)) {
		t.Errorf("alerts = %+v, want a new one", got)
	}
	// Its series go with a rule.
	g.SetRules(mustLoad(t, `groups: [{name: g, rules: [{alert: A, expr: x}]}]`))
	g.at(t, time.Minute)
	if g.mem.series != 0 {
		t.Errorf("%d series are held for rules that are gone", g.mem.series)
	}
}

func TestSetRulesKeepsRecordedSeries(t *testing.T) {
	const text = `
groups:
  - name: g
    rules:
      - {record: sum:v, expr: sum(v)}
      - {alert: Moved, expr: 'changes(sum:v[5m]) > 0'}
`
	g := newRig(t, mustLoad(t, text), nil)
	g.world.set(point{name: "v", value: 1})
	g.at(t, 0)
	g.SetRules(mustLoad(t, text))
	g.world.set(point{name: "v", value: 2})
	g.at(t, 10*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"Moved firing"}) {
		t.Errorf("states = %v, want the past of before the reload to count", got)
	}
	g.SetRules(mustLoad(t, `groups: [{name: g, rules: [{alert: Moved, expr: 'changes(sum:v[5m]) > 0'}]}]`))
	g.at(t, 20*time.Second)
	if got := g.states(); got != nil {
		t.Errorf("states = %v, want nothing of a rule that is gone", got)
	}
}

func TestKickAndMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var evaluations []time.Duration
		start := time.Now()
		var slow atomic.Int64
		reg := prometheus.NewRegistry()
		g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "0s", "0s")), func(o *Options) {
			o.Now, o.Interval, o.Registerer = time.Now, 15*time.Second, reg
			w := o.Gatherer
			o.Gatherer = prometheus.GathererFunc(func() (m []*dto.MetricFamily, err error) {
				mu.Lock()
				evaluations = append(evaluations, time.Since(start))
				mu.Unlock()
				<-time.After(time.Duration(slow.Load()))
				return w.Gather()
			})
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.Run(ctx); close(done) }()
		seen := func(from int) []time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(evaluations[from:])
		}
		sweep := func(n int) {
			for range n {
				<-time.After(5 * time.Second)
				g.Kick()
				synctest.Wait()
			}
		}
		sweep(7) // the first sweep, then every third
		if want := []time.Duration{5 * time.Second, 20 * time.Second, 35 * time.Second}; !slices.Equal(seen(0), want) {
			t.Errorf("with sweeps: %v, want %v", seen(0), want)
		}
		<-time.After(40 * time.Second) // no sweeps: the timer alone
		synctest.Wait()
		if want := []time.Duration{51500 * time.Millisecond, 66500 * time.Millisecond}; !slices.Equal(seen(3), want) {
			t.Errorf("without sweeps: %v, want %v", seen(3), want)
		}
		slow.Store(int64(50 * time.Second))
		<-time.After(10 * time.Second)
		slow.Store(0)
		<-time.After(60 * time.Second)
		synctest.Wait()
		if got := testutil.ToFloat64(g.metrics.missed); got != 2 {
			t.Errorf("missed = %v, want 2 for an evaluation of 50s", got)
		}
		cancel()
		<-done
	})
}

// TestSetRulesBringsTheInterval: a reload that changes evaluation_interval needs no restart.
func TestSetRulesBringsTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var evaluations atomic.Int64
		g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "0s", "0s")), func(o *Options) {
			o.Now = time.Now
			o.Gatherer = prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { evaluations.Add(1); return nil, nil })
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.Run(ctx); close(done) }()
		<-time.After(46 * time.Second)
		if n := evaluations.Load(); n != 3 {
			t.Errorf("%d evaluations in 46s, want 3", n)
		}
		r, err := Load(LoadOptions{Bundle: []File{{Name: "a.yml", Content: []byte("groups: [{name: g, rules: [{alert: A, expr: up}]}]")}}, Interval: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		g.SetRules(r)
		<-time.After(24*time.Second + time.Millisecond) // 14 s until the present wait is over, then each second
		if n := evaluations.Load(); n != 3+11 {
			t.Errorf("%d evaluations, want 14", n)
		}
		cancel()
		<-done
	})
}

func TestMetricsLint(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	newMetrics(reg)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
