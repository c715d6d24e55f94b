package app

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/exporter-toolkit/web"
)

// TestCheckRefuses: what serve would refuse, and what would never work.
func TestCheckRefuses(t *testing.T) {
	dir := realDir(t)
	writeTest(t, filepath.Join(dir, "token"), "sesame\n")
	writeTest(t, filepath.Join(dir, "web.yml"), "basic_auth_users: {me: '$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG'}\n")
	rule := func(name, expr, playbook string) string {
		path := filepath.Join(dir, name)
		writeTest(t, path, `
groups:
  - name: own
    rules:
      - {alert: Own, expr: `+expr+`, labels: {severity: warning, playbook: `+playbook+`}, annotations: {summary: s, description: d}}
`)
		return "\nrule_files: [" + path + "]\n"
	}
	const target = `
targets:
  - name: app
    processes: {match: {comm: node}}
    playbooks:
      mine: [{do: command, argv: [/bin/true]}]
`
	f := func(name, config, address, webFile string, code int, says string) {
		t.Helper()
		o := testOptions(t, config)
		var out bytes.Buffer
		o.Stderr = &out
		o.Web = &web.FlagConfig{WebListenAddresses: &[]string{address}, WebConfigFile: &webFile}
		if got := Main(t.Context(), CommandCheck, o); got != code || !strings.Contains(out.String(), says) {
			t.Errorf("%s: exit code %d, want %d with %q in\n%s", name, got, code, says, &out)
		}
	}
	const everywhere, here = ":10042", "127.0.0.1:10042"
	f("good", target, everywhere, "", ExitOK, "")
	f("enforce for everybody", "mode: enforce"+target, everywhere, "", ExitConfig, "mode enforce on \":10042\" would let every host")
	f("enforce on loopback", "mode: enforce"+target, here, "", ExitOK, "")
	f("enforce with a token", "mode: enforce\nwebhook: {token_file: "+dir+"/token}"+target, everywhere, "", ExitOK, "")
	f("enforce with basic auth", "mode: enforce"+target, everywhere, filepath.Join(dir, "web.yml"), ExitOK, "")
	f("one target enforces", strings.Replace(target, "name: app", "name: app\n    mode: enforce", 1), "[::]:10042", "", ExitConfig, "would let every host")
	f("a rule's own playbook", target+rule("own.yml", "spillway_memory_used_ratio > 2", "mine"), here, "", ExitOK, "")
	f("a playbook that does not exist", target+rule("playbook.yml", "spillway_memory_used_ratio > 2", "nowhere"), here, "", ExitConfig, `the playbook "nowhere" does not exist; write one of clean_temp, enforce_uploads, mine, on_exit`)
	f("a metric that does not exist", target+rule("metric.yml", "spillway_memory_usd_ratio > 2", "mine"), here, "", ExitConfig, "the metric spillway_memory_usd_ratio does not exist")
	f("a cycle", target+"      a: [b]\n      b: [a]\n", here, "", ExitConfig, "targets[0].playbooks.a: names itself: a -> b -> a")
	f("a step that is no playbook", target+"      a: [nowhere]\n", here, "", ExitConfig, `"nowhere" is neither an action nor a playbook`)
	f("a relative command", strings.Replace(target, "/bin/true", "true", 1), here, "", ExitConfig, `"true" is not absolute`)
	f("a command that is not executable", strings.Replace(target, "/bin/true", dir+"/token", 1), here, "", ExitConfig, "is not executable")
}
