//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// service is a leaking Node.js service: examples/leaky-node.
type service struct {
	*process
	PID       int    `json:"pid"`
	Address   string `json:"address"`
	Inspector string `json:"inspector"`
	Dir       string `json:"dir"`
	CacheDir  string `json:"cache_dir"`
	TempDir   string `json:"temp_dir"`
	OpenFile  string `json:"open_file"`
}

// startService starts Node.js with a heap that V8 does not collect by itself, as a service does
// whose heap limit is far above its container's limit. It stops growing at 280 MiB resident.
func startService(t *testing.T, dir string) *service {
	t.Helper()
	server, err := filepath.Abs("../../examples/leaky-node/server.js")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{process: start(t, nil, need(t, "node"),
		"--inspect=127.0.0.1:0", "--max-old-space-size=512", "--initial-old-space-size=512", "--max-semi-space-size=1",
		"--no-incremental-marking", "--heap-growing-percent=900",
		server, "--dir="+dir, "--port=0", "--for=240", "--once=1", "--stop-rss=280", "--every=100")}
	eventually(t, startLimit, "the service says where it is", func() error {
		for line := range strings.Lines(s.out.String()) {
			if strings.HasPrefix(line, "{") {
				return json.Unmarshal([]byte(line), s)
			}
		}
		return errors.New("no line of JSON yet")
	})
	return s
}

// loopConfig watches the service. The limit is crossed at 85 % by what it leaks; a run has to
// bring it below 70 %.
func loopConfig(s *service, extra string) string {
	return fmt.Sprintf(`
mode: enforce
sample_interval: 1s
scan_interval: 1s
evaluation_interval: 1s
%s
targets:
  - name: orchestrator
    processes: {match: {comm: node, cmdline: '%s'}, children: true}
    memory: {limit: 320MiB}
    heap: {provider: node_inspector, address: '%s'}
    caches:
      - {name: media, dir: %s, include: ['*.mp4', '*.json'], max_entries: 1000, max_bytes: 1GiB, evict_to: 70%%, age_by: mtime, min_age: 1s}
    temp_dirs:
      - {name: tts, dir: %s, include: ['*.wav'], max_age: 1h, empty_max_age: 2s, age_by: mtime, min_age: 1s}
    playbooks:
      relieve_memory:
        - {do: clean_temp, when: [critical, emergency], verify: {after: 2}}
        - {do: evict_cache, to: 1%%, when: [critical, emergency], verify: {after: 10}}
        - {do: collect_garbage, when: [critical, emergency], verify: {after: 10}}
      relieve_heap: []
      trim_cache: []
      clean_temp: []
`, extra, regexp.QuoteMeta(filepath.Base(filepath.Dir(s.CacheDir))), s.Inspector, s.CacheDir, s.TempDir)
}

// relieved waits for the first run of relieve_memory above warning to end and returns it.
func relieved(t *testing.T, e *exporter) record {
	t.Helper()
	var run record
	eventually(t, 2*time.Minute, "relieve_memory has run", func() error {
		records, err := e.journal()
		if err != nil {
			return err
		}
		for _, r := range runs(records, "relieve_memory") {
			if r.Outcome == "relieved" || r.Outcome == "ineffective" {
				run = r
				return nil
			}
		}
		m, err := e.scrape()
		if err != nil {
			return err
		}
		ratio, _ := m.sum("spillway_memory_used_ratio", "target=orchestrator")
		return fmt.Errorf("no run has ended; the ratio is %.2f; %d records", ratio, len(records))
	})
	return run
}

// checkLoop checks what the whole way has done: the disk, the journal, the counters, the log and
// the page agree.
func checkLoop(t *testing.T, e *exporter, s *service, run record) {
	t.Helper()
	if run.Mode != "enforce" {
		t.Errorf("the run's mode is %q", run.Mode)
	}
	if run.Outcome == "relieved" {
		after := regexp.MustCompile(`\((\d+\.\d)%\)`).FindStringSubmatch(run.After)
		if after == nil {
			t.Fatalf("the run does not say what was read after it: %q", run.After)
		}
		if percent, _ := strconv.ParseFloat(after[1], 64); percent >= 70 {
			t.Errorf("relieved at %s %%, want below 70", after[1])
		}
	}
	records, err := e.journal()
	if err != nil {
		t.Fatal(err)
	}
	var files, freed int64
	steps := make(map[string]record)
	for _, r := range records {
		if r.Step > 0 {
			steps[r.Action] = r
			files += r.Files
			freed += r.FreedBytes
		}
	}
	if steps["clean_temp"].Files == 0 || steps["clean_temp"].Skipped["in_use"] > 1 {
		t.Errorf("clean_temp: %+v, want empty files removed", steps["clean_temp"])
	}
	if steps["evict_cache"].Files == 0 {
		t.Errorf("evict_cache: %+v, want old entries removed", steps["evict_cache"])
	}
	if run.Outcome == "ineffective" && steps["collect_garbage"].Outcome == "" {
		t.Errorf("ineffective without a collection: %+v", steps)
	}
	if _, err := os.Stat(s.OpenFile); err != nil {
		t.Errorf("the file that the service has open: %v", err)
	}
	m, err := e.scrape()
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := m.sum("spillway_action_removed_files_total", "target=orchestrator"); int64(n) != files {
		t.Errorf("the counters say %v files, the journal %d", n, files)
	}
	if n, _ := m.sum("spillway_action_freed_bytes_total", "target=orchestrator"); int64(n) != freed {
		t.Errorf("the counters say %v bytes, the journal %d", n, freed)
	}
	var logged int64
	for _, f := range regexp.MustCompile(`msg="(?:cleaned temp files|cache evicted)".* (?:files|entries)=(\d+)`).FindAllStringSubmatch(e.out.String(), -1) {
		n, _ := strconv.ParseInt(f[1], 10, 64)
		logged += n
	}
	if logged != files {
		t.Errorf("the log says %d files, the journal %d", logged, files)
	}
	for _, line := range []string{`msg="memory pressure"`, `msg="memory after relief"`, "playbook=relieve_memory"} {
		if !strings.Contains(e.out.String(), line) {
			t.Errorf("the log has no %s", line)
		}
	}
	page, err := get(e.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"orchestrator", "relieve_memory", run.Outcome, fmt.Sprintf(`data-l="Files" class="num">%d</td>`, steps["evict_cache"].Files)} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
}

// TestWithoutPrometheus: a real Node.js process leaks until it crosses 85 % of its limit; the
// embedded evaluator fires, and the clean-up brings it below 70 % or says that it did not help.
func TestWithoutPrometheus(t *testing.T) {
	dir := testDir(t)
	s := startService(t, filepath.Join(dir, "service-standalone"))
	e := startExporter(t, dir, loopConfig(s, ""))
	run := relieved(t, e)
	if run.Trigger != "standalone" {
		t.Errorf("the trigger is %q, want standalone", run.Trigger)
	}
	checkLoop(t, e, s, run)
	var report struct {
		Memory struct{ RSS, HeapUsed, Percentage, Level string }
	}
	if err := getJSON(e.url+"/health/memory?target=orchestrator", &report); err != nil || report.Memory.HeapUsed == "" || report.Memory.Level == "" {
		t.Errorf("health: %+v, %v", report, err)
	}
	if n := strings.Count(s.out.String(), "Debugger attached"); n != 1 {
		t.Errorf("the service's log names %d attachments, want 1", n)
	}
}

// TestWithPrometheus: Debian's Prometheus scrapes, evaluates the same rule file unchanged and
// sends to Debian's Alertmanager, which calls the webhook with a bearer token.
func TestWithPrometheus(t *testing.T) {
	dir := testDir(t)
	tokenFile, _ := token(t, dir)
	s := startService(t, filepath.Join(dir, "service-prometheus"))
	// Without reflex the alert of the Prometheus is the first.
	e := startExporter(t, dir, loopConfig(s, "standalone: false\nreflex: false\nwebhook: {token_file: "+tokenFile+"}"))
	am := startAlertmanager(t, dir, e.addr, tokenFile)
	startPrometheus(t, dir, e.addr, am)
	run := relieved(t, e)
	if run.Trigger != "webhook" || run.Fingerprint == "" {
		t.Errorf("trigger %q, fingerprint %q, want the webhook's", run.Trigger, run.Fingerprint)
	}
	checkLoop(t, e, s, run)
	m, err := e.scrape()
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := m.sum("spillway_webhook_requests_total", "code="+strconv.Itoa(http.StatusOK)); n == 0 {
		t.Error("no request of the Alertmanager was answered with 200")
	}
}

// TestBothOn: with the evaluator and a Prometheus at once there is one clean-up, not two.
func TestBothOn(t *testing.T) {
	dir := testDir(t)
	tokenFile, _ := token(t, dir)
	s := startService(t, filepath.Join(dir, "service-both"))
	e := startExporter(t, dir, loopConfig(s, "webhook: {token_file: "+tokenFile+"}"))
	am := startAlertmanager(t, dir, e.addr, tokenFile)
	startPrometheus(t, dir, e.addr, am)
	run := relieved(t, e)
	checkLoop(t, e, s, run)
	// The other side has reported the same alert too, and nothing more came of it.
	eventually(t, time.Minute, "both sides have reported", func() error {
		m, err := e.scrape()
		if err != nil {
			return err
		}
		if n, _ := m.sum("spillway_webhook_requests_total", "code=200"); n == 0 {
			return errors.New("no request of the Alertmanager yet")
		}
		return nil
	})
	records, err := e.journal()
	if err != nil {
		t.Fatal(err)
	}
	collections := 0
	for _, r := range records {
		if r.Action == "evict_cache" && r.Files > 0 {
			collections++
		}
	}
	if collections != 1 {
		t.Errorf("the cache was evicted %d times, want once: %+v", collections, records)
	}
}
