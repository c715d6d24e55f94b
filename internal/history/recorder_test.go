package history

import (
	"context"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// exporter is a process that samples a leaking target every 5 s.
type exporter struct {
	store   *Store
	series  *series.Store
	log     strings.Builder
	started time.Time // the target
	taken   []Sample
	marked  int
	used    func(time.Time) float64
	stop    func()
}

// leak is 100 bytes a second.
func leak(t time.Time) float64 { return 1e8 + 100*float64(t.Unix()%1e8) }

// run starts an exporter; program is what its target runs.
func run(path string, started time.Time, program Program, used func(time.Time) float64) *exporter {
	e := &exporter{series: series.NewStore(series.Options{}), started: started, used: used}
	logger := slog.New(slog.NewTextHandler(&e.log, nil))
	e.store = New(Options{Path: path, Logger: logger})
	e.store.wrap = unsynced
	r := NewRecorder(RecorderOptions{
		Store: e.store, Series: e.series, Refill: e.series.Reach(), Logger: logger,
		Booted: func() time.Time { return time.Time{} },
		Taken: func(samples []Sample, _ time.Time, marks []Mark) {
			e.taken, e.marked = append(e.taken, samples...), e.marked+len(marks)
		},
		Program: func(string, time.Time) Program { return program },
	})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { r.Run(ctx) })
	done.Go(func() {
		var b series.Batch
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			now := time.Now()
			b.Reset(now)
			b.Set(metric.MemoryUsed, e.used(now), "a")
			b.Set(metric.MemoryResident, e.used(now)/2, "a")
			b.Set(metric.TempSize, 7, "a", "tts")
			b.Set(metric.ProcessStarts, 1, "a")
			b.Set(metric.ProcessOldestStart, float64(e.started.UnixMilli())/1000, "a")
			e.series.Commit(&b)
			r.Swept()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	e.stop = func() { cancel(); done.Wait() }
	return e
}

// growth is what the collector makes of the rings.
func (e *exporter) growth() (float64, bool) {
	points := e.series.PointsSinceCut(nil, series.TierMedium, metric.MemoryUsed, "a")
	return series.GrowthOver(points, 49*75*time.Second)
}

// TestRecorder: an exporter records, and the one that follows it knows the growth with its first sweeps, but not
// across a start of the service.
func TestRecorder(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		service := began.Add(-time.Hour)
		build := Program{Inode: 7, Modified: began.Add(-24 * time.Hour)}
		e := run(path, service, build, leak)
		pass(3 * time.Hour)
		e.stop()
		if n := len(e.taken); n < 3*37 || n > 3*39 || e.marked != 1 {
			t.Errorf("%d values and %d starts were passed on, want three of each five minutes, and with the first sweep, and one start", n, e.marked)
		}
		if e.store = newStore(t, path, &clock{time.Now()}, nil); e.store == nil {
			return
		}
		got, err := e.store.Series("a", "spillway_memory_used_bytes", began, time.Now())
		if err != nil || len(got) < 36 || len(got) > 37 {
			t.Fatalf("%d points, %v, want those of three hours", len(got), err)
		}
		for i, p := range got[1:36] {
			from := leak(p.Time)
			if p.Min != from || p.Max != from+100*295 || math.Abs(p.Mean-(from+100*147.5)) > 300 {
				t.Fatalf("point %d: %+v, want %v to %v", i, p, from, from+100*295)
			}
		}
		if diff := cmp.Diff([]string{"spillway_memory_resident_bytes", "spillway_memory_used_bytes", `spillway_temp_size_bytes{dir="tts"}`}, e.store.Gauges("a")); diff != "" {
			t.Errorf("gauges (-want +got):\n%s", diff)
		}
		if err := e.store.Close(); err != nil {
			t.Fatal(err)
		}

		e = run(path, service, build, leak)
		pass(11 * time.Second)
		if g, ok := e.growth(); !ok || math.Abs(g-100) > 1 {
			t.Errorf("growth %v, %v 11 s after a restart, want 100 bytes per second", g, ok)
		}
		points := e.series.Points(nil, series.TierMedium, metric.MemoryUsed, "a")
		for i, p := range points[:len(points)-1] {
			if p.Time.Sub(began)%Step != Step/2 && i > 0 && i < 34 {
				t.Errorf("slot %d stands at %v, want the middle of its five minutes", i, p.Time.Sub(began))
			}
		}
		pass(90 * time.Minute)
		if g, ok := e.growth(); !ok || math.Abs(g-100) > 2 {
			t.Errorf("growth %v, %v after 90 min, want 100 bytes per second", g, ok)
		}
		e.stop()

		// The service was started anew, with another build, while no exporter ran.
		pass(10 * time.Minute)
		restart := time.Now().Add(-time.Minute)
		e = run(path, restart, Program{Inode: 8, Modified: restart}, leak)
		pass(time.Minute)
		if g, ok := e.growth(); ok {
			t.Errorf("growth %v across a start of the service", g)
		}
		if n := len(e.series.Points(nil, series.TierMedium, metric.MemoryUsed, "a")); n < 50 {
			t.Errorf("%d slots: what was before the start is not shown", n)
		}
		pass(10 * time.Minute)
		marks, err := e.store.Marks("a", began.Add(-2*time.Hour), time.Now())
		want := []Mark{{"a", time.UnixMilli(service.UnixMilli()), build}, {"a", time.UnixMilli(restart.UnixMilli()), Program{Inode: 8, Modified: restart}}}
		if diff := cmp.Diff(want, marks); diff != "" || err != nil {
			t.Errorf("marks, %v (-want +got):\n%s", err, diff)
		}
		e.stop()
	})
}

// TestRecorderIsOff: where the file cannot be opened, that is logged once and nothing is gathered.
func TestRecorderIsOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", FileName)
	synctest.Test(t, func(t *testing.T) {
		e := run(path, time.Now(), Program{}, leak)
		pass(time.Hour)
		if got := e.series.Gather(nil, time.Now(), true); len(got) > 0 {
			t.Errorf("%d series are gathered for nothing", len(got))
		}
		e.stop()
		if n := strings.Count(e.log.String(), "level="); n != 1 || !strings.Contains(e.log.String(), "the history is off") {
			t.Errorf("want one line that says it is off:\n%s", e.log.String())
		}
	})
}

func TestGaugeOf(t *testing.T) {
	for want, got := range map[string]string{
		"spillway_memory_used_bytes":                             GaugeOf(metric.MemoryUsed, []string{"a"}),
		`spillway_temp_size_bytes{dir="tts"}`:                    GaugeOf(metric.TempSize, []string{"a", "tts"}),
		`spillway_cache_hit_ratio{cache="x \"y\"",source="app"}`: GaugeOf(metric.CacheHitRatio, []string{"a", `x "y"`, "app"}),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if Recorded(metric.ProcessStarts) || Recorded(metric.MemoryLimit) || !Recorded(metric.MemoryUsed) {
		t.Error("not the gauges with rings are recorded")
	}
}

// pass lets a time go by in the bubble.
func pass(d time.Duration) { <-time.After(d); synctest.Wait() }
