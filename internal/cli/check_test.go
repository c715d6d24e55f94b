package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/hostcheck"
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
    processes: {match: {comm: node, user: root}}
    playbooks:
      mine: [{do: command, argv: [/bin/true]}]
`
	f := func(name, config, address, webFile string, code int, says string) {
		t.Helper()
		r := runLine(t, "check", configFlag(t, config), "--web.listen-address="+address, "--web.config.file="+webFile)
		if r.code != code || !strings.Contains(r.errs, says) {
			t.Errorf("%s: %+v, want exit code %d and %q", name, r, code, says)
		}
	}
	const everywhere, here = ":10042", "127.0.0.1:10042"
	f("good", target, everywhere, "", ExitOK, "")
	f("enforce for everybody", "mode: enforce"+target, everywhere, "", ExitConfig, "mode enforce on \":10042\" would let every host")
	f("enforce on loopback", "mode: enforce"+target, here, "", ExitOK, "")
	f("enforce with a token", "mode: enforce\nwebhook: {token_file: "+dir+"/token}"+target, everywhere, "", ExitOK, "")
	f("enforce with basic auth", "mode: enforce"+target, everywhere, filepath.Join(dir, "web.yml"), ExitOK, "")
	f("one target enforces", strings.Replace(target, "name: app", "name: app\n    mode: enforce", 1), "[::]:10042", "", ExitConfig, "would let every host")
	says := func(name, config, webFile, want string) {
		t.Helper()
		r := runLine(t, "check", configFlag(t, config), "--web.listen-address="+here, "--web.config.file="+webFile)
		if r.code != ExitOK || strings.Count(r.out, "warning: ") != min(len(want), 1) || !strings.Contains(r.out, want) {
			t.Errorf("%s: %+v, want one warning with %q", name, r, want)
		}
	}
	says("no one can prove who they are", "mode: enforce"+target, "", "warning: /api/v1/webhook, /api/v1/run and /-/reload refuse every caller")
	says("a token", "mode: enforce\nwebhook: {token_file: "+dir+"/token}"+target, "", "")
	says("basic auth", "mode: enforce"+target, filepath.Join(dir, "web.yml"), "")
	says("dry_run", target, "", "")
	says("trust_loopback", "mode: enforce\ntrust_loopback: true"+target, "", "warning: trust_loopback: true lets every process on this host start clean-ups")
	says("trust_loopback alongside a token", "trust_loopback: true\nwebhook: {token_file: "+dir+"/token}"+target, "", "warning: trust_loopback: true changes nothing here")
	f("trust_loopback for everybody", "mode: enforce\ntrust_loopback: true"+target, everywhere, "", ExitConfig, "would let every host")
	f("a rule's own playbook", target+rule("own.yml", "spillway_memory_used_ratio > 2", "mine"), here, "", ExitOK, "")
	f("a playbook that does not exist", target+rule("playbook.yml", "spillway_memory_used_ratio > 2", "nowhere"), here, "", ExitConfig, `the playbook "nowhere" does not exist; write one of clean_temp, enforce_uploads, mine, on_exit`)
	f("a metric that does not exist", target+rule("metric.yml", "spillway_memory_usd_ratio > 2", "mine"), here, "", ExitConfig, "the metric spillway_memory_usd_ratio does not exist")
	f("a cycle", target+"      a: [b]\n      b: [a]\n", here, "", ExitConfig, "targets[0].playbooks.a: names itself: a -> b -> a")
	f("a step that is not a playbook", target+"      a: [nowhere]\n", here, "", ExitConfig, `"nowhere" is neither an action nor a playbook`)
	f("a relative command", strings.Replace(target, "/bin/true", "true", 1), here, "", ExitConfig, `"true" is not absolute`)
	f("a command that is not executable", strings.Replace(target, "/bin/true", dir+"/token", 1), here, "", ExitConfig, "is not executable")
}

func TestCheckRefusesTelemetryPath(t *testing.T) {
	if r := runLine(t, "check", "--web.telemetry-path=/api/v1/webhook"); r.code != ExitConfig || !strings.Contains(r.errs, "--web.telemetry-path: ") {
		t.Errorf("%+v", r)
	}
}

// TestPrintHost: one finding, its lines, and the drop-in as it is to be written.
func TestPrintHost(t *testing.T) {
	var out strings.Builder
	printHost(&out, &hostcheck.Report{
		User: "spillway", UID: 998, Kernel: "6.1.0", Cgroups: "v2", DropIn: "[Service]\nReadWritePaths=-/srv/a\n",
		Findings: []hostcheck.Finding{
			{Target: "svc", Of: "temp x", Problem: "/srv/a is read-only for this process", Enforce: true, Unit: []string{"ReadWritePaths=-/srv/a"}},
			{Of: "procevents", Problem: "no\x1b[2J socket", Unknown: true, Do: "write false"},
		},
	})
	want := `
host: as spillway (998) on Linux 6.1.0, cgroups v2
  missing for enforce: svc, temp x: /srv/a is read-only for this process
    write ReadWritePaths=-/srv/a
  unknown: procevents: no [2J socket
    do    write false
  all of it in one drop-in (sudo systemctl edit spillway_exporter):

[Service]
ReadWritePaths=-/srv/a

`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}

// TestPlan: check reads like a plan, for people and for programs.
func TestPlan(t *testing.T) {
	dir := realDir(t)
	old := time.Now().Add(-2 * time.Hour)
	for i := range 592 {
		path := filepath.Join(dir, "tts", fmt.Sprintf("%d.wav", i))
		writeTest(t, path, "")
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	file := configFlag(t, `
targets:
  - name: orchestrator
    memory: {limit: 1GiB}
    processes: {match: {comm: no-such-comm}}
    heap: {provider: node_inspector, address: 127.0.0.1:9229}
    temp_dirs: [{name: tts, dir: `+dir+`/tts, include: ['*.wav'], age_by: mtime, max_age: 1h}]
    playbooks: {relieve_memory: [clean_temp, {do: command, argv: [/bin/true, "a\nb"]}]}
`)
	r := runLine(t, "check", file)
	if r.code != ExitOK {
		t.Fatalf("%+v", r)
	}
	path := strings.TrimPrefix(file, "--config.file=")
	want := []string{
		path + ": ok, ", " rules, evaluated here every 15s\n",
		"\norchestrator (dry_run)\n  no process matches now\n",
		"  memory limit 1GiB (or the cgroup's or host's, if lower): warning at 717MiB, critical at 870MiB, emergency at 973MiB\n",
		"  heap by node_inspector 127.0.0.1:9229\n",
		"  temp tts: would remove 592 of 592 files in " + dir + "/tts, 0B\n",
		"  on an alert for clean_temp: clean_temp\n",
		"  when its last process has ended: clean_temp\n",
		"  on an alert for relieve_memory: clean_temp, then command [\"/bin/true\" \"a\\nb\"]\n",
		"\nhost: as ",
		"\nnothing was changed\na clean-up now would remove 592 files, 0B; to list them: spillway_exporter cleanup --dry-run --files " + file + "\n",
		"no target is in mode enforce\n",
	}
	rest := r.out
	for _, text := range want {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			t.Errorf("no %q in the rest of the plan:\n%s", text, rest)
			continue
		}
		rest = after
	}
	if r = runLine(t, "check", "--json", file); r.code != ExitOK {
		t.Fatalf("%+v", r)
	}
	var p plan
	if err := json.Unmarshal([]byte(r.out), &p); err != nil {
		t.Fatal(err)
	}
	tp := p.Targets[0]
	if p.Every != "15s" || tp.Limit != 1<<30 || tp.Heap != "node_inspector 127.0.0.1:9229" || len(tp.Playbooks) != 4 || tp.Cleanup[0].Files != 592 {
		t.Errorf("plan: %+v", p)
	}
	if p.Host == nil || p.Host.Kernel == "" || p.Host.Findings == nil {
		t.Errorf("host: %+v", p.Host)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tts")); err != nil || len(left) != 592 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

// TestCheckLooksAtTheHost: with --path.rootfs the folders of a configuration are those of the host, not
// what this process finds at the same path.
func TestCheckLooksAtTheHost(t *testing.T) {
	dir := realDir(t)
	host, here := filepath.Join(dir, "host"), filepath.Join(dir, "srv")
	for _, folder := range []string{host + here + "/good", host + here + "/open/tts", host + dir + "/quarantine", here + "/mine"} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(host+here+"/open", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("good", host+here+"/link"); err != nil {
		t.Fatal(err)
	}
	f := func(folder string, code int, says string) {
		t.Helper()
		config := "targets:\n  - name: app\n    temp_dirs: [{name: t, dir: " + folder + ", include: ['*'], max_age: 1h}]\n"
		r := runLine(t, "check", configFlag(t, config), "--path.rootfs="+host)
		if text := r.out + r.errs; r.code != code || !strings.Contains(text, says) || says == "" && strings.Contains(text, "does not exist") {
			t.Errorf("%s: %+v, want exit code %d and %q", folder, r, code, says)
		}
	}
	f(here+"/good", ExitOK, "")
	f(here+"/mine", ExitOK, "does not exist yet")
	f(here+"/open/tts", ExitConfig, fmt.Sprintf("lies in %q, which everybody can write", here+"/open"))
	f(here+"/link", ExitConfig, fmt.Sprintf("is reached through a symbolic link: write %q", here+"/good"))
	f("/etc/app", ExitConfig, "is a system directory")
}

// TestCheckSaysWhatMatches: which processes two targets match, and what is behind a link.
func TestCheckSaysWhatMatches(t *testing.T) {
	dir := realDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "program")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	file := configFlag(t, fmt.Sprintf(`
targets:
  - {name: first, processes: {match: {exe: %s}, exclude: {cmdline: 'no such argument'}}}
  - {name: second, processes: {match: {exe: %s}}}
  - {name: none, processes: {match: {exe: %s/none}}}
`, link, self, dir))
	pid := os.Getpid()
	r := runLine(t, "check", file)
	for _, want := range []string{
		"them matches the target second too, which stands later in the file and does not get it: such as " + fmt.Sprint(pid),
		"  match.exe: " + link + " is a link to " + self + ": processes of either match\n",
		"  match.exe: " + dir + "/none does not exist on this host, so that only a process in a container can match\n",
	} {
		if r.code != ExitOK || !strings.Contains(r.out, want) {
			t.Errorf("%+v, want %q", r, want)
		}
	}
	var p plan
	if r = runLine(t, "check", "--json", file); r.code != ExitOK || json.Unmarshal([]byte(r.out), &p) != nil {
		t.Fatalf("%+v", r)
	}
	if first := p.Targets[0]; len(first.Also) != 1 || first.Also[0].Target != "second" || first.Also[0].PID != pid || len(first.Advice) != 1 || p.Targets[1].Also != nil {
		t.Errorf("%+v", p.Targets)
	}
}

// TestCheckConnect: managers are asked with --connect alone, and what they answer is said before the night.
func TestCheckConnect(t *testing.T) {
	config := configFlag(t, `
targets:
  - name: app
    processes: {match: {comm: node, user: root}}
    playbooks:
      mine: [{do: restart, via: docker, container: web, socket: /nowhere/docker.sock, when: [emergency]}]
`)
	const says = "the manager does not answer at /nowhere/docker.sock"
	if r := runLine(t, "check", config); r.code != ExitOK || strings.Contains(r.out, says) {
		t.Errorf("without --connect: %+v", r)
	}
	if r := runLine(t, "check", "--connect", config); r.code != ExitOK || !strings.Contains(r.out, says) {
		t.Errorf("with --connect: %+v", r)
	}
}
