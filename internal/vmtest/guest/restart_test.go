//go:build vm

package guest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	leaky    = "leaky.service"
	leakyDir = "/srv/leaky"
)

// leakyProgram is a service that holds little memory at its start and leaks from some seconds later. It answers on
// its port: /health, 503 while the file unwell is there; /drain and /undo, noted in the file events; /idle, 503 while the
// file busy is there. While the file slow is there, it drains slowly.
const leakyProgram = `import http.server, os, sys, threading, time
os.chdir(sys.argv[2])
held = []
def leak():
    time.sleep(15)
    for _ in range(24):
        held.append(bytearray(b'x') * (2 << 20))
        time.sleep(.25)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open('events', 'a') as f: f.write(self.path[1:] + '\n')
        while self.path == '/drain' and os.path.exists('slow'): time.sleep(.1)
        self.send_response(204); self.end_headers()
    def do_GET(self):
        flag = {'/health': 'unwell', '/idle': 'busy'}[self.path]
        if self.path == '/idle':
            with open('events', 'a') as f: f.write('idle\n')
        self.send_response(503 if os.path.exists(flag) else 200); self.send_header('Content-Length', '0'); self.end_headers()
    def log_message(self, *args): pass
threading.Thread(target=leak, daemon=True).start()
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
`

// startLeaky starts the service, and another that only sleeps.
func startLeaky(t *testing.T) {
	t.Helper()
	sh(t, "rm -rf "+leakyDir+"; mkdir -p "+leakyDir+"; chown app:app "+leakyDir)
	write(t, "/srv/leaky.py", leakyProgram)
	write(t, "/etc/systemd/system/"+leaky, "[Service]\nUser=app\nExecStart=/usr/bin/python3 /srv/leaky.py 7070 "+leakyDir+"\nExecStop=-/bin/sh -c 'while [ -e "+leakyDir+"/stay ]; do sleep 0.2; done'\n")
	write(t, "/etc/systemd/system/other.service", "[Service]\nUser=app\nExecStart=/usr/bin/sleep infinity\n")
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "restart", leaky, "other.service")
	t.Cleanup(func() {
		sh(t, "rm -f "+leakyDir+"/stay")
		_, _ = try("systemctl", "stop", leaky, "other.service")
	})
}

// events are the requests that the service has had, without the repeats of idle.
func events(t *testing.T) string {
	t.Helper()
	if !exists(leakyDir + "/events") {
		return ""
	}
	return strings.Join(strings.Fields(sh(t, "uniq "+leakyDir+"/events")), " ")
}

// flag makes or removes a file that the service looks for.
func flag(t *testing.T, name string, on bool) {
	t.Helper()
	if on {
		write(t, leakyDir+"/"+name, "")
	} else {
		sh(t, "rm -f "+leakyDir+"/"+name)
	}
}

// restartConfig watches the unit; steps are those of the playbooks.
func restartConfig(t *testing.T, steps string) string {
	t.Helper()
	return enforced(t, `
windows:
  always: [{weekdays: ['sunday:saturday']}]
targets:
  - name: leaky
    processes: {match: {systemd_unit: leaky.service}}
    memory: {limit: 64MiB}
    probe: {url: http://127.0.0.1:7070/health}
    playbooks:
`+steps)
}

// drained are the keys of a step that drains the service.
const drained = `drain: {post: 'http://127.0.0.1:7070/drain', idle: 'http://127.0.0.1:7070/idle', undo: 'http://127.0.0.1:7070/undo', deadline: 60s}, ready: 90s, timeout: 4m`

// anew serves a configuration without a past.
func anew(t *testing.T, config string) {
	t.Helper()
	_, _ = try("systemctl", "stop", unit)
	sh(t, "rm -rf /var/lib/spillway/*")
	serve(t, config)
}

// allowRestart writes the rule that the shipped binary prints for a unit; "" removes it.
func allowRestart(t *testing.T, name string) {
	t.Helper()
	if name == "" {
		sh(t, "rm -f "+rulesFile)
	} else {
		write(t, rulesFile, run(t, "spillway_exporter", "export", "--polkit="+name)+"\n")
	}
	run(t, "systemctl", "restart", "polkit.service")
}

// atEmergency waits until the present start of the unit has leaked: the level before may be that of the last one.
func atEmergency(t *testing.T) {
	t.Helper()
	within(t, 2*time.Minute, func() error {
		age, err := strconv.Atoi(run(t, "ps", "-o", "etimes=", "-p", property(t, leaky, "MainPID")))
		if err == nil && age < 25 {
			err = fmt.Errorf("it is %d s old", age)
		}
		return err
	})
	atLeast(t, `spillway_memory_level{target="leaky"}`, 2)
}

// starts is the number that systemd gives each start of a unit.
func starts(t *testing.T, name string) string {
	t.Helper()
	return property(t, name, "InvocationID")
}

// fire sends the alert that requests a playbook, and returns what became of it.
func fire(t *testing.T, playbook string) (disposition, runID string) {
	t.Helper()
	answer, err := post("/api/v1/webhook", fmt.Sprintf(`{"version": "4", "receiver": "test", "status": "firing", "alerts": [{"status": "firing", "fingerprint": %q, "startsAt": %q,
		"labels": {"alertname": "Leak", "target": "leaky", "playbook": %q, "level": "emergency"}}]}`, playbook, time.Now().UTC().Format(time.RFC3339Nano), playbook), token)
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Disposition string `json:"disposition"`
		RunID       string `json:"run_id"`
	}
	if err := json.Unmarshal([]byte(answer), &got); err != nil || len(got) != 1 {
		t.Fatalf("%v: %s", err, answer)
	}
	return got[0].Disposition, got[0].RunID
}

// wantRefused plays a playbook that must not restart the unit.
func wantRefused(t *testing.T, playbook, text string) {
	t.Helper()
	before := starts(t, leaky)
	if step := play(t, "leaky", playbook); step.Outcome != "failed" || !strings.Contains(step.Error, text) {
		t.Errorf("%s: want failed, %q: %+v", playbook, text, step)
	}
	if starts(t, leaky) != before {
		t.Errorf("%s: it was restarted", playbook)
	}
}

func TestRestartUnit(t *testing.T) {
	what(t, "`restart` of a leaking unit by the sandboxed service user: drained, in its window, recorded; refused without the rule, for another unit, for `stop`, outside the window")
	startLeaky(t)
	allowRestart(t, "")
	anew(t, restartConfig(t, `
      mine: [{do: restart, when: [critical, emergency], `+drained+`, when_open: always}]
      closed: [{do: restart, when: [critical, emergency], when_open: not always}]
      other: [{do: restart, unit: other.service, when: [critical, emergency]}]
      stop: [{do: command, argv: [/usr/bin/systemctl, stop, leaky.service], timeout: 90s}]
`))
	atEmergency(t)
	before, other := starts(t, leaky), starts(t, "other.service")
	wantRefused(t, "mine", "refuses this user: write the rule that spillway_exporter export --polkit leaky.service")
	if got := events(t); got != "drain idle undo" {
		t.Errorf("the service has had %q, want its drain taken back", got)
	}
	line := checkLine(t) + " --connect"
	if out, _ := try("sh", "-c", line); !strings.Contains(out, "leaky.service: the manager refuses this user") {
		t.Errorf("check --connect without the rule:\n%s", out)
	}
	allowRestart(t, leaky)
	if out, _ := try("sh", "-c", line); strings.Contains(out, "leaky.service: the manager refuses") || !strings.Contains(out, "other.service: the manager refuses this user") {
		t.Errorf("check --connect with the rule for one unit:\n%s", out)
	}
	wantRefused(t, "other", "the target's processes are in leaky.service, not in other.service")
	wantRefused(t, "stop", "")
	if d, _ := fire(t, "closed"); d != "window" || starts(t, leaky) != before {
		t.Errorf("outside its window: %s", d)
	}
	d, id := fire(t, "mine")
	if d != "accepted" {
		t.Fatalf("in its window: %s", d)
	}
	step := ended(t, id)
	t.Logf("%+v", step)
	for _, want := range []string{"drained and idle after ", "restarted leaky.service via systemd in ", "ready by its probe, away for "} {
		if !strings.Contains(step.Detail, want) {
			t.Errorf("the record does not say %q", want)
		}
	}
	if step.Outcome != "done" || step.Before == "" || step.After == "" || step.Before == step.After {
		t.Errorf("want done, with the memory before and after: %+v", step)
	}
	if now := starts(t, leaky); now == before || property(t, leaky, "ActiveState") != "active" || starts(t, "other.service") != other {
		t.Errorf("start %s became %s, and the other one %s", before, now, starts(t, "other.service"))
	}
	expect(t, `spillway_action_runs_total{action="restart",outcome="done",target="leaky",trigger="webhook"}`, 1)
}

// That polkit itself refuses another unit and other verbs is tried by the service's user directly, in the same sandbox.
func TestRestartRule(t *testing.T) {
	what(t, "the polkit rule that is shipped lets the sandboxed service user restart the unit that it names, and nothing else")
	startLeaky(t)
	allowRestart(t, leaky)
	as := "systemd-run --quiet --pipe --wait --collect -p User=spillway -p NoNewPrivileges=yes -p ProtectSystem=strict systemctl --no-ask-password "
	for _, refused := range []string{"restart other.service", "stop leaky.service", "start leaky.service", "reload leaky.service", "kill leaky.service"} {
		if out, err := try("sh", "-c", as+refused); err == nil {
			t.Errorf("%s is allowed: %s", refused, out)
		}
	}
	before := starts(t, leaky)
	sh(t, as+"restart leaky.service")
	if starts(t, leaky) == before {
		t.Error("it was not restarted")
	}
}

func TestRestartWillNotHelp(t *testing.T) {
	what(t, "`restart` is refused when the service was as full right after its last start")
	startLeaky(t)
	allowRestart(t, leaky)
	// Full before the first reading that counts, five seconds after its start.
	write(t, "/srv/leaky.py", strings.NewReplacer("time.sleep(15)", "pass", "time.sleep(.25)", "pass").Replace(leakyProgram))
	anew(t, restartConfig(t, `
      mine: [{do: restart, when: [critical, emergency]}]
`))
	run(t, "systemctl", "restart", leaky)
	atEmergency(t)
	wantRefused(t, "mine", "a restart will not help")
	expect(t, `spillway_restart_needs_human{reason="restart_will_not_help",target="leaky"}`, 1)
}

func TestRestartBudget(t *testing.T) {
	what(t, "`restart` is stopped by its budget and asks for a person; the budget outlives the exporter")
	startLeaky(t)
	allowRestart(t, leaky)
	config := restartConfig(t, `
      mine: [{do: restart, when: [critical, emergency], budget: {at_most: 1, per: 1h}}]
`)
	anew(t, config)
	atEmergency(t)
	if step := play(t, "leaky", "mine"); step.Outcome != "done" {
		t.Fatalf("want done: %+v", step)
	}
	serve(t, config)
	atEmergency(t)
	wantRefused(t, "mine", "needs_human")
	expect(t, `spillway_restart_needs_human{reason="restart_budget",target="leaky"}`, 1)
}

func TestRestartFailedUnit(t *testing.T) {
	what(t, "`restart` of a unit that systemd has given up is refused, and `check --connect` says so")
	startLeaky(t)
	allowRestart(t, leaky)
	anew(t, restartConfig(t, `
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
	if out, _ := try("sh", "-c", checkLine(t)+" --connect"); !strings.Contains(out, "leaky.service is failed") {
		t.Errorf("check --connect:\n%s", out)
	}
}

// TestRestartKilled ends the exporter in each phase of a restart.
func TestRestartKilled(t *testing.T) {
	what(t, "`kill -9` of the exporter in each phase of a `restart`: nothing is restarted twice, and the record says what is known")
	startLeaky(t)
	allowRestart(t, leaky)
	config := restartConfig(t, `
      mine: [{do: restart, when: [critical, emergency], budget: {at_most: 20, per: 1h}, `+drained+`}]
`)
	phase := func(name string, flags []string, reached func(before string) bool, restarted bool, outcome, text string) {
		t.Run(name, func(t *testing.T) {
			anew(t, config)
			sh(t, "rm -f "+leakyDir+"/*; systemctl restart "+leaky) // its reading right after the start is seen
			atEmergency(t)
			before := starts(t, leaky)
			for _, f := range flags {
				flag(t, f, true)
			}
			id := begin(t, "leaky", "mine")
			within(t, time.Minute, func() error {
				if !reached(before) {
					return fmt.Errorf("not in the phase: %q, %s", events(t), property(t, leaky, "ActiveState"))
				}
				return nil
			})
			pid := mainPID(t)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			replaced(t, pid, time.Minute)
			for _, f := range flags {
				flag(t, f, false)
			}
			if step := ended(t, id); step.Outcome != outcome || !strings.Contains(step.Error, text) {
				t.Errorf("want %s, %q: %+v", outcome, text, step)
			}
			within(t, time.Minute, func() error {
				if state := property(t, leaky, "ActiveState"); state != "active" {
					return fmt.Errorf("it is %s", state)
				}
				return nil
			})
			after := starts(t, leaky)
			if (after != before) != restarted {
				t.Errorf("start %s became %s, restarted should be %v", before, after, restarted)
			}
			if restarted {
				atEmergency(t)
				wantRefused(t, "mine", "was not seen")
			}
			if now := starts(t, leaky); now != after {
				t.Errorf("start %s became %s: it was restarted twice", after, now)
			}
		})
	}
	phase("drain", []string{"slow"}, func(string) bool { return events(t) == "drain" }, false, "unknown", "nothing was restarted, and the service may still be drained")
	phase("idle", []string{"busy"}, func(string) bool { return events(t) == "drain idle" }, false, "unknown", "nothing was restarted, and the service may still be drained")
	phase("restart", []string{"stay"}, func(string) bool { return property(t, leaky, "ActiveState") == "deactivating" }, true, "unknown", "its end was not seen")
	phase("ready", []string{"unwell"}, func(before string) bool {
		return starts(t, leaky) != before && property(t, leaky, "ActiveState") == "active"
	}, true, "unknown", "its end was not seen")
}

func TestRestartPodman(t *testing.T) {
	what(t, "`restart` of a container of Podman through its socket, named by how the target is matched; `check --connect` says when the socket is closed")
	engines(t)
	run(t, "systemctl", "start", "podman.socket")
	within(t, 4*time.Minute, func() error { // what it holds later is not a reading right after its start
		age, err := strconv.Atoi(run(t, "ps", "-o", "etimes=", "-p", strconv.Itoa(holding(t, 20))))
		if err == nil && age < 125 {
			err = fmt.Errorf("it is %d s old", age)
		}
		return err
	})
	config := enforced(t, `
targets:
  - name: web
    processes: {match: {container: web}}
    memory: {limit: 21MiB}
    playbooks:
      mine: [{do: restart, via: podman, socket: /run/podman/podman.sock, when: [critical, emergency]}]
`)
	const bind = "[Service]\nBindPaths=-/run/podman\n"
	sh(t, "chmod 0600 /run/podman/podman.sock; chmod a+x /run/podman")
	serve(t, config, bind)
	line := checkLine(t) + " --connect"
	if out, _ := try("sh", "-c", line); !strings.Contains(out, "podman: the manager refuses this user at /run/podman/podman.sock") {
		t.Errorf("check --connect at a closed socket:\n%s", out)
	}
	sh(t, "chmod 0666 /run/podman/podman.sock")
	if out, _ := try("sh", "-c", line); strings.Contains(out, "the manager refuses") {
		t.Errorf("check --connect at an open socket:\n%s", out)
	}
	atLeast(t, `spillway_memory_level{target="web"}`, 2)
	started := func(name string) string { return run(t, "podman", "inspect", "-f", "{{.State.StartedAt}}", name) }
	before, api := started("web"), started("api")
	step := play(t, "web", "mine")
	t.Logf("%+v", step)
	if step.Outcome != "done" || !strings.Contains(step.Detail, "away for") {
		t.Fatalf("want done: %+v", step)
	}
	if started("web") == before || started("api") != api {
		t.Error("want this container restarted, and no other")
	}
}
