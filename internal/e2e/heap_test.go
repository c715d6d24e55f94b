//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startLeaky starts a Node.js service whose heap, of some 256 MiB, fills and stays full, with
// garbage that no one collects or with what it never lets go.
func startLeaky(t *testing.T, dir string, options []string, flags ...string) *service {
	t.Helper()
	server, err := filepath.Abs("../../examples/leaky-node/server.js")
	if err != nil {
		t.Fatal(err)
	}
	argv := append([]string{
		need(t, "node"), "--max-old-space-size=256", "--initial-old-space-size=256", "--max-semi-space-size=1",
		"--no-incremental-marking", "--heap-growing-percent=900",
	}, flags...)
	argv = append(argv, server, "--dir="+dir, "--port=0", "--for=240", "--every=100", "--held=0", "--stop-heap=0.93", "--once=1", "--empty=0", "--entry-kib=1")
	s := &service{process: start(t, nil, append(argv, options...)...)}
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

// TestHeap: two Node.js services fill their heaps. That of the one is garbage: it is seen at 85 %,
// collected, and relieved. That of the other is a true leak: the record says that the collection
// did not help, the playbook goes on to its next step, and a person is called. The inspector of the
// first is found by its process; that of the second is opened by a signal, on the record, and
// closed when the exporter ends. Their counters and their health are read as well.
func TestHeap(t *testing.T) {
	dir := testDir(t)
	garbage := startLeaky(t, filepath.Join(dir, "service-garbage"), []string{"--garbage=2"}, "--inspect=127.0.0.1:0")
	port := freePort(t)
	leak := startLeaky(t, filepath.Join(dir, "service-leak"), []string{"--leak=2", "--garbage=0"}, fmt.Sprintf("--inspect-port=127.0.0.1:%d", port))
	target := func(name string, s *service, heap, playbook string) string {
		return fmt.Sprintf(`
  - name: %s
    processes: {match: {comm: node, cmdline: '%s'}}
    memory: {limit: 8GiB}
    heap: {%s}
    app: {url: 'http://%s/stats', map: {cache_hits: cache.hits, cache_misses: cache.misses, steps_total: steps, held_bytes: held.bytes}}
    probe: {url: 'http://%s/health'}
    playbooks: {relieve_heap: [%s]}
`, name, regexp.QuoteMeta(s.Dir), heap, s.Address, s.Address, playbook)
	}
	e := startExporter(t, dir, "mode: enforce\nsample_interval: 1s\nevaluation_interval: 1s\ntargets:"+
		target("garbage", garbage, "provider: node_inspector", "{do: collect_garbage, verify: {after: 3}}")+
		target("leak", leak, "provider: node_inspector, activate: sigusr1",
			"{do: collect_garbage, verify: {after: 3}}, {do: command, argv: [/bin/echo, next], verify: {after: 3}}"))

	ended := func(name string) (run record, steps map[string]record) {
		eventually(t, 2*time.Minute, "relieve_heap of "+name+" has run", func() error {
			records, err := e.journal()
			if err != nil {
				return err
			}
			steps = make(map[string]record)
			for _, r := range records {
				switch {
				case r.Target != name || r.Playbook != "relieve_heap":
				case r.Step > 0 && r.Outcome != "":
					steps[r.Action] = r
				case r.Outcome == "relieved" || r.Outcome == "ineffective":
					run = r
				}
			}
			if run.Outcome == "" {
				return fmt.Errorf("no run has ended; %d records", len(records))
			}
			return nil
		})
		return run, steps
	}

	run, steps := ended("garbage")
	gc := steps["collect_garbage"]
	before, after := heapUsed(t, gc.Before), heapUsed(t, gc.After)
	if run.Outcome != "relieved" || gc.Outcome != "done" || before < 0.85*259 || after > before/2 || gc.FreedBytes != 0 {
		t.Errorf("garbage: %+v, step %+v, want relieved by a collection, which takes no credit for bytes", run, gc)
	}

	run, steps = ended("leak")
	gc = steps["collect_garbage"]
	before, after = heapUsed(t, gc.Before), heapUsed(t, gc.After)
	if run.Outcome != "ineffective" || gc.Outcome != "done" || before < 0.85*259 || after < 0.8*before {
		t.Errorf("leak: %+v, step %+v, want a collection that did not help", run, gc)
	}
	if steps["command"].Outcome != "done" {
		t.Errorf("leak: steps %+v, want that the playbook went on to its next step", steps)
	}
	eventually(t, 30*time.Second, "a person is called", func() error {
		alerts, err := get(e.url + "/api/v1/alerts")
		if err != nil || !strings.Contains(alerts, "SpillwayReliefIneffective") {
			return fmt.Errorf("no SpillwayReliefIneffective: %w", err)
		}
		return nil
	})
	for _, s := range []string{"SpillwayThresholdsMissing", "source failed"} {
		if strings.Contains(e.out.String(), s) {
			t.Errorf("the log of a healthy exporter says %q", s)
		}
	}
	checkService(t, e, garbage, "garbage")
	checkService(t, e, leak, "leak")
	checkActivation(t, e, leak, port)
}

var heapForm = regexp.MustCompile(`^heap ([0-9.]+)MiB of ([0-9.]+)MiB`)

// heapUsed reads "heap 238MiB of 259MiB".
func heapUsed(t *testing.T, text string) (mib float64) {
	t.Helper()
	m := heapForm.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%q is not a reading of a heap", text)
	}
	if _, err := fmt.Sscan(m[1], &mib); err != nil {
		t.Fatal(err)
	}
	return mib
}

// checkService looks at what is read of a service over HTTP.
func checkService(t *testing.T, e *exporter, s *service, name string) {
	t.Helper()
	m, err := e.scrape()
	if err != nil {
		t.Fatal(err)
	}
	var stats struct {
		Cache struct{ Hits, Misses float64 }
	}
	if err := getJSON("http://"+s.Address+"/stats", &stats); err != nil {
		t.Fatal(err)
	}
	hits, ok := m.sum("spillway_cache_hits_total", "target="+name, "source=app")
	misses, _ := m.sum("spillway_cache_misses_total", "target="+name, "source=app")
	if !ok || hits == 0 || hits > stats.Cache.Hits || misses == 0 || misses > stats.Cache.Misses {
		t.Errorf("%s: %v hits and %v misses, the service says %+v", name, hits, misses, stats)
	}
	for metric, want := range map[string]float64{"spillway_probe_success": 1, "spillway_probe_http_status_code": 200} {
		if v, ok := m.sum(metric, "target="+name); !ok || v != want {
			t.Errorf("%s: %s is %v, want %v", name, metric, v, want)
		}
	}
	if v, ok := m.sum("spillway_app_events_total", "target="+name, "name=steps_total"); !ok || v == 0 {
		t.Errorf("%s: no steps were counted", name)
	}
	if v, ok := m.sum("spillway_probe_duration_seconds", "target="+name); !ok || v <= 0 || v > 2 {
		t.Errorf("%s: its probe took %v s", name, v)
	}
}

// checkActivation looks at the inspector that was opened by a signal.
func checkActivation(t *testing.T, e *exporter, s *service, port int) {
	t.Helper()
	records, err := e.journal()
	if err != nil {
		t.Fatal(err)
	}
	signals := 0
	for _, r := range records {
		if r.Action == "signal" && r.Target == "leak" && r.Outcome == "done" && strings.Contains(r.Intent, fmt.Sprintf("send SIGUSR1 to process %d ", s.PID)) {
			signals++
		}
	}
	if signals != 1 {
		t.Errorf("%d signals are on the record, want 1", signals)
	}
	inspector := fmt.Sprintf("http://127.0.0.1:%d/json/version", port)
	if _, err := get(inspector); err != nil {
		t.Errorf("its inspector: %v", err)
	}
	e.stop()
	eventually(t, 10*time.Second, "the inspector is closed again", func() error {
		if _, err := get(inspector); err == nil {
			return errors.New("it still answers")
		}
		return nil
	})
	if n := strings.Count(s.out.String(), "Debugger attached"); n != 1 {
		t.Errorf("the service's log names %d attachments, want 1", n)
	}
	if _, err := get("http://" + s.Address + "/health"); err != nil {
		t.Errorf("the service after it: %v", err)
	}
}
