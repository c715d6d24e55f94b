//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramOfAnotherUser: the exporter neither starts nor reloads with a program that another user can change, where it
// would run it; check says so, and which target any user can play.
func TestProgramOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("gives a program to another user: run it as root")
	}
	dir := testDir(t)
	program := filepath.Join(dir, "restart")
	if err := errors.Join(os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755), os.Chown(program, 65534, -1)); err != nil {
		t.Fatal(err)
	}
	f := func(mode, command string, code int, says ...string) {
		t.Helper()
		config := filepath.Join(dir, "spillway.yml")
		text := "mode: " + mode + "\ntrust_loopback: true\njournal: {dir: " + dir + "/journal}\ntargets:\n" +
			"  - {name: app, processes: {match: {comm: no-such-comm}}, playbooks: {p: [{do: command, argv: [" + program + "]}]}}\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(binary(t), command, "--config.file="+config, "--web.listen-address=127.0.0.1:0").CombinedOutput()
		got := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			got = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != code {
			t.Errorf("%s in mode %s: exit code %d, want %d:\n%s", command, mode, got, code, out)
		}
		for _, want := range says {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s in mode %s: no %q in\n%s", command, mode, want, out)
			}
		}
	}
	const refused = "targets[0].playbooks.p[0].argv[0]: "
	f("enforce", "serve", 2, refused)
	f("enforce", "check", 2, refused)
	f("dry_run", "check", 0, "mode enforce would refuse it: ", "any user of this host can start a process that matches, and so set off its commands")
}
