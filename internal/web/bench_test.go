package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// newFleet returns a handler over 200 targets with 60 samples of every family.
func newFleet(b *testing.B) *fixture {
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
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:10042"+path, nil)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}

func BenchmarkPage200(b *testing.B)   { benchmarkGet(b, "/") }
func BenchmarkHealth200(b *testing.B) { benchmarkGet(b, "/health/memory") }
