package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramsThatOthersCanChange: one that is not safe to run is refused where it would be run for real, and
// warned of elsewhere. The temporary folder is one that everyone can write.
func TestProgramsThatOthersCanChange(t *testing.T) {
	dir := fixture(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/restart", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	const step = "targets: [{name: a, mode: %s, processes: {match: {comm: x, user: root}}, playbooks: {p: [{do: command, argv: [%s]}]}}]\n"
	f := func(text, key string, refused bool) {
		t.Helper()
		c, err := Parse("f.yml", []byte(text))
		switch {
		case refused && (err == nil || !strings.Contains(err.Error(), key+": ") || !strings.Contains(err.Error(), "can be written by everyone on this host")):
			t.Errorf("%s: %v, want it refused at %s", text, err, key)
		case !refused && err != nil:
			t.Errorf("%s: %v", text, err)
		case !refused && key == "" && len(c.Warnings) > 0:
			t.Errorf("%s: %v, want no warning", text, c.Warnings)
		case !refused && key != "" && (len(c.Warnings) != 1 || c.Warnings[0].Key != key || !strings.HasPrefix(c.Warnings[0].Msg, "mode enforce would refuse it: ")):
			t.Errorf("%s: %v, want a warning at %s", text, c.Warnings, key)
		}
	}
	f(fmt.Sprintf(step, "enforce", dir+"/restart"), "targets[0].playbooks.p[0].argv[0]", true)
	f(fmt.Sprintf(step, "dry_run", dir+"/restart"), "targets[0].playbooks.p[0].argv[0]", false)
	f(fmt.Sprintf(step, "enforce", "/bin/sh, -e, "+dir+"/restart"), "targets[0].playbooks.p[0].argv[0]", true)
	f(fmt.Sprintf(step, "enforce", "/bin/sh, -c, exit"), "", false)
	const watcher = "targets: [{name: a, mode: enforce, processes: {match: {user: root}}}, {name: b, mode: dry_run, processes: {match: {user: root}}}]\n" +
		"watchers: [{on: [critical], command: [%s/restart], targets: [%s]}]\n"
	f(fmt.Sprintf(watcher, dir, "a, b"), "watchers[0].command[0]", true)
	f(fmt.Sprintf(watcher, dir, ""), "watchers[0].command[0]", true)
	f(fmt.Sprintf(watcher, dir, "b"), "watchers[0].command[0]", false)
}

// TestUnidentifiedTargets: which targets any user of the host can play.
func TestUnidentifiedTargets(t *testing.T) {
	f := func(target string, want ...string) {
		t.Helper()
		c, err := Parse("f.yml", []byte("targets: [{name: a, "+target+"}]"))
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		var said []string
		for _, u := range c.Unidentified() {
			said = append(said, u.Key+": "+u.Says)
		}
		text := strings.Join(said, "\n")
		if len(want) == 0 && text != "" {
			t.Errorf("%s: %q, want nothing", target, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q, want %q", target, text, w)
			}
		}
		if n := len(c.Warnings); n != len(said) {
			t.Errorf("%s: %d warnings, want %d", target, n, len(said))
		}
	}
	const (
		signal  = "playbooks: {p: [{do: signal, signal: SIGHUP}]}"
		command = "playbooks: {p: [{do: command, argv: [/bin/true]}]}"
	)
	f("processes: {match: {comm: node}}")
	f("processes: {match: {comm: node}}, "+signal, "targets[0].processes.match: any user of this host can start a process that matches, and so receive its signals: write user,")
	f("processes: {match: {comm: node}}, "+command, "and so set off its commands, such as a restart: write")
	f("processes: {match: {comm: node}}, heap: {provider: node_inspector, activate: sigusr1}, "+command,
		"and so receive its signals, answer for its heap and set off its commands, such as a restart: write")
	f("processes: {match: {listen_port: 80, pidfile: /}}, heap: {provider: node_agent}", "and so answer for its heap: write")
	f("processes: {match: {exe: /usr/bin/node}}, "+signal, "(every user can run node)")
	f("processes: {match: {any_of: [{user: root}, {exe: /usr/bin/node}]}}, "+signal, "(every user can run node)")
	f("processes: {match: {argv0: mysqld}}, "+signal, "any user of this host")
	link := filepath.Join(t.TempDir(), "service")
	if err := os.Symlink("/usr/bin/python3.11", link); err != nil {
		t.Fatal(err)
	}
	f("processes: {match: {exe: "+link+"}}, "+signal, "(every user can run python3.")
	f("processes: {match: {any_of: [{user: root}, {any_of: [{exe: /usr/sbin/mysqld}, {pod: a}]}]}}, " + signal)
	f("processes: {match: {user: root, any_of: [{comm: a}, {argv0: b}]}}, " + signal)
	f("processes: {match: {exe: node}}, "+signal, "any user of this host")
	f("heap: {provider: go_pprof, address: '127.0.0.1:6060'}", "targets[0].heap: this target has no processes, so any user of this host can listen there first, and so answer for its heap: write processes")
	for _, match := range []string{"user: root", "exe: /usr/sbin/mysqld", "systemd_unit: app", "cgroup: /system.slice", "container: app", "pod: app"} {
		f("processes: {match: {comm: node, " + match + "}}, heap: {provider: node_agent}, " + signal)
	}
}
