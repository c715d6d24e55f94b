package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

var frameGauge = series.NewGauge("spillway_test_value", "A value of the frame's tests.", "target")

type sourceFunc func(ctx context.Context, b *series.Batch) error

func (f sourceFunc) Sample(ctx context.Context, b *series.Batch) error { return f(ctx, b) }

type closingSource struct {
	sourceFunc
	closed atomic.Int32
}

func (c *closingSource) Close() error { c.closed.Add(1); return nil }

func newTestSampler(t *testing.T, lanes ...Lane) (*Sampler, *series.Store, *bytes.Buffer, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	store := series.NewStore(series.Options{})
	log := &bytes.Buffer{}
	s := NewSampler(SamplerOptions{
		Store: store, Lanes: lanes, Metrics: NewSamplerMetrics(reg),
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	return s, store, log, reg
}

func stopSampler(t *testing.T, s *Sampler) {
	t.Helper()
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func count(n *int, values ...float64) Source {
	return sourceFunc(func(_ context.Context, b *series.Batch) error {
		*n++
		for _, v := range values {
			b.Set(frameGauge, v, "a")
		}
		return nil
	})
}

func TestSamplerCadence(t *testing.T) {
	tests := []struct {
		name string
		lane Lane
		busy time.Duration // how long each sample takes
		want int           // samples within the first 60 s
	}{
		{"every interval", Lane{Interval: 5 * time.Second}, 0, 12},
		{"five times as often in a hurry", Lane{Interval: 5 * time.Second, Hurry: func() bool { return true }}, 0, 60},
		{"a slow sweep misses ticks and keeps the phase", Lane{Interval: 5 * time.Second, Timeout: time.Minute}, 6 * time.Second, 6},
		{"the budget stretches the interval", Lane{Interval: 5 * time.Second, Share: NewShare(.05, 1)}, time.Second, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				tt.lane.Name = "test"
				tt.lane.Jobs = []Job{{Source: "x", Target: "a", Impl: sourceFunc(func(context.Context, *series.Batch) error {
					runs++
					<-time.After(tt.busy)
					return nil
				})}}
				s, _, _, _ := newTestSampler(t, tt.lane)
				s.Start(t.Context())
				<-s.Ready()
				<-time.After(59*time.Second + 900*time.Millisecond - tt.busy)
				stopSampler(t, s)
				if runs != tt.want {
					t.Errorf("%d samples in a minute, want %d", runs, tt.want)
				}
			})
		})
	}
}

func TestSamplerCountsMissedTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _, reg := newTestSampler(t, Lane{Name: "test", Interval: time.Second, Timeout: time.Minute, Jobs: []Job{
			{Source: "x", Impl: sourceFunc(func(context.Context, *series.Batch) error {
				<-time.After(3500 * time.Millisecond)
				return nil
			})},
		}})
		s.Start(t.Context())
		<-time.After(3900 * time.Millisecond)
		stopSampler(t, s)
		want := "# HELP spillway_sampler_ticks_missed_total Sweeps skipped because the previous one took longer than the interval.\n" +
			"# TYPE spillway_sampler_ticks_missed_total counter\nspillway_sampler_ticks_missed_total 3\n"
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "spillway_sampler_ticks_missed_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestSamplerFailureIsAbsentAndSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Bool
		s, store, log, _ := newTestSampler(t, Lane{Name: "test", Interval: time.Second, Jobs: []Job{
			{Source: "heap", Target: "a", Impl: sourceFunc(func(_ context.Context, b *series.Batch) error {
				if fail.Load() {
					return errors.New("connection refused")
				}
				b.Set(frameGauge, 1, "a")
				return nil
			})},
		}})
		s.Start(t.Context())
		<-s.Ready()
		synctest.Wait()
		if v, _, ok := store.Value(metric.SourceSuccess, "heap", "a", ""); v != 1 || !ok {
			t.Errorf("success = %v, %v after a good sample, want 1", v, ok)
		}
		good, _, _ := store.Value(metric.SourceLastSuccess, "heap", "a", "")
		fail.Store(true)
		<-time.After(3500 * time.Millisecond)
		if _, _, ok := store.Value(frameGauge, "a"); ok {
			t.Error("the value of a failed reading is still there, want it absent")
		}
		if v, _, ok := store.Value(metric.SourceSuccess, "heap", "a", ""); v != 0 || !ok {
			t.Errorf("success = %v, %v after a failure, want 0", v, ok)
		}
		if v, _, _ := store.Value(metric.SourceLastSuccess, "heap", "a", ""); v != good {
			t.Errorf("last success moved to %v with a failure, want %v", v, good)
		}
		if errs := s.Errors(); len(errs) != 1 || errs[0].Error != "connection refused" {
			t.Errorf("errors = %v, want the one that is there", errs)
		}
		fail.Store(false)
		<-time.After(2 * time.Second)
		stopSampler(t, s)
		if n := strings.Count(log.String(), "source failed"); n != 1 {
			t.Errorf("three failures in a row are logged %d times, want once:\n%s", n, log)
		}
		if !strings.Contains(log.String(), "source works again") {
			t.Errorf("the recovery is not logged:\n%s", log)
		}
	})
}

// What ails all sources at once is said once, and each stays a failed one.
func TestSamplerSaysOnceThatCgroupsAreNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lane := Lane{Name: "test", Interval: time.Second}
		var found, other atomic.Bool
		for _, target := range []string{"a", "b"} {
			lane.Jobs = append(lane.Jobs, Job{Source: "process", Target: target, Impl: sourceFunc(func(context.Context, *series.Batch) error {
				err := fmt.Errorf("group %q: %w", target, errors.Join(nil, fmt.Errorf("cgroup %q is %w", "/../x", cgroup.ErrOutside)))
				switch {
				case other.Load():
					return errors.Join(err, errors.New("and more"))
				case found.Load():
					return nil
				}
				return err
			})})
		}
		s, store, log, _ := newTestSampler(t, lane)
		s.Start(t.Context())
		<-s.Ready()
		<-time.After(3500 * time.Millisecond)
		if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "mount the host's /sys at /host/sys") {
			t.Errorf("%d sentences, want one that says what to do:\n%s", n, log)
		}
		if v, _, _ := store.Value(metric.SourceSuccess, "process", "b", ""); v != 0 || len(s.Errors()) != 2 {
			t.Errorf("success = %v, errors %v, want both failed", v, s.Errors())
		}
		found.Store(true)
		<-time.After(2 * time.Second)
		if strings.Contains(log.String(), "works again") {
			t.Errorf("what was not said to fail is said to work again:\n%s", log)
		}
		other.Store(true)
		<-time.After(2 * time.Second)
		stopSampler(t, s)
		if n := strings.Count(log.String(), "level=WARN"); n != 3 {
			t.Errorf("%d warnings, want one more of each source that fails for another reason too:\n%s", n, log)
		}
	})
}

func TestSamplerAbsentIsNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, log, _ := newTestSampler(t, Lane{Name: "test", Interval: time.Second, Jobs: []Job{
			{Source: "temp", Target: "a", Impl: sourceFunc(func(context.Context, *series.Batch) error {
				return fmt.Errorf("/srv/tts: %w", ErrAbsent)
			})},
		}})
		s.Start(t.Context())
		<-s.Ready()
		stopSampler(t, s)
		if v, _, _ := store.Value(metric.SourceSuccess, "temp", "a", ""); v != 1 {
			t.Errorf("success = %v, want 1: nothing to read is not a failure", v)
		}
		if log.Len() != 0 {
			t.Errorf("it was logged:\n%s", log)
		}
	})
}

func TestSamplerDeadlineAndLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast := 0
		s, _, _, _ := newTestSampler(t,
			Lane{Name: "slow", Interval: time.Second, Timeout: 500 * time.Millisecond, Jobs: []Job{
				{Source: "heap", Target: "a", Impl: sourceFunc(func(ctx context.Context, _ *series.Batch) error {
					<-ctx.Done()
					return ctx.Err()
				})},
			}},
			Lane{Name: "fast", Interval: 100 * time.Millisecond, Jobs: []Job{{Source: "process", Target: "a", Impl: count(&fast, 1)}}},
		)
		s.Start(t.Context())
		<-time.After(1450 * time.Millisecond)
		stopSampler(t, s)
		if fast != 15 {
			t.Errorf("%d samples next to a source that never answers, want 15", fast)
		}
		if errs := s.Errors(); len(errs) != 1 || !strings.Contains(errs[0].Error, "no answer in time") {
			t.Errorf("errors = %v, want the deadline", errs)
		}
	})
}

func TestSamplerReadyDoesNotWaitForASlowScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s, _, _, _ := newTestSampler(t,
			Lane{Name: "process", Interval: time.Second, Jobs: []Job{{Source: "process", Impl: count(&n)}}},
			Lane{Name: "dirs", Interval: time.Minute, Timeout: time.Hour, Jobs: []Job{{Source: "temp", Impl: sourceFunc(func(ctx context.Context, _ *series.Batch) error {
				<-ctx.Done()
				return ctx.Err()
			})}}},
		)
		start := time.Now()
		s.Start(t.Context())
		<-s.Ready()
		took := time.Since(start)
		stopSampler(t, s)
		if took != 2*time.Second || n == 0 {
			t.Errorf("ready after %s with %d samples of processes, want 2s", took, n)
		}
	})
}

func TestSamplerKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := 0, 0
		s, _, _, _ := newTestSampler(t, Lane{Name: "dirs", Interval: time.Hour, Jobs: []Job{
			{Source: "cache", Target: "a", Impl: count(&a)},
			{Source: "temp", Target: "a", Impl: count(&b)},
		}})
		isCache := func(j Job) bool { return j.Source == "cache" }
		s.Start(t.Context())
		<-s.Ready()
		s.Kick(isCache)
		synctest.Wait()
		if a != 2 || b != 1 {
			t.Errorf("samples = %d, %d after a kick of the first, want 2, 1", a, b)
		}
		if runs := s.Runs(isCache); runs != 2 {
			t.Errorf("Runs = %d, want 2", runs)
		}
		stopSampler(t, s)
	})
}

func TestSamplerStopClosesAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &closingSource{sourceFunc: func(_ context.Context, b *series.Batch) error {
			b.Set(frameGauge, 1, "a")
			return nil
		}}
		s, store, _, _ := newTestSampler(t, Lane{Name: "test", Interval: time.Second, Jobs: []Job{{Source: "x", Target: "a", Impl: src}}})
		s.Start(t.Context())
		<-s.Ready()
		stopSampler(t, s)
		if src.closed.Load() != 1 {
			t.Errorf("the source was closed %d times, want once", src.closed.Load())
		}
		if _, _, ok := store.Value(frameGauge, "a"); !ok {
			t.Error("stopping made the series absent, want it there until a successor has sampled")
		}
		s.Forget()
		if held, _ := store.Len(); held != 0 {
			t.Errorf("%d series held after Forget, want 0", held)
		}
	})
}

func TestExporterLints(t *testing.T) {
	_, store, _, reg := newTestSampler(t)
	var b series.Batch
	b.Reset(time.UnixMilli(1_700_000_000_000))
	b.Set(metric.SourceSuccess, 1, "process", "a", "")
	b.Set(metric.SourceDuration, .5, "process", "a", "")
	b.Set(metric.SourceLastSuccess, 1.7e9, "process", "a", "")
	store.Commit(&b)
	reg.MustRegister(NewExporter(store))
	want := `# HELP spillway_source_duration_seconds Duration of the last sample of the source.
# TYPE spillway_source_duration_seconds gauge
spillway_source_duration_seconds{name="",source="process",target="a"} 0.5
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "spillway_source_duration_seconds"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			store := series.NewStore(series.Options{})
			var batch series.Batch
			batch.Reset(time.UnixMilli(1_700_000_000_000))
			for i := range n {
				batch.Set(frameGauge, float64(i), fmt.Sprintf("target-%04d", i))
			}
			store.Commit(&batch)
			reg := prometheus.NewRegistry()
			reg.MustRegister(NewExporter(store))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := reg.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestSamplerVerifies: what was sampled is published although the job's Verify fails, which makes the
// source a failed one; where nothing was found it is not asked.
func TestSamplerVerifies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		verify := func() error { asked++; return errors.New("another folder") }
		n := 0
		s, store, log, _ := newTestSampler(t, Lane{Name: "test", Interval: time.Minute, Jobs: []Job{
			{Source: "x", Target: "a", Impl: count(&n, 7), Verify: verify},
			{Source: "y", Target: "b", Impl: sourceFunc(func(context.Context, *series.Batch) error { return ErrAbsent }), Verify: verify},
		}})
		s.Start(t.Context())
		<-s.Ready()
		stopSampler(t, s)
		value, _, ok := store.Value(frameGauge, "a")
		failed, _, _ := store.Value(metric.SourceSuccess, "x", "a", "")
		absent, _, _ := store.Value(metric.SourceSuccess, "y", "b", "")
		if !ok || value != 7 || failed != 0 || absent != 1 || asked != 1 {
			t.Errorf("value %v %v, success %v and %v, asked %d times; want 7, 0 and 1, once", value, ok, failed, absent, asked)
		}
		if errs := s.Errors(); len(errs) != 1 || errs[0].Error != "another folder" || !strings.Contains(log.String(), "another folder") {
			t.Errorf("%v, logged %s", errs, log)
		}
	})
}
