package eval

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// stock is a store that the evaluator gathers from and that it reads at a crossing.
type stock struct {
	*series.Store
	batches map[string]*series.Batch
}

func newStock() *stock {
	return &stock{series.NewStore(series.Options{}), make(map[string]*series.Batch)}
}

func (s *stock) Gather() ([]*dto.MetricFamily, error) {
	w := &world{}
	for _, x := range s.Snapshot(nil) {
		p := point{name: x.Desc.Name, value: x.Value}
		for i, v := range x.Values {
			p.labels = append(p.labels, x.Desc.Labels[i], v)
		}
		w.points = append(w.points, p)
	}
	return w.Gather()
}

// memory commits a reading of a target with a limit of 1000 bytes.
func (s *stock) memory(target string, at time.Time, used float64) {
	s.commit(target, at, func(b *series.Batch) {
		b.Set(metric.MemoryUsed, used, target)
		b.Set(metric.MemoryLimit, 1000, target)
		b.Set(metric.MemoryUsedRatio, used/1000, target)
		b.Set(metric.MemoryLevel, float64(testThresholds.Of(used/1000)), target)
	})
}

func (s *stock) commit(target string, at time.Time, set func(*series.Batch)) {
	b := s.batches[target]
	if b == nil {
		b = &series.Batch{}
		s.batches[target] = b
	}
	b.Reset(at)
	for level, ratio := range map[string]float64{"warning": testThresholds.Warning, "critical": testThresholds.Critical, "emergency": testThresholds.Emergency} {
		b.Set(metric.ThresholdRatio, ratio, target, metric.SignalMemory, level)
	}
	set(b)
	s.Commit(b)
}

var testThresholds = series.Thresholds{Warning: .7, Critical: .85, Emergency: .95}

// running is an evaluator that runs in a bubble, with the moments at which it sent something.
type running struct {
	*rig
	*stock
	sent chan string // "status name target", and after how long
	stop context.CancelFunc
}

func newRunning(t *testing.T, rules *Ruleset, state StateStore) *running {
	t.Helper()
	r := &running{stock: newStock(), sent: make(chan string, 100)}
	began := time.Now()
	r.rig = newRig(t, rules, func(o *Options) {
		o.Gatherer, o.Store, o.Acts, o.Now, o.State = r.stock, r.Store, func(string) bool { return true }, time.Now, state
		o.Submit = func(_ context.Context, b alert.Batch) ([]alert.Disposition, error) {
			for _, a := range b.Alerts {
				r.sent <- fmt.Sprintf("%s %s %s after %v", a.Status, a.Name(), a.Target(), time.Since(began))
			}
			return make([]alert.Disposition, len(b.Alerts)), nil
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	r.stop = func() { stop(); <-done }
	return r
}

// cross commits a reading and says that it crossed a threshold, as the sampler does.
func (r *running) cross(target string, used float64) {
	r.memory(target, time.Now(), used)
	r.Cross(target, time.Now())
	synctest.Wait()
}

// heard returns what was sent since the last call.
func (r *running) heard() (out []string) {
	synctest.Wait()
	for {
		select {
		case s := <-r.sent:
			out = append(out, s)
		default:
			return out
		}
	}
}

func expectSent(t *testing.T, r *running, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.heard()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestCrossingIsJudgedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, loadBundle(t), nil)
		defer r.stop()
		r.memory("app", time.Now(), 500)
		r.Kick()
		<-time.After(20 * time.Second)
		r.cross("app", 960)
		expectSent(t, r, "firing SpillwayMemoryEmergency app after 20s")
		<-time.After(30 * time.Millisecond) // of the bubble
		r.cross("app", 690)
		expectSent(t, r, "resolved SpillwayMemoryEmergency app after 20.03s")
	})
}

// `for` counts from the reading that crossed, and the alert fires when it is over, not at the next
// evaluation. A value that was below in between starts anew.
func TestForCountsFromTheCrossing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, loadBundle(t), nil)
		defer r.stop()
		r.memory("app", time.Now(), 500)
		r.Kick()
		<-time.After(17 * time.Second)
		r.cross("app", 860)
		<-time.After(9 * time.Second)
		expectSent(t, r)
		<-time.After(999 * time.Millisecond)
		expectSent(t, r)
		<-time.After(time.Millisecond)
		expectSent(t, r, "firing SpillwayMemoryCritical app after 27s")
		r.memory("app", time.Now(), 600)
		<-time.After(time.Second)
		expectSent(t, r, "resolved SpillwayMemoryCritical app after 28s")

		r.cross("app", 860) // at 28s
		<-time.After(4 * time.Second)
		r.memory("app", time.Now(), 840) // no crossing: the level falls later
		<-time.After(1500 * time.Millisecond)
		r.cross("app", 860) // at 33.5s
		<-time.After(9990 * time.Millisecond)
		expectSent(t, r)
		<-time.After(10 * time.Millisecond)
		expectSent(t, r, "firing SpillwayMemoryCritical app after 43.5s")
	})
}

// The state is one: what a crossing has begun goes on in the regular evaluations, is sent again each
// minute and no more, and outlives a restart as the same alert.
func TestCrossingAndEvaluationShareTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &blob{}
		r := newRunning(t, loadBundle(t), kept)
		r.memory("app", time.Now(), 500)
		r.Kick()
		<-time.After(time.Second)
		r.cross("app", 960)
		expectSent(t, r, "firing SpillwayMemoryEmergency app after 1s")
		first := r.groups[0].rules[0].sorted()[0].notification()
		<-time.After(59 * time.Second)
		for _, s := range r.heard() {
			if s != "firing SpillwayMemoryCritical app after 11s" {
				t.Errorf("sent %q", s)
			}
		}
		r.stop()

		again := newRunning(t, loadBundle(t), kept)
		defer again.stop()
		again.memory("app", time.Now(), 960)
		again.Cross("app", time.Now()) // before the first evaluation
		synctest.Wait()
		var now []AlertState
		for _, a := range again.Alerts() {
			if a.Name == first.Name() {
				now = append(now, a)
			}
		}
		if len(now) != 1 || now[0].Fingerprint != first.Fingerprint || !now[0].FiredAt.Equal(first.StartsAt) {
			t.Errorf("after the restart %+v, before it %+v", now, first)
		}
		expectSent(t, again) // it was sent within the minute
	})
}

// Only the target that crossed is judged: what another one did since the last evaluation is not seen,
// and its alerts stay as they are.
func TestCrossingConcernsOneTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, loadBundle(t), nil)
		defer r.stop()
		r.memory("app", time.Now(), 500)
		r.memory("other", time.Now(), 500)
		r.Kick()
		<-time.After(500 * time.Millisecond)
		r.memory("other", time.Now(), 960)
		r.cross("app", 960)
		expectSent(t, r, "firing SpillwayMemoryEmergency app after 500ms")
	})
}

// Crossings in a storm are judged together, and never more often than crossPause.
func TestCrossingsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, loadBundle(t), nil)
		defer r.stop()
		for i := range 50 {
			r.memory(fmt.Sprint("app", i), time.Now(), 500)
		}
		r.Kick()
		<-time.After(time.Second)
		before := counterOf(t, r.reg, metric.TargetEvaluations.Name)
		for i := range 1000 {
			target := fmt.Sprint("app", i%50)
			r.memory(target, time.Now(), 500)
			r.Cross(target, time.Now())
			<-time.After(time.Millisecond)
		}
		if n := counterOf(t, r.reg, metric.TargetEvaluations.Name) - before; n < 40 || n > 51 {
			t.Errorf("%v judgements in a second, want about 50", n)
		}
	})
}

func counterOf(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("%s does not exist", name)
	return 0
}

// A clock that is set back does not stop judging.
func TestCrossingAfterTheClockWasSetBack(t *testing.T) {
	s := newStock()
	g := newRig(t, loadBundle(t), nil)
	g.o.Gatherer, g.o.Store, g.o.Acts = s, s.Store, func(string) bool { return true }
	s.memory("app", g.now, 500)
	g.at(t, time.Hour)
	g.now = g.base
	s.memory("app", g.now, 960)
	g.Cross("app", g.now)
	if err := g.Judge(t.Context(), g.now); err != nil {
		t.Fatal(err)
	}
	if got := g.inbox.take(); !slices.Equal(got, []string{"firing SpillwayMemoryEmergency"}) {
		t.Errorf("sent %v", got)
	}
}

// What crossed before a long time in which nothing ran did not hold all that time.
func TestCrossingOfLongAgo(t *testing.T) {
	s := newStock()
	g := newRig(t, loadBundle(t), func(o *Options) {
		o.Gatherer, o.Store, o.Acts = s, s.Store, func(string) bool { return true }
	})
	s.memory("app", g.now, 860)
	g.Cross("app", g.now)
	g.at(t, 10*time.Minute)
	if got := g.inbox.take(); len(got) > 0 {
		t.Errorf("sent %v", got)
	}
	g.at(t, 10*time.Minute+10*time.Second)
	if got := g.inbox.take(); !slices.Equal(got, []string{"firing SpillwayMemoryCritical"}) {
		t.Errorf("sent %v", got)
	}
}

// A target of which nothing comes of an alert is not judged between evaluations.
func TestCrossingOfATargetWithoutRemedy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, loadBundle(t), nil)
		defer r.stop()
		r.o.Acts = func(target string) bool { return target == "app" }
		r.memory("host", time.Now(), 500)
		r.Kick()
		<-time.After(time.Second)
		r.cross("host", 960)
		<-time.After(10 * time.Second)
		expectSent(t, r)
		if n := counterOf(t, r.reg, metric.TargetEvaluations.Name); n != 0 {
			t.Errorf("%v judgements", n)
		}
	})
}

// A reading that is gone is absent at a crossing, too: no alert is made of an old value.
func TestCrossingWithAnAbsentReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, loadBundle(t), nil)
		defer r.stop()
		r.memory("app", time.Now(), 960)
		r.Kick()
		expectSent(t, r, "firing SpillwayMemoryEmergency app after 0s")
		<-time.After(2500 * time.Millisecond)
		r.commit("app", time.Now(), func(*series.Batch) {})
		r.Cross("app", time.Now())
		expectSent(t, r, "resolved SpillwayMemoryEmergency app after 2.5s")
	})
}

// What a crossing of every target gives is what a full evaluation gives at the same moment: for the
// local rules of the bundle over random readings.
func TestJudgementIsThatOfAnEvaluation(t *testing.T) {
	const targets = 6
	rnd := rand.New(rand.NewPCG(1, 2))
	s := newStock()
	make1 := func() *rig {
		return newRig(t, loadBundle(t), func(o *Options) {
			o.Gatherer, o.Store, o.Acts, o.Labels = s, s.Store, func(string) bool { return true }, map[string]string{"instance": "h:10042"}
		})
	}
	full, parts := make1(), make1()
	used := make([]float64, targets)
	at, sent := epoch, 0
	for range 3000 {
		at = at.Add(time.Duration(50+rnd.IntN(4000)) * time.Millisecond)
		full.now, parts.now = at, at
		for i := range used {
			used[i] = min(max(used[i]+rnd.NormFloat64()*120, 0), 1100)
			name := fmt.Sprint("t", i)
			if rnd.IntN(20) == 0 {
				s.commit(name, at, func(*series.Batch) {})
			} else {
				s.memory(name, at, used[i])
			}
			parts.Cross(name, at)
		}
		if err := full.Evaluate(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		err := parts.Judge(t.Context(), at)
		if rnd.IntN(3) == 0 && err == nil {
			err = parts.Evaluate(t.Context(), at)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range []*rig{full, parts} {
			for i := range g.inbox.batches {
				for j := range g.inbox.batches[i].Alerts {
					g.inbox.batches[i].Alerts[j].ReadAt = time.Time{}
				}
			}
		}
		isLocal := func(a alert.Alert) bool { return a.Labels[alert.LabelPlaybook] == "relieve_memory" }
		got, want := localOf(parts.inbox, isLocal), localOf(full.inbox, isLocal)
		sent += len(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("at %v (-evaluation +judgement):\n%s", at.Sub(epoch), diff)
		}
	}
	if sent < 1000 {
		t.Errorf("only %d notifications were compared", sent)
	}
}

func localOf(i *inbox, keep func(alert.Alert) bool) (out []alert.Alert) {
	for _, b := range i.batches {
		for _, a := range b.Alerts {
			if keep(a) {
				out = append(out, a)
			}
		}
	}
	i.batches = nil
	return out
}

func TestOfOneTarget(t *testing.T) {
	f := func(expr string, want bool) {
		t.Helper()
		e, err := newParser().ParseExpr(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := ofOneTarget(e); got != want {
			t.Errorf("%s: %v, want %v", expr, got, want)
		}
	}
	f("a", true)
	f("a > 1", true)
	f("a{target=\"x\"} offset 1m", true)
	f("rate(a[5m]) > bool 2", true)
	f("max_over_time(rate(a[1m])[5m:1m])", true)
	f("a >= on (job, instance, target) group_left () b", true)
	f("a / ignoring (level) group_left () b", true)
	f("a + b", true)
	f("a and time() - b < 3600", true)
	f("sum by (target) (a) > 1", true)
	f("sum without (dir) (a) > 1", true)
	f("topk by (target) (2, a)", true)

	f("sum(a) > 1", false)
	f("sum by (job) (a) > 1", false)
	f("sum without (target) (a)", false)
	f("a > on (job) group_left () b", false)
	f("a > ignoring (target) group_left () b", false)
	f("a > scalar(b)", false)
	f("absent(a)", false)
	f("absent_over_time(a[1m])", false)
	f("vector(1)", false)
	f("hour() > 3", false)
	f("label_replace(a, \"target\", \"x\", \"\", \"\")", false)
	f("count_values by (target) (\"target\", a)", false)
	f("topk(2, a)", false)
	f("a and on (target) sum(b)", false)
}

// Which rules of the bundle are judged at a crossing is a decision.
func TestLocalRulesOfTheBundle(t *testing.T) {
	var got []string
	loadBundle(t).each(func(d *ruleDef) {
		if d.local {
			got = append(got, d.name)
		}
	})
	want := []string{
		"SpillwayMemoryEmergency", "SpillwayMemoryRunningOut", "SpillwayHeapEmergency", "SpillwayMemoryWarning", "SpillwayMemoryCritical",
		"SpillwayHeapWarning", "SpillwayHeapCritical", "SpillwayMemoryLeakSuspected", "SpillwayThresholdsMissing",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRulesThatAreNotLocal(t *testing.T) {
	const form = "groups:\n- name: g\n  %s\n  rules:\n  - {record: 'a:b', expr: 'spillway_memory_used_ratio'}\n  - {alert: A, expr: '%s', labels: {%s}}\n"
	for _, tc := range []struct {
		name, group, expr, labels string
		want                      bool
	}{
		{"one", "", "spillway_memory_used_ratio > 0.9", "severity: warning", true},
		{"its own label target", "", "spillway_memory_used_ratio > 0.9", "target: x", false},
		{"a limit", "limit: 3", "spillway_memory_used_ratio > 0.9", "", false},
		{"an offset", "query_offset: 10s", "spillway_memory_used_ratio > 0.9", "", false},
		{"of what is recorded", "", "spillway_memory_used_ratio > 0.9 and a:b > 0", "", false},
		{"of alerts", "", "spillway_memory_used_ratio > 0.9 unless on (target) ALERTS", "", false},
		{"not of pressure", "", "spillway_temp_files > 3", "", false},
	} {
		r := mustLoad(t, fmt.Sprintf(form, tc.group, tc.expr, tc.labels))
		if got := r.groups[0].rules[1].local; got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// BenchmarkJudge40Rules200Targets is what a crossing costs: 40 rules over 200 targets with 36 series
// each, five per cent of them under pressure; of one target, and of all at once.
func BenchmarkJudge40Rules200Targets(b *testing.B) {
	s := newStock()
	now := epoch
	descs := slices.DeleteFunc(metric.Descs(), func(d *series.Desc) bool {
		return len(d.Labels) != 1 || d.Labels[0] != labelTarget || d == metric.MemoryUsed || d == metric.MemoryLimit || d == metric.MemoryUsedRatio || d == metric.MemoryLevel
	})
	var names []string
	for i := range 200 {
		name := fmt.Sprintf("target-%03d", i)
		names = append(names, name)
		used := 500.0
		if i%20 == 0 {
			used = 970
		}
		s.memory(name, now, used)
		rest := &series.Batch{}
		rest.Reset(now)
		for _, d := range descs {
			rest.Set(d, 1, name)
		}
		s.Commit(rest)
	}
	for _, tc := range []struct {
		name    string
		crossed []string
	}{{"one", names[100:101]}, {"all", names}} {
		b.Run(tc.name, func(b *testing.B) {
			g := newRig(b, rules40(b), func(o *Options) {
				o.Gatherer, o.Store, o.Acts = s, s.Store, func(target string) bool { return slices.Contains(tc.crossed, target) }
			})
			now := epoch
			g.at(b, 0)
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				now = now.Add(50 * time.Millisecond)
				g.now = now
				for _, name := range tc.crossed {
					g.Cross(name, now)
				}
				if err := g.Judge(b.Context(), now); err != nil {
					b.Fatal(err)
				}
				g.inbox.batches = nil
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			if g.inbox.take(); len(g.Alerts()) == 0 {
				b.Error("nothing fires")
			}
		})
	}
}

// cpuTime is what the process has used so far; unlike the time that passed it does not depend on what
// else the machine does.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
