package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
)

func TestImportProcessExporter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "all.yaml")
	f := func(in, want, message string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(in), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := importProcessExporter(file)
		if message != "" {
			if err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("%q: %v, want a word about %q", in, err, message)
			}
			return
		}
		if err != nil {
			t.Errorf("%q: %v", in, err)
			return
		}
		_, body, _ := strings.Cut(string(got), "groupname=...}.\n")
		if diff := cmp.Diff(want, body); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
		if _, err := config.Parse("x.yml", got); err != nil {
			t.Errorf("the result is refused: %v\n%s", err, got)
		}
	}
	f(`
process_names:
  - name: "{{.Comm}}"
    comm: [bash, node, bash]
  - exe: [postgres, /usr/sbin/nginx, /usr/local/sbin/nginx, /usr/bin/postgres]
  - name: web
    comm: [apache2, it's]
    cmdline: [".*"]
  - name: web
    comm: [lighttpd]
  - name: app@1:x+y
    comm: [java]
    cmdline: ["-Dapp=a", "server"]
  - name: "{{.Comm}}"
    comm: [a-very-long-name-of-a-process]
  - name: never
    comm: ['node.*']
  - name: again
    comm: [java]
    cmdline: ["-Dapp=a", "server"]
  - name: both
    comm: [a, b]
    exe: [/x/a, c]
  - name: none
    exe: []
`, `# process_names[5]: comm a-very-long-name-of-a-process never matches, in process-exporter neither: the kernel keeps 15 bytes, a-very-long-nam.
# process_names[5] matches no process.
# process_names[6]: comm 'node.*' never matches, in process-exporter neither: a name is compared as it is.
# process_names[6] matches no process.
# process_names[7] matches no process that process_names[4] does not take before it.
# process_names[9] matches no process.
targets:
  - {name: bash, processes: {match: {comm: bash}, children: true, required: false}}
  - {name: node, processes: {match: {comm: node}, children: true, required: false}}
  - {name: nginx, processes: {match: {argv0: /usr/local/sbin/nginx}, children: true, required: false}}
  - {name: postgres, processes: {match: {argv0: /usr/bin/postgres}, children: true, required: false}}
  - {name: web, processes: {match: {any_of: [{cmdline: '.*', any_of: [{comm: apache2}, {comm: 'it''s'}]}, {comm: lighttpd}]}, children: true, required: false}}
  - {name: 'app@1:x+y', processes: {match: {comm: java, cmdline: ['-Dapp=a', server]}, children: true, required: false}}
  - {name: both, processes: {match: {any_of: [{comm: a, any_of: [{argv0: /x/a}, {argv0: c}]}, {comm: b, any_of: [{argv0: /x/a}, {argv0: c}]}]}, children: true, required: false}}
`, "")
	f(`
process_names:
  - {name: web, comm: [nginx]}
  - {name: db, cmdline: [postgres]}
  - {name: web, cmdline: [lighttpd]}
  - {name: late, comm: [cron]}
`, `targets:
  - {name: web, processes: {match: {comm: nginx}, children: true, required: false}}
  - {name: db, processes: {match: {cmdline: postgres}, children: true, required: false}}
# What follows names its groups by their processes, or could take processes before a target that stands later.
discover:
  children: true
  join_targets: true # a group that has the name of a target above is that target
  groups:
    - {name: web, match: {cmdline: lighttpd}}
    - {name: late, match: {comm: cron}}
`, "")
	f(`
other: 1
process_names:
  - comm: [bash, sh]
    threads: true
  - name: "{{.ExeFull}}:{{.Matches.Cfgfile}}"
    exe: [/usr/local/bin/app]
    cmdline: ["-config.path\\s+(?P<Cfgfile>\\S+)"]
  - name: "my app"
    comm: [a]
    comm: [b]
  - {name: '{{.Username}}', cmdline: []}
`, `# process-exporter ignores other: so does this.
# process-exporter ignores process_names[0].threads: so does this.
discover:
  children: true
  groups:
    - {name: '{{.ExeBase}}', match: {any_of: [{comm: bash}, {comm: sh}]}}
    - {name: '{{.ExeFull}}:{{.Matches.Cfgfile}}', match: {argv0: /usr/local/bin/app, cmdline: '-config.path\s+(?P<Cfgfile>\S+)'}}
    - {name: 'my app', match: {comm: b}}
    - {name: '{{.Username}}', match: {cmdline: '.*'}}
`, "")
	f("process_names: []", "", "no process_names")
	f("", "", "no process_names")
	f("targets: [{name: a}]", "", "no process_names")
	f("process_names: [{name: x, comm: bash}]", "", "not a configuration of process-exporter")
	f("process_names: [{name: x}]", "", "no condition")
	f("process_names: [{name: x, cmdline: ['(a']}]", "", "missing closing )")
	f("process_names: [{name: '{{.Comm', comm: [a]}]", "", "is not a template")
	f("process_names: [{name: '{{.Program}}', comm: [a]}]", "", "has a field that does not exist")
}
