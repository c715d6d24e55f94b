//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestScrapeWhileScanningAndRemoving scrapes all along while 200,000 files are scanned and then
// removed: every scrape succeeds, none takes longer than 50 ms.
func TestScrapeWhileScanningAndRemoving(t *testing.T) {
	const files = 200_000
	dir := testDir(t)
	tts := filepath.Join(dir, "tts")
	for i := range 200 {
		writeFiles(t, filepath.Join(tts, fmt.Sprint(i)), "a-%d.wav", files/200, 0, 2*time.Hour)
	}
	e := startExporter(t, dir, `
mode: enforce
standalone: false
sample_interval: 1s
scan_interval: 1s
targets:
  - name: svc
    temp_dirs:
      - {name: tts, dir: `+tts+`, include: ['*.wav'], max_age: 1h, age_by: mtime, min_age: 1s}
`)
	var (
		took    []time.Duration
		removed float64
		asked   bool
	)
	begin := time.Now()
	for removed < files {
		if time.Since(begin) > 3*time.Minute {
			t.Fatalf("only %.0f files were removed within 3 minutes", removed)
		}
		if !asked && time.Since(begin) > 3*time.Second {
			asked = true
			if status, answer := post(t, e.url+"/api/v1/run", "application/json", "", `{"target":"svc","playbook":"clean_temp"}`); status != http.StatusOK {
				t.Fatalf("run: %d %s", status, answer)
			}
		}
		at := time.Now()
		body, err := get(e.url + "/metrics")
		took = append(took, time.Since(at))
		if err != nil {
			t.Fatalf("scrape %d: %v", len(took), err)
		}
		if len(took)%20 != 0 {
			continue
		}
		_ = body
		m, err := e.scrape()
		if err != nil {
			t.Fatal(err)
		}
		removed, _ = m.sum("spillway_action_removed_files_total", "target=svc")
	}
	slices.Sort(took)
	worst := took[len(took)-1]
	t.Logf("%d scrapes: median %s, p99 %s, worst %s", len(took), took[len(took)/2], took[len(took)*99/100], worst)
	if worst > 50*time.Millisecond {
		t.Errorf("the slowest scrape took %s, want at most 50ms", worst)
	}
}
