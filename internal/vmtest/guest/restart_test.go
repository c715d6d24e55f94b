//go:build vm

package guest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

const leaky = "leaky.service"

// leakyUnit makes services that hold little memory from their start on, and a minute later much.
func leakyUnit(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		write(t, "/etc/systemd/system/"+name, "[Service]\nUser=app\nExecStart=/usr/bin/python3 -c 'import time; held = bytearray(8 << 20); time.sleep(60); held += bytearray(48 << 20); time.sleep(100000)'\n")
	}
	run(t, "systemctl", "daemon-reload")
	for _, name := range names {
		run(t, "systemctl", "restart", name)
	}
}

// restartConfig watches the unit and restarts what steps says.
func restartConfig(t *testing.T, steps string) string {
	t.Helper()
	return enforced(t, `
targets:
  - name: leaky
    processes: {match: {systemd_unit: leaky.service}}
    memory: {limit: 64MiB}
    playbooks:
`+steps)
}

// allowRestart writes the rule that the shipped binary prints for a unit.
func allowRestart(t *testing.T, name string) {
	t.Helper()
	write(t, rulesFile, run(t, "spillway_exporter", "export", "--polkit="+name)+"\n")
	run(t, "systemctl", "restart", "polkit.service")
}

// atEmergency waits until the unit has asked for its memory.
func atEmergency(t *testing.T) {
	t.Helper()
	atLeast(t, `spillway_memory_level{target="leaky"}`, 2)
}

func TestRestartUnit(t *testing.T) {
	what(t, "`restart` via systemd by the sandboxed service user: refused without the rule, done with it, refused for another unit and for `stop`")
	leakyUnit(t, leaky, "other.service")
	config := restartConfig(t, `
      mine: [{do: restart, when: [critical, emergency]}]
      other: [{do: restart, unit: other.service, when: [critical, emergency]}]
      stop: [{do: command, argv: [/usr/bin/systemctl, stop, leaky.service], timeout: 90s}]
`)
	serve(t, config)
	atEmergency(t)
	before, other := property(t, leaky, "InvocationID"), property(t, "other.service", "InvocationID")
	if step := play(t, "leaky", "mine"); step.Outcome != "failed" || !strings.Contains(step.Error, "refuses this user") {
		t.Errorf("without the rule want failed: %+v", step)
	}
	if now := property(t, leaky, "InvocationID"); now != before {
		t.Error("it was restarted without the rule")
	}
	allowRestart(t, leaky)
	for _, playbook := range []string{"other", "stop"} {
		if step := play(t, "leaky", playbook); step.Outcome != "failed" {
			t.Errorf("%s: want failed: %+v", playbook, step)
		}
	}
	step := play(t, "leaky", "mine")
	if step.Outcome != "done" || !strings.Contains(step.Detail, "away for") {
		t.Errorf("with the rule want done: %+v", step)
	}
	if now := property(t, leaky, "InvocationID"); now == before || property(t, leaky, "ActiveState") != "active" {
		t.Errorf("start %s became %s", before, now)
	}
	if now := property(t, "other.service", "InvocationID"); now != other {
		t.Error("another unit was restarted")
	}
}

func TestRestartBudget(t *testing.T) {
	what(t, "`restart` is stopped by its budget and asks for a person; the budget outlives the exporter")
	leakyUnit(t, leaky)
	allowRestart(t, leaky)
	config := restartConfig(t, `
      mine: [{do: restart, when: [critical, emergency], budget: {at_most: 1, per: 1h}}]
`)
	serve(t, config)
	atEmergency(t)
	if step := play(t, "leaky", "mine"); step.Outcome != "done" {
		t.Fatalf("want done: %+v", step)
	}
	serve(t, config)
	atEmergency(t)
	if step := play(t, "leaky", "mine"); step.Outcome != "failed" || !strings.Contains(step.Error, "needs_human") {
		t.Errorf("want needs_human: %+v", step)
	}
	expect(t, `spillway_restart_needs_human{reason="restart_budget",target="leaky"}`, 1)
}

func TestRestartFailedUnit(t *testing.T) {
	what(t, "`restart` of a unit that systemd has given up is refused")
	leakyUnit(t, leaky)
	allowRestart(t, leaky)
	serve(t, restartConfig(t, `
      mine: [{do: restart, when: [critical, emergency]}]
`))
	atEmergency(t)
	run(t, "systemctl", "kill", "-s", "ABRT", leaky)
	within(t, 30*time.Second, func() error {
		if state := property(t, leaky, "ActiveState"); state != "failed" {
			return fmt.Errorf("it is %s", state)
		}
		return nil
	})
	if out, err := try("spillway_exporter", "check", "--connect", "--config.file="+configFile); err != nil || !strings.Contains(out, "leaky.service is failed") {
		t.Errorf("check --connect: %v\n%s", err, out)
	}
}

func TestRestartPodman(t *testing.T) {
	what(t, "`restart` of a container of Podman through its socket, named by how the target is matched")
	engines(t)
	run(t, "systemctl", "start", "podman.socket")
	within(t, 4*time.Minute, func() error { // what it holds later is no reading right after its start
		age, err := strconv.Atoi(run(t, "ps", "-o", "etimes=", "-p", strconv.Itoa(holding(t, 20))))
		if err == nil && age < 125 {
			err = fmt.Errorf("it is %d s old", age)
		}
		return err
	})
	sh(t, "setfacl -m u:spillway:rw /run/podman/podman.sock 2>/dev/null || chmod 0666 /run/podman/podman.sock; chmod a+x /run/podman")
	serve(t, enforced(t, `
targets:
  - name: web
    processes: {match: {container: web}}
    memory: {limit: 21MiB}
    playbooks:
      mine: [{do: restart, via: podman, socket: /run/podman/podman.sock, when: [critical, emergency]}]
`), "[Service]\nBindPaths=-/run/podman\n")
	atLeast(t, `spillway_memory_level{target="web"}`, 2)
	started := func() string {
		return run(t, "podman", "inspect", "-f", "{{.State.StartedAt}}", "web")
	}
	before, api := started(), run(t, "podman", "inspect", "-f", "{{.State.StartedAt}}", "api")
	if step := play(t, "web", "mine"); step.Outcome != "done" {
		t.Fatalf("want done: %+v", step)
	}
	if started() == before || run(t, "podman", "inspect", "-f", "{{.State.StartedAt}}", "api") != api {
		t.Error("want this container restarted, and no other")
	}
}
