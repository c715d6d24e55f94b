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
    comm: [bash, node]
  - exe: [postgres, /usr/local/bin/process-exporter]
  - name: "{{.ExeFull}}:{{.Matches.Cfgfile}}"
    exe: [/usr/local/bin/app]
    cmdline: ["-config.path\\s+(?P<Cfgfile>\\S+)"]
  - name: web
    comm: [nginx, it's]
    cmdline: [".*"]
  - name: both
    comm: [java]
    cmdline: ["-Dapp=a", "server"]
  - name: "{{.Comm}}"
    comm: [a-very-long-name-of-a-process]
  - name: "{{.Comm}}"
    cmdline: [".+"]
`, `discover: {by: comm, top: 20}
targets:
  - {name: bash, processes: {match: {comm: bash}, children: true}}
  - {name: node, processes: {match: {comm: node}, children: true}}
  - {name: postgres, processes: {match: {exe: postgres}, children: true}}
  - {name: process-exporter, processes: {match: {exe: /usr/local/bin/process-exporter}, children: true}}
  # the name "{{.ExeFull}}:{{.Matches.Cfgfile}}" of process_names[2] is known of a running process only: give this target a name of its own
  - {name: app, processes: {match: {exe: /usr/local/bin/app, cmdline: '-config.path\s+(?P<Cfgfile>\S+)'}, children: true}}
  - {name: web, processes: {match: {comm: nginx}, children: true}}
  - {name: web_2, processes: {match: {comm: 'it''s'}, children: true}}
  # process_names[4] has 2 expressions on the command line, which must all match; one target has one. The first is taken: join them by hand
  - {name: both, processes: {match: {comm: java, cmdline: '-Dapp=a'}, children: true}}
  # the kernel keeps 15 bytes of a name, so "a-very-long-name-of-a-process" never matched: it is cut
  - {name: a-very-long-name-of-a-process, processes: {match: {comm: a-very-long-nam}, children: true}}
`, "")
	f("process_names: [{name: '{{.Username}}', cmdline: ['.+']}]", "discover: {by: user, top: 20}\n", "")
	f("process_names: [{comm: [bash]}, {name: 'a-{{.ExeBase}}', comm: [sh]}, {cmdline: ['x']}]", `targets:
  - {name: bash, processes: {match: {comm: bash}, children: true}}
  - {name: a-sh, processes: {match: {comm: sh}, children: true}}
  - {name: group3, processes: {match: {cmdline: x}, children: true}}
`, "")
	f("process_names: []", "", "no process_names")
	f("targets: [{name: a}]", "", "not a configuration of process-exporter")
	f("process_names: [{name: x}]", "", "no condition")
	f("process_names: [{name: x, cmdline: ['(a']}]", "", "missing closing )")
}
