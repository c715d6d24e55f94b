package app

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// TestRecordedPayloads sends what real Alertmanagers have sent, twice, and reads what is decided.
func TestRecordedPayloads(t *testing.T) {
	a := startApp(t, `
standalone: false
instance: host1:10042
targets:
  - {name: orchestrator, temp_dirs: [{name: tts, dir: /nonexistent/tts, include: ['*.wav'], max_age: 1h}]}
`)
	post := func(file string) (out []alert.Disposition) {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join("../alert/testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(a.url("/api/v1/webhook"), "application/json", bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != http.StatusOK || len(out) == 0 {
			t.Fatalf("%s: %s, %v, %+v", file, resp.Status, err, out)
		}
		return out
	}
	first, second := post("0.31-cluster-a.json")[0], post("0.31-cluster-b.json")[0]
	if first.Disposition != alert.Accepted || second.Disposition != alert.Duplicate || first.RunID == "" || first.RunID != second.RunID {
		t.Errorf("two members of a cluster: %+v, %+v", first, second)
	}
	files, err := filepath.Glob("../alert/testdata/0.[23]*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		for range 2 {
			for _, d := range post(filepath.Base(file)) {
				if d.Fingerprint == "" || d.Reason == "" || d.Disposition == alert.Refused {
					t.Errorf("%s: %+v", file, d)
				}
			}
		}
	}
}
