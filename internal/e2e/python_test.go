//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fullPython starts a worker, as gunicorn does, whose heap fills with objects that refer to one another; what it holds for
// good is less than half. The collector of Python is off, as many services have it.
const fullPython = `import gc, os, sys, time
gc.disable()
class Ring:
    def __init__(self):
        self.me, self.body = self, bytes(1 << 20)
if os.fork() == 0:
    held = [bytes(1 << 20) for _ in range(40)]
    print('ready', flush=True)
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.1)
    for _ in range(80):
        Ring()
    time.sleep(600)
    os._exit(0)
os.wait()
`

// TestPythonWorker: the worker of a service is the fuller of its two processes. Its types are captured while there is room, so that what that
// costs is known. When it is full they are captured again, and it is collected, which relieves it; its output has nothing of it.
func TestPythonWorker(t *testing.T) {
	dir := testDir(t)
	modules, err := filepath.Abs("../../deploy/python-agent/python")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "worker.py")
	writeFile(t, script, fullPython)
	p := start(t, []string{"PYTHONPATH=" + modules}, need(t, "python3"), script, filepath.Join(dir, "fill"))
	eventually(t, startLimit, "the worker runs", func() error {
		if !strings.Contains(p.out.String(), "ready") {
			return fmt.Errorf("it says %q", p.out.String())
		}
		return nil
	})
	e := startExporter(t, dir, fmt.Sprintf(`mode: enforce
sample_interval: 1s
evaluation_interval: 1s
targets:
  - name: worker
    processes: {match: {cmdline: '%s'}, children: true}
    memory: {limit: 8GiB}
    heap: {provider: python_agent, limit: 145MiB}
    evidence: {max_pause: 10s, headroom: 90%%}
    playbooks: {relieve_heap: [capture_evidence, {do: collect_garbage, verify: {after: 3}}]}
`, regexp.QuoteMeta(script)))
	eventually(t, time.Minute, "it is captured", func() error {
		out, err := exec.Command(binary(t), "evidence", "worker", "--capture", "--config.file="+filepath.Join(dir, "spillway.yml")).CombinedOutput()
		if n, scrapeErr := e.captures("worker"); n < 1 || scrapeErr != nil {
			return fmt.Errorf("%s: %w", out, errors.Join(err, scrapeErr, errors.New("no capture")))
		}
		return nil
	})
	writeFile(t, filepath.Join(dir, "fill"), "")
	ended := make(map[string]record)
	eventually(t, 2*time.Minute, "the worker is relieved", func() error {
		records, err := e.journal()
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Playbook == "relieve_heap" && r.Outcome != "" {
				ended[r.Action] = r
			}
		}
		if ended["collect_garbage"].Outcome == "" || ended["capture_evidence"].Outcome == "" {
			return fmt.Errorf("%d records: %+v", len(records), ended)
		}
		return nil
	})
	gc := ended["collect_garbage"]
	if before, after := heapUsed(t, gc.Before), heapUsed(t, gc.After); gc.Outcome != "done" || before < 110 || after > 60 {
		t.Errorf("%+v, want what is held alone", gc)
	}
	m, err := e.scrape()
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := m.sum("spillway_provider_open", "provider=python_agent"); !ok || v != 1 {
		t.Errorf("%v are open, want one", v)
	}
	if n, err := e.captures("worker"); err != nil || n < 2 || ended["capture_evidence"].Outcome != "done" {
		t.Errorf("%v captures, %v, want one of the full worker too: %+v", n, err, ended["capture_evidence"])
	}
	if out := strings.TrimSpace(p.out.String()); out != "ready" {
		t.Errorf("its output has %q", out)
	}
}
