//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// proposed is what these tests read of a proposal.
type proposed struct {
	ID     string `json:"id"`
	Target string `json:"target"`
}

// proposals returns those that wait, by target.
func (e *exporter) proposals() (map[string]string, error) {
	var answer struct {
		Proposals []proposed `json:"proposals"`
	}
	err := getJSON(e.url+"/api/v1/proposals", &answer)
	out := make(map[string]string)
	for _, p := range answer.Proposals {
		out[p.Target] = p.ID
	}
	return out, err
}

// proposeBench is an exporter with so many targets that each have a proposal to write their name into a file.
type proposeBench struct {
	*exporter
	t       *testing.T
	config  string
	effects string
	ids     map[string]string // by target
}

func newProposeBench(t *testing.T, n int) *proposeBench {
	dir := testDir(t)
	b := &proposeBench{t: t, effects: filepath.Join(dir, "effects")}
	writeFile(t, b.effects, "")
	b.config = "mode: propose\ntrust_loopback: true\nstandalone: false\nreflex: false\nsample_interval: 5s\ntargets:\n"
	alerts := make([]string, n)
	for i := range n {
		target := fmt.Sprintf("t%d", i)
		if err := os.Mkdir(filepath.Join(dir, target), 0o755); err != nil {
			t.Fatal(err)
		}
		b.config += fmt.Sprintf("  - {name: %s, temp_dirs: [{name: tmp, dir: %s, include: ['*.tmp'], max_age: 1h}], playbooks: {act: [{do: command, argv: [%s, -c, 'echo $SPILLWAY_TARGET >> %s']}]}}\n",
			target, filepath.Join(dir, target), need(t, "sh"), b.effects)
		alerts[i] = fmt.Sprintf(`{"status":"firing","labels":{"alertname":"Act","target":%q,"playbook":"act","level":"critical"},"startsAt":"2026-01-01T00:00:00Z","fingerprint":"%016x"}`, target, i+1)
	}
	b.exporter = startExporter(t, dir, b.config)
	if status, answer := post(t, b.url+"/api/v1/webhook", "application/json", "", `{"version":"4","status":"firing","alerts":[`+strings.Join(alerts, ",")+`]}`); status != http.StatusOK {
		t.Fatalf("webhook: %d %s", status, answer)
	}
	eventually(t, time.Minute, "all are proposed", func() (err error) {
		if b.ids, err = b.proposals(); err == nil && len(b.ids) != n {
			err = fmt.Errorf("%d of %d wait", len(b.ids), n)
		}
		return err
	})
	return b
}

// again kills the exporter and starts the next one.
func (b *proposeBench) again() {
	b.t.Helper()
	b.cmd.Process.Signal(syscall.SIGKILL)
	<-b.done
	b.exporter = startExporter(b.t, b.dir, b.config)
}

// done returns how often the command of each target has run.
func (b *proposeBench) ran() map[string]int {
	b.t.Helper()
	raw, err := os.ReadFile(b.effects)
	if err != nil {
		b.t.Fatal(err)
	}
	out := make(map[string]int)
	for line := range strings.Lines(string(raw)) {
		out[strings.TrimSpace(line)]++
	}
	return out
}

// approve sends an approval, and returns the status of the answer; 0 for none.
func (b *proposeBench) approve(id string) int {
	resp, err := client.Post(b.url+"/api/v1/proposals/"+id+"/approve", "application/json", strings.NewReader(`{"by":"the test"}`))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// ends returns how the proposals have ended, by id.
func (b *proposeBench) ends() map[string]string {
	b.t.Helper()
	all, err := b.journal()
	if err != nil {
		b.t.Fatal(err)
	}
	out := make(map[string]string)
	for _, r := range all {
		if r.Action == "approve" || r.Action == "void" {
			out[r.RunID] = r.Outcome + " " + r.Detail
		}
	}
	return out
}

// settled waits until no run is open: what an approval began has ended, or was cut off.
func (b *proposeBench) settled() {
	b.t.Helper()
	eventually(b.t, time.Minute, "no run is open", func() error {
		var page struct {
			Records []record `json:"records"`
		}
		err := getJSON(b.url+"/api/v1/journal?outcome=open&limit=10", &page)
		if err == nil && len(page.Records) > 0 {
			err = fmt.Errorf("%+v", page.Records)
		}
		return err
	})
}

// TestProposalSurvivesKill: an exporter is killed while proposals wait. They wait on under their ids, and nothing has run; one
// whose configuration has changed meanwhile is void, with its reason, and cannot be approved.
func TestProposalSurvivesKill(t *testing.T) {
	b := newProposeBench(t, 3)
	before := b.ids
	for range 3 {
		b.again()
		now, err := b.proposals()
		if err != nil || fmt.Sprint(now) != fmt.Sprint(before) {
			t.Fatalf("%v wait, %v, want %v", now, err, before)
		}
	}
	if ran := b.ran(); len(ran) != 0 {
		t.Fatalf("%v ran without an approval", ran)
	}
	b.config = strings.Replace(b.config, "- {name: t1,", "- {name: t1, mode: dry_run,", 1)
	b.again()
	eventually(t, 30*time.Second, "one is void", func() error {
		if end := b.ends()[before["t1"]]; !strings.HasPrefix(end, "voided the configuration has changed") {
			return fmt.Errorf("%q", end)
		}
		return nil
	})
	if status := b.approve(before["t1"]); status == http.StatusOK || status == 0 {
		t.Errorf("a void proposal was approved: %d", status)
	}
	if status := b.approve(before["t0"]); status != http.StatusOK {
		t.Errorf("approval: %d", status)
	}
	eventually(t, 30*time.Second, "it runs", func() error {
		if ran := b.ran(); ran["t0"] != 1 || len(ran) != 1 {
			return fmt.Errorf("%v", ran)
		}
		return nil
	})
}

// TestApprovalKilled kills the exporter at any moment of an approval, and right after its answer. A proposal that still waits
// has not run, one that has ended was approved, and none runs twice, however often it is approved again.
func TestApprovalKilled(t *testing.T) {
	const n = 30
	b := newProposeBench(t, n)
	lost, waited, did := 0, 0, 0
	var usual time.Duration // what the last answer took
	for i := range n {
		target := fmt.Sprintf("t%d", i)
		id := b.ids[target]
		answered := make(chan int, 1)
		go func(b proposeBench) { answered <- b.approve(id) }(*b)
		switch i % 5 {
		case 0: // right after the answer
			start := time.Now()
			answered <- <-answered
			usual = time.Since(start)
		case 1: // once it has run
			answered <- <-answered
			eventually(t, 30*time.Second, target+" has run", func() error {
				if b.ran()[target] != 1 {
					return errors.New("not yet")
				}
				return nil
			})
		case 2: // before it arrives, more often than not
		default:
			<-time.After(rand.N(2 * usual))
		}
		b.again()
		status := <-answered
		b.settled()
		left, err := b.proposals()
		if err != nil {
			t.Fatal(err)
		}
		ran, end := b.ran()[target], b.ends()[id]
		_, waits := left[target]
		switch {
		case waits && (ran != 0 || end != "" && !strings.HasPrefix(end, "interrupted") || status == http.StatusOK):
			t.Errorf("%s waits, ran %d times, ended %q, was answered %d", target, ran, end, status)
		case !waits && !strings.HasPrefix(end, "approved"), ran > 1:
			t.Errorf("%s does not wait, ran %d times, ended %q", target, ran, end)
		}
		switch {
		case waits:
			waited++
		case ran == 0:
			lost++
		default:
			did++
		}
		b.approve(id)
		b.approve(id)
	}
	b.settled()
	for target, times := range b.ran() {
		if times != 1 {
			t.Errorf("%s ran %d times", target, times)
		}
	}
	t.Logf("of %d approvals that were cut off %d proposals waited on, %d were lost, %d ran", n, waited, lost, did)
	if waited == 0 || did == 0 {
		t.Errorf("the kills came too early or too late to test anything")
	}
}
