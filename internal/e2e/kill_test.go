//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKillInTheMiddle kills the exporter while it removes 50,000 files: the journal must show
// the run as interrupted after the next start, nothing outside the plan may be gone, and the
// next run finishes.
func TestKillInTheMiddle(t *testing.T) {
	const due = 50_000
	dir := testDir(t)
	tts := filepath.Join(dir, "tts")
	for i := range 50 {
		writeFiles(t, filepath.Join(tts, fmt.Sprint(i)), "a-%d.wav", due/50, 10, 2*time.Hour)
	}
	writeFiles(t, tts, "young-%d.wav", 20, 10, 0)
	writeFiles(t, tts, "other-%d.txt", 20, 10, 2*time.Hour)
	writeFiles(t, tts, "keep-%d.wav", 20, 10, 2*time.Hour)
	outside := filepath.Join(dir, "outside")
	writeFiles(t, outside, "a-%d.wav", 20, 10, 2*time.Hour)
	if err := os.Symlink(outside, filepath.Join(tts, "link")); err != nil {
		t.Fatal(err)
	}
	config := `
mode: enforce
trust_loopback: true
standalone: false
sample_interval: 1s
scan_interval: 1s
targets:
  - name: svc
    temp_dirs:
      - {name: tts, dir: ` + tts + `, include: ['*.wav'], keep: ['keep-*'], max_age: 1h, age_by: mtime, min_age: 1s}
`
	e := startExporter(t, dir, config)
	start := countAll(t, tts)
	status, answer := post(t, e.url+"/api/v1/run", "application/json", "", `{"target":"svc","playbook":"clean_temp"}`)
	if status != http.StatusOK {
		t.Fatalf("run: %d %s", status, answer)
	}
	eventually(t, 30*time.Second, "a part is removed", func() error {
		if now := countAll(t, tts); now > start-2000 {
			return fmt.Errorf("%d of %d files are left", now, start)
		}
		return nil
	})
	e.kill()
	left := countAll(t, tts)
	if left <= 60 {
		t.Fatalf("only %d files are left: the kill came too late to test anything", left)
	}
	t.Logf("killed with %d of %d files left", left, start)

	e = startExporter(t, dir, config)
	records, err := e.journal()
	if err != nil {
		t.Fatal(err)
	}
	interrupted := 0
	for _, r := range records {
		if r.Outcome == "interrupted" {
			interrupted++
		}
	}
	if interrupted == 0 {
		t.Errorf("no record is interrupted: %+v", records)
	}
	status, answer = post(t, e.url+"/api/v1/run", "application/json", "", `{"target":"svc","playbook":"clean_temp"}`)
	if status != http.StatusOK {
		t.Fatalf("second run: %d %s", status, answer)
	}
	eventually(t, time.Minute, "the next run finishes", func() error {
		records, err := e.journal()
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Action == "clean_temp" && r.Outcome == "done" {
				return nil
			}
		}
		return fmt.Errorf("no step is done: %+v", records)
	})
	if got := countAll(t, tts); got != 60 {
		t.Errorf("%d files are left, want the 60 that are young, kept or of another name", got)
	}
	if got := countAll(t, outside); got != 20 {
		t.Errorf("%d files are left behind the link, want all 20", got)
	}
}

// countAll counts the regular files below dir, without following links.
func countAll(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		if d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".spillway") {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
