package app

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// TestWatcherBetweenSweeps: a process that fills its limit between two sweeps, which are five
// minutes apart, is noticed and reported.
func TestWatcherBetweenSweeps(t *testing.T) {
	posted := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		posted <- string(raw)
	}))
	defer srv.Close()
	mark := fmt.Sprintf("grower%d", time.Now().UnixNano())
	cmd := exec.Command("sh", "-c", `read x; a=$(head -c 80000000 /dev/zero | tr '\0' x); read y`, mark)
	grow, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = grow.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	a := startApp(t, `
standalone: false
sample_interval: 5m
targets: [{name: svc, processes: {match: {cmdline: '`+mark+`'}}, memory: {limit: 64MiB, basis: rss}}]
watchers: [{on: [warning, critical, emergency], post: '`+srv.URL+`'}]
`)
	store := a.parts.store
	if v, _, ok := store.Value(metric.MemoryLevel, "svc"); !ok || v != 0 {
		t.Fatalf("level %v, %v before it grows, want normal", v, ok)
	}
	swept, _, _ := store.Value(metric.SourceLastSuccess, sourceProcess, "svc", "")
	if _, err := grow.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the level is emergency", func() bool {
		v, _, ok := store.Value(metric.MemoryLevel, "svc")
		return ok && v == 3
	})
	deadline := time.After(20 * time.Second)
	for body := ""; !strings.Contains(body, "emergency"); {
		select {
		case body = <-posted:
		case <-deadline:
			t.Fatal("the watcher was not called")
		}
	}
	if now, _, _ := store.Value(metric.SourceLastSuccess, sourceProcess, "svc", ""); now != swept {
		t.Errorf("there was a sweep meanwhile, at %v: the test shows nothing", now)
	}
	if highest, _, _ := store.Value(metric.MemoryWindowMax, "svc"); highest < 60<<20 {
		t.Errorf("the window reaches %v bytes, want what the fast readings saw", highest)
	}
}
