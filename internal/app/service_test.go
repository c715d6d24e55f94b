package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestServiceIntervals: app and probe each ask a service at their own interval, and say who asks.
func TestServiceIntervals(t *testing.T) {
	var stats, health, strangers atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.UserAgent(), "spillway_exporter/") || !r.Close {
			strangers.Add(1)
		}
		if r.URL.Path == "/health" {
			health.Add(1)
		} else {
			stats.Add(1)
		}
		fmt.Fprint(w, `{"jobs": 1}`)
	}))
	t.Cleanup(s.Close)
	startApp(t, `
standalone: false
sample_interval: 1s
targets:
  - name: svc
    probe: {url: `+s.URL+`/health, interval: 1m}
    app: {url: `+s.URL+`/stats, map: {jobs_total: jobs}}
  - name: rare
    app: {url: `+s.URL+`/stats, interval: 5m, map: {jobs_total: jobs}}
`)
	begun := time.Now()
	eventually(t, "the app is asked each second", func() bool { return stats.Load() >= 4 })
	if took := time.Since(begun); took < time.Second {
		t.Errorf("4 requests of which 3 are a second apart took %s", took)
	}
	if n := health.Load(); n != 1 {
		t.Errorf("the probe with an interval of a minute asked %d times", n)
	}
	if n := strangers.Load(); n != 0 {
		t.Errorf("%d requests without our User-Agent or without Connection: close", n)
	}
}
