package web

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// newFleet returns a handler over 200 targets with 60 samples of every family.
func newFleet(b testing.TB) *fixture {
	b.Helper()
	f := newFixture(b, nil)
	for i := range 60 {
		f.batch.Reset(f.now.Add(time.Duration(i-60) * time.Second))
		for n := range 200 {
			for _, d := range metric.Descs() {
				if len(d.Labels) == 0 || d.Labels[0] != "target" {
					continue
				}
				values := append([]string{fmt.Sprintf("target%03d", n)}, d.Labels[1:]...)
				f.batch.Set(d, float64(n+i), values...)
			}
		}
		f.store.Commit(&f.batch)
	}
	return f
}

func benchmarkGet(b *testing.B, path string) {
	f := newFleet(b)
	get(b, f, path)
}

// processorTime is the time of the process on a processor, whatever else the machine does.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// get measures one path, and how long its answer is.
func get(b *testing.B, f *fixture, path string) {
	b.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:10042"+path, nil)
	b.ReportAllocs()
	began := processorTime(b)
	defer func() {
		b.ReportMetric(float64((processorTime(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
	}()
	for b.Loop() {
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
		b.ReportMetric(float64(w.Body.Len())/1024, "KiB")
	}
}

func BenchmarkPage200(b *testing.B)   { benchmarkGet(b, "/") }
func BenchmarkHealth200(b *testing.B) { benchmarkGet(b, "/health/memory") }

// BenchmarkTarget14Days is the page of a target with eight gauges over 14 days of history.
func BenchmarkTarget14Days(b *testing.B) {
	store := history.New(history.Options{Path: filepath.Join(b.TempDir(), history.FileName), Logger: slog.New(slog.DiscardHandler)})
	if err := store.Open(); err != nil {
		b.Fatal(err)
	}
	f := newFixture(b, func(o *Options) { o.History = store })
	gauges := []*series.Desc{metric.MemoryUsed, metric.HeapUsed, metric.ProbeDuration, metric.CacheSize, metric.TempFiles, metric.UploadSize, metric.LogSize}
	label := func(d *series.Desc) []string { return append([]string{"app"}, d.Labels[1:]...) }
	const steps = 14 * 24 * 12
	for i := range steps {
		at := f.now.Add(time.Duration(i-steps) * history.Step).Truncate(history.Step)
		samples := make([]history.Sample, len(gauges))
		for n, d := range gauges {
			v := 1e8 * (2 + math.Sin(float64(i+n)/40) + float64(i%17)/100)
			samples[n] = history.Sample{Target: "app", Gauge: history.GaugeOf(d, label(d)), Min: v * .98, Mean: v, Max: v * 1.02}
		}
		if err := store.Append(at, samples, nil); err != nil {
			b.Fatal(err)
		}
	}
	f.sample(f.now, .5, series.LevelNormal)
	f.batch.Set(metric.ProbeSuccess, 1, "app")
	for _, d := range gauges[1:] {
		f.batch.Set(d, 2e8, label(d)...)
	}
	f.store.Commit(&f.batch)
	get(b, f, "/target/app?range=14d")
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
}

// TestPageOf200IsSmall: 200 targets with everything that a target can have are at most 250 KB.
func TestPageOf200IsSmall(t *testing.T) {
	f := newFleet(t)
	if n := f.do("GET", "/", nil, "").Body.Len(); n > 250_000 {
		t.Errorf("the page of 200 targets has %d bytes", n)
	}
}
