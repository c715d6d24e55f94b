//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// TestEvidence: a person has a service captured that leaks. The command, the API, the page, the journal and the metrics say what
// grew, and a service with evidence: off is asked for nothing.
func TestEvidence(t *testing.T) {
	dir := testDir(t)
	script, err := filepath.Abs("../../deploy/node-agent/spillway-agent.cjs")
	if err != nil {
		t.Fatal(err)
	}
	s := startLeaky(t, filepath.Join(dir, "service"), []string{"--leak=1", "--garbage=0", "--stop-heap=0.5"}, "--require="+script)
	target := func(name, more string) string {
		return fmt.Sprintf(`
  - name: %s
    processes: {match: {comm: node, cmdline: '%s'}}
    memory: {limit: 8GiB}
    heap: {provider: node_agent}%s
`, name, regexp.QuoteMeta(s.Dir), more)
	}
	e := startExporter(t, dir, "mode: enforce\nsample_interval: 1s\ntargets:"+target("leak", "\n    evidence: {max_pause: 10s}")+target("none", "\n    evidence: off"))
	command := func(args ...string) (string, error) {
		cmd := exec.Command(binary(t), append([]string{"evidence", "--config.file=" + filepath.Join(dir, "spillway.yml")}, args...)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			return errs.String(), err
		}
		return errs.String() + out.String(), nil
	}
	if text, err := command("leak"); err == nil || !strings.Contains(text, "nothing was captured of leak yet") {
		t.Errorf("before a capture: %s, %v", text, err)
	}
	if text, err := command("none", "--capture"); err == nil || !strings.Contains(text, "capture_evidence") {
		t.Errorf("evidence: off: %s, %v", text, err)
	}
	eventually(t, time.Minute, "it leaks", func() error {
		m, err := e.scrape()
		if used, _ := m.sum("spillway_heap_used_bytes", "target=leak"); used < 80<<20 {
			return fmt.Errorf("%.0f bytes are used, %w", used, errors.Join(err, errors.New("want 80 MiB")))
		}
		return nil
	})
	eventually(t, time.Minute, "it is captured", func() error {
		if text, err := command("leak", "--capture"); err != nil || !strings.Contains(text, "server.js") {
			return fmt.Errorf("%s: %w", text, errors.Join(err, errors.New("no place of server.js")))
		}
		return nil
	})
	if text, err := command("leak", "--capture"); err != nil || !strings.Contains(text, "again in") {
		t.Errorf("at once, which could end a service whose heap is full: %s, %v", text, err)
	}
	if n, err := e.captures("leak"); n != 1 || err != nil {
		t.Errorf("%v captures, %v, want one", n, err)
	}
	var answer struct {
		Grew struct {
			Rows []struct {
				Name, File string
				Bytes      int64
			}
		}
	}
	if err := getJSON(e.url+"/api/v1/evidence?target=leak", &answer); err != nil || len(answer.Grew.Rows) == 0 || !strings.HasSuffix(answer.Grew.Rows[0].File, "server.js") {
		t.Errorf("%+v, %v", answer, err)
	}
	raw, err := command("leak", "--output=pprof")
	if err != nil {
		t.Error(raw, err)
	} else if p, err := profile.Parse(strings.NewReader(raw)); err != nil || len(p.Sample) == 0 {
		t.Errorf("pprof: %v", err)
	}
	if text, err := command("leak", "--output=json"); err != nil || !json.Valid([]byte(text)) {
		t.Errorf("json: %.100s, %v", text, err)
	}
	if page, err := get(e.url + "/target/leak"); err != nil || !strings.Contains(page, "What grew") {
		t.Errorf("the page does not show it: %v", err)
	}
	records, err := e.journal()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range records {
		found = found || r.Action == "capture_evidence" && r.Outcome == "done" && strings.Contains(r.Detail, "server.js")
	}
	if !found {
		t.Errorf("no record says what grew: %+v", records)
	}
}

// captures returns how many profiles of a target were captured.
func (e *exporter) captures(target string) (float64, error) {
	m, err := e.scrape()
	if err != nil {
		return 0, err
	}
	n, _ := m.sum("spillway_evidence_captures_total", "target="+target, "outcome=captured")
	return n, nil
}
