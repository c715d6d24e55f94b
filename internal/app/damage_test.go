package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// damageBound is how long any answer, and the stop, may take once the journal is damaged.
const damageBound = 10 * time.Second

const tempAlert = `{"version":"4","status":"firing","receiver":"spillway","groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"","groupKey":"g",
"alerts":[{"status":"firing","labels":{"alertname":"SpillwayTempFilesPiledUp","target":"svc","playbook":"clean_temp","severity":"warning","n":"%d"},"annotations":{},
"startsAt":"2026-01-02T03:04:05Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"%016x"}]}`

// A journal that is cut to nothing while the exporter runs costs the journal and nothing else: the
// webhook answers 503 each time, the page and /metrics go on, and the stop is bounded.
func TestDamagedJournalHangsNothing(t *testing.T) {
	dir := realDir(t)
	config := fmt.Sprintf("standalone: false\ntargets:\n  - name: svc\n    temp_dirs:\n      - {name: tmp, dir: %s, include: ['*.tmp'], max_age: 1h}\n", dir)
	a, err := New(t.Context(), testOptions(t, config), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- a.Run(ctx) }()
	<-a.graph.Load().sampler.Ready()
	if err := os.Truncate(a.journal.Path(), 0); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if code, body := postAlert(t, a, i+1); code != http.StatusServiceUnavailable {
			t.Errorf("alert %d after the damage: %d %s", i, code, body)
		}
	}
	client := &http.Client{Timeout: damageBound}
	for path, want := range map[string]string{"/": "the journal is damaged", "/metrics": "spillway_journal_writable 0", "/-/ready": ""} {
		resp, err := client.Get(a.url(path))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d, %v, want %q in it", path, resp.StatusCode, err, want)
		}
	}
	cancel()
	select {
	case err := <-stopped:
		if !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("Run: %v, want an error that names the damage", err)
		}
	case <-time.After(3 * damageBound):
		t.Fatal("the stop has not ended")
	}
}

func postAlert(t *testing.T, a *App, n int) (code int, body string) {
	t.Helper()
	client := &http.Client{Timeout: damageBound}
	resp, err := client.Post(a.url("/api/v1/webhook"), "application/json", strings.NewReader(fmt.Sprintf(tempAlert, n, n+1)))
	if err != nil {
		t.Fatalf("alert %d: %v", n, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("alert %d: %v", n, err)
	}
	return resp.StatusCode, string(raw)
}
