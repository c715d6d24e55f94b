//go:build vm

package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	token     = "0123456789abcdef0123456789abcdef"
	tokenFile = "/etc/spillway/token"
	rulesFile = "/etc/polkit-1/rules.d/50-spillway.rules"
)

// enforced is a configuration in mode enforce, whose callers need the token.
func enforced(t *testing.T, config string) string {
	t.Helper()
	write(t, tokenFile, token+"\n")
	sh(t, "chown root:spillway "+tokenFile+"; chmod 0640 "+tokenFile)
	return "mode: enforce\nwebhook: {token_file: " + tokenFile + "}\n" + config
}

// record is what the tests look at of a record of the journal.
type record struct {
	RunID   string         `json:"run_id"`
	Step    int            `json:"step"`
	Outcome string         `json:"outcome"`
	Error   string         `json:"error"`
	Output  string         `json:"output"`
	Detail  string         `json:"detail"`
	Before  string         `json:"before"`
	After   string         `json:"after"`
	Skipped map[string]int `json:"skipped"`
}

// play runs a playbook and returns the record of its first step when it ended.
func play(t *testing.T, target, playbook string) record {
	t.Helper()
	return ended(t, begin(t, target, playbook))
}

// begin requests a run of a playbook and returns its id.
func begin(t *testing.T, target, playbook string) (runID string) {
	t.Helper()
	answer, err := post("/api/v1/run", fmt.Sprintf(`{"target": %q, "playbook": %q}`, target, playbook), token)
	if err != nil {
		t.Fatal(err)
	}
	var run struct {
		RunID string `json:"run_id"`
	}
	if err := json.Unmarshal([]byte(answer), &run); err != nil || run.RunID == "" {
		t.Fatalf("%v: %s", err, answer)
	}
	return run.RunID
}

// ended waits for the end of a run and returns the record of its first step.
func ended(t *testing.T, runID string) record {
	t.Helper()
	var step record
	within(t, 2*time.Minute, func() error {
		text, err := get("/api/v1/journal?run_id=" + runID)
		if err != nil {
			return err
		}
		var page struct {
			Records []record `json:"records"`
		}
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			return err
		}
		ended := false
		for _, r := range page.Records {
			if r.Step == 0 {
				ended = r.Outcome != ""
			}
			if r.Step == 1 {
				step = r
			}
		}
		if !ended || step.Outcome == "" {
			return fmt.Errorf("the run has not ended: %s", text)
		}
		return nil
	})
	return step
}

// block returns the paragraph of the shipped drop-in that holds a word, with the folder writable.
func block(t *testing.T, word string) string {
	t.Helper()
	for _, b := range blocks(t) {
		if strings.Contains(b, word) {
			return b + "ReadWritePaths=-/srv/shop\n"
		}
	}
	t.Fatalf("no paragraph holds %s", word)
	return ""
}

func wantRemoved(t *testing.T, step record, removed bool) {
	t.Helper()
	left, err := os.ReadDir("/srv/shop/tts")
	if err != nil {
		t.Fatal(err)
	}
	if (len(left) == 0) != removed {
		t.Errorf("%d files are left, removed should be %v: %+v", len(left), removed, step)
	}
}

func TestEnforceNeedsTheDropIn(t *testing.T) {
	what(t, "`enforce` without a drop-in removes nothing and names the reason")
	makeShop(t)
	serve(t, enforced(t, shop))
	step := play(t, "shop", "clean_temp")
	wantRemoved(t, step, false)
	if step.Skipped["error_EROFS"] != 3 {
		t.Errorf("want error_EROFS 3: %+v", step)
	}
}

func TestEnforceByGroup(t *testing.T) {
	what(t, "`enforce` on a folder of another user by its group")
	makeShop(t)
	sh(t, "chmod 2770 /srv/shop/tts; chmod 640 /srv/shop/tts/*")
	serve(t, enforced(t, shop), block(t, "SupplementaryGroups"))
	step := play(t, "shop", "clean_temp")
	wantRemoved(t, step, true)
	expect(t, `spillway_temp_files{dir="tts",target="shop"}`, 0)
}

func TestEnforceByCapability(t *testing.T) {
	what(t, "`enforce` on a closed folder of another user, with the sticky bit, by capability")
	makeShop(t)
	sh(t, "chmod 1700 /srv/shop/tts; chmod 600 /srv/shop/tts/*")
	serve(t, enforced(t, shop), "[Service]\nReadWritePaths=-/srv/shop\n")
	if step := play(t, "shop", "clean_temp"); step.Skipped["error_EACCES"] != 3 {
		t.Errorf("without the capability want error_EACCES 3: %+v", step)
	}
	serve(t, enforced(t, shop), block(t, "CAP_DAC_OVERRIDE"))
	step := play(t, "shop", "clean_temp")
	wantRemoved(t, step, true)
}

// The documented step that restarts a service, by the service's own user.
func TestEnforceRestart(t *testing.T) {
	what(t, "`systemctl restart` as a step: by the polkit rule, for the unit in it and no other")
	for _, name := range []string{"orchestrator", "other"} {
		write(t, "/etc/systemd/system/"+name+".service", "[Service]\nUser=app\nExecStart=/usr/bin/sleep infinity\n")
	}
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "restart", "orchestrator.service", "other.service")
	serve(t, enforced(t, `
targets:
  - name: shop
    processes: {match: {systemd_unit: orchestrator.service}}
    playbooks:
      restart: [{do: command, argv: [/usr/bin/systemctl, restart, orchestrator.service], timeout: 90s}]
      restart_other: [{do: command, argv: [/usr/bin/systemctl, restart, other.service], timeout: 90s}]
      stop: [{do: command, argv: [/usr/bin/systemctl, stop, orchestrator.service], timeout: 90s}]
`))
	before := property(t, "orchestrator.service", "MainPID")
	if step := play(t, "shop", "restart"); step.Outcome != "failed" {
		t.Errorf("without the rule want failed: %+v", step)
	}
	write(t, rulesFile, read(t, "/usr/share/doc/spillway-exporter/50-spillway.rules"))
	run(t, "systemctl", "restart", "polkit.service")
	if step := play(t, "shop", "restart"); step.Outcome != "done" {
		t.Errorf("with the rule want done: %+v", step)
	}
	if after := property(t, "orchestrator.service", "MainPID"); after == before || after == "0" {
		t.Errorf("process %s became %s", before, after)
	}
	for _, playbook := range []string{"restart_other", "stop"} {
		if step := play(t, "shop", playbook); step.Outcome != "failed" {
			t.Errorf("%s: want failed: %+v", playbook, step)
		}
	}
}

// The command asks the exporter that runs: what its sandbox may, the person at the prompt gets.
func TestEnforceCleanupCommand(t *testing.T) {
	what(t, "`cleanup --enforce` alongside the running unit: by root and by the service's user, not by another one")
	makeShop(t)
	sh(t, "chmod 2770 /srv/shop/tts; chmod 640 /srv/shop/tts/*")
	serve(t, shop, block(t, "SupplementaryGroups"))
	const command = "spillway_exporter cleanup --enforce --config.file=/etc/spillway/spillway.yml 2>&1"
	if out := sh(t, "runuser -u app -- "+command+" || true"); strings.Contains(out, "holds the journal") {
		t.Errorf("another user is heard: %s", out)
	}
	wantRemoved(t, record{}, false)
	if out := sh(t, "runuser -u spillway -- "+command); !strings.Contains(out, "holds the journal and does the clean-up") || !strings.Contains(out, "done") {
		t.Errorf("by the service's user: %s", out)
	}
	wantRemoved(t, record{}, true)
	if out := sh(t, command); !strings.Contains(out, "holds the journal and does the clean-up") {
		t.Errorf("by root: %s", out)
	}
	text, err := get("/api/v1/journal")
	for _, who := range []string{"0", strings.TrimSpace(run(t, "id", "-u", "spillway"))} {
		if err != nil || !strings.Contains(text, "requested by the command cleanup (uid "+who+", pid ") {
			t.Errorf("the journal does not say that uid %s has asked: %v: %s", who, err, text)
		}
	}
}

// leakyTmp is a service that leaves files in its /tmp, and holds one of them open.
const leakyTmp = `[Service]
User=app
PrivateTmp=yes
ExecStart=/bin/bash -ec 'cd /tmp; mkdir sub; touch -d "2 days ago" a.tmp b.tmp held.tmp sub/c.tmp; touch young.tmp; exec 7<held.tmp; exec sleep infinity'
`

const leakyTarget = `
targets:
  - name: leaky
    processes: {match: {systemd_unit: leaky.service}}
    temp_dirs: [{name: tmp, dir: /tmp, target_root: true, include: ['*.tmp'], age_by: mtime, max_age: 1h}]
`

func TestEnforcePrivateTmp(t *testing.T) {
	what(t, "`enforce` on the `/tmp` of a service with `PrivateTmp=`, by capability; the host's `/tmp` stays")
	write(t, "/etc/systemd/system/leaky.service", leakyTmp)
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "restart", "leaky.service")
	t.Cleanup(func() { _, _ = try("systemctl", "stop", "leaky.service") })
	old(t, "/tmp/a.tmp")
	tmp := ""
	within(t, time.Minute, func() error {
		tmp = "/proc/" + property(t, "leaky.service", "MainPID") + "/root/tmp"
		if !exists(tmp + "/young.tmp") {
			return fmt.Errorf("nothing in %s", tmp)
		}
		return nil
	})
	count := func() int {
		n := 0
		for _, dir := range []string{tmp, tmp + "/sub"} {
			list, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			n += len(list)
		}
		return n - 1 // without sub
	}

	serve(t, enforced(t, leakyTarget))
	expect(t, `spillway_temp_files{dir="tmp",target="leaky"}`, 5)
	if step := play(t, "leaky", "clean_temp"); count() != 5 || step.Skipped["error_EPERM"] != 2 || step.Skipped["error_EACCES"] != 1 {
		t.Errorf("without the capabilities want error_EPERM 2 and error_EACCES 1: %+v, %d files are left", step, count())
	}

	serve(t, enforced(t, leakyTarget), block(t, "CAP_DAC_OVERRIDE"))
	expect(t, `spillway_temp_expired_files{dir="tmp",target="leaky"}`, 4)
	step := play(t, "leaky", "clean_temp")
	if step.Outcome != "done" || step.Skipped["in_use"] != 1 || count() != 2 || !exists(tmp+"/held.tmp") || !exists(tmp+"/young.tmp") {
		t.Errorf("%+v, %d files are left, want the open one and the young one", step, count())
	}
	if !exists("/tmp/a.tmp") {
		t.Error("the host's own file is gone")
	}
	expect(t, `spillway_temp_files{dir="tmp",target="leaky"}`, 2)

	before := property(t, "leaky.service", "MainPID")
	run(t, "systemctl", "restart", "leaky.service") // its next /tmp is another folder
	tmp = "/proc/" + property(t, "leaky.service", "MainPID") + "/root/tmp"
	within(t, 6*time.Minute, func() error { // one slow look makes the next one wait, so that all keep within their budget
		if n, err := metric(`spillway_temp_files{dir="tmp",target="leaky"}`); err != nil || n < 5 {
			return fmt.Errorf("%v files are seen, want 5: %w", n, err)
		}
		return nil
	})
	if step := play(t, "leaky", "clean_temp"); step.Outcome != "done" || count() != 2 {
		t.Errorf("after a restart from %s: %+v, %d files are left", before, step, count())
	}

	run(t, "systemctl", "stop", "leaky.service")
	within(t, 30*time.Second, func() error {
		if n, err := metric(`spillway_temp_files{dir="tmp",target="leaky"}`); err == nil {
			return fmt.Errorf("%v files of a service that is stopped", n)
		}
		return nil
	})
}
