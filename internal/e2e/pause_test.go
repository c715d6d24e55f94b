//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPauseAndBudget: a pause by command holds what would begin by itself and survives kill -9; after resume the remedy
// runs, as often as its budget allows, also over another kill -9; then a person is needed.
func TestPauseAndBudget(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := testDir(t)
	temp := filepath.Join(dir, "tts")
	config := `instance: here
mode: enforce
sample_interval: 1s
scan_interval: 1s
evaluation_interval: 1s
targets:
  - name: svc
    temp_dirs: [{name: tts, dir: ` + temp + `, include: ['*.wav'], max_age: 30d, max_files: 3, min_age: 1s, age_by: mtime}]
    playbooks: {clean_temp: [{do: clean_temp, cooldown: 1s}]}
    guards: {clean_temp: {budget: {at_most: 1, per: 24h}}}
`
	file := filepath.Join(dir, "spillway.yml")
	command := func(args ...string) string {
		t.Helper()
		p := start(t, nil, append(append([]string{binary(t)}, args...), "--config.file="+file)...)
		select {
		case <-p.done:
		case <-time.After(30 * time.Second):
			t.Fatalf("%q does not end", args)
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Fatalf("%q: exit code %d: %s", args, code, p.out)
		}
		return p.out.String()
	}
	metrics := func(e *exporter, wants ...string) {
		t.Helper()
		eventually(t, 90*time.Second, strings.Join(wants, ", "), func() error {
			text, err := get(e.url + "/metrics")
			for _, want := range wants {
				if err == nil && !strings.Contains(text, want) {
					err = fmt.Errorf("no %s", want)
				}
			}
			return err
		})
	}
	again := func(e *exporter) *exporter {
		t.Helper()
		e.cmd.Process.Signal(syscall.SIGKILL)
		<-e.done
		return startExporter(t, dir, config)
	}
	writeFiles(t, temp, "a%d.wav", 1, 10, time.Hour)
	e := startExporter(t, dir, config)
	if out := command("pause", "--target=svc", "--reason=test"); !strings.Contains(out, "paused: target svc until someone resumes: test") {
		t.Errorf("it says %s", out)
	}
	writeFiles(t, temp, "b%d.wav", 8, 10, time.Hour)
	held := `spillway_action_skips_total{action="clean_temp",reason="paused",target="svc"}`
	metrics(e, `spillway_paused{target="svc"} 1`, held)
	e = again(e)
	metrics(e, `spillway_paused{target="svc"} 1`, held)
	if n := countFiles(t, temp); n != 9 {
		t.Errorf("%d files are left of 9 although everything is paused", n)
	}
	command("resume")
	metrics(e, `spillway_paused{target="svc"} 0`, `spillway_budget_remaining{playbook="clean_temp",target="svc"} 0`)
	eventually(t, 30*time.Second, "the files go", func() error {
		if n := countFiles(t, temp); n > 3 {
			return fmt.Errorf("%d are left", n)
		}
		return nil
	})
	e = again(e)
	writeFiles(t, temp, "c%d.wav", 8, 10, time.Hour)
	metrics(e, `spillway_playbook_runs_total{outcome="needs_human",playbook="clean_temp",target="svc",trigger="standalone"} 1`)
	if n := countFiles(t, temp); n < 8 {
		t.Errorf("%d files are left: it acted more often than its budget allows", n)
	}
	records, err := get(e.url + "/api/v1/journal")
	for _, want := range []string{`"action":"pause"`, `"action":"resume"`, `"outcome":"needs_human"`, "requested by the command pause (uid "} {
		if err != nil || !strings.Contains(records, want) {
			t.Errorf("the journal has no %s: %v: %s", want, err, records)
		}
	}
}
