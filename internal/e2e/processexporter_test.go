//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// tree is what hosts run, with what is odd about names.
var tree = dummy{Argv: []string{"init"}, Children: []dummy{
	{Comm: "nginx", Argv: []string{"nginx: master process /usr/sbin/nginx -g daemon off;"}, Children: []dummy{
		{Comm: "nginx", Argv: []string{"nginx: worker process"}, UID: 33},
		{Comm: "nginx", Argv: []string{"nginx: worker process"}, UID: 33},
	}},
	{Comm: "nginx", Argv: []string{"/usr/local/sbin/nginx", "-c", "/etc/other.conf"}},
	{Comm: "postgres", Argv: []string{"/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main"}, UID: 1, Children: []dummy{
		{Comm: "postgres", Argv: []string{"postgres: checkpointer "}, UID: 1},
		{Comm: "postgres", Argv: []string{"postgres: walwriter "}, UID: 1},
	}},
	{Comm: "postgres", Argv: []string{"postgres", "--single"}, UID: 1},
	{Comm: "bash", Argv: []string{"-bash"}, UID: 8, Children: []dummy{
		{Comm: "vim", Argv: []string{"vim", "notes"}, UID: 8},
		{Comm: "node", Argv: []string{"/usr/bin/node", "/home/mail/tool.js"}, UID: 8},
	}},
	{Comm: "bash", Argv: []string{"/bin/bash", "/opt/run.sh"}, Children: []dummy{{Comm: "sleep", Argv: []string{"sleep", "60"}}}},
	{Comm: "node", Argv: []string{"node", "/srv/app/server.js", "--port=8080"}, UID: 2, Children: []dummy{
		{Comm: "sh", Argv: []string{"sh", "-c", "ffmpeg -i a.mp4"}, UID: 2, Children: []dummy{
			{Comm: "ffmpeg", Argv: []string{"/usr/bin/ffmpeg", "-i", "a.mp4"}, UID: 2},
		}},
	}},
	{Comm: "PM2 v5.3.0: God", Argv: []string{"PM2 v5.3.0: God Daemon (/root/.pm2)"}, Children: []dummy{
		{Comm: "node", Argv: []string{"node /srv/app/worker.js"}},
		{Comm: "node", Argv: []string{"node /srv/app/server.js"}},
	}},
	{Comm: "java", Argv: []string{"/usr/bin/java", "-Dapp=a", "-Xmx1g", "-jar", "/opt/a/server.jar"}},
	{Comm: "java", Argv: []string{"/usr/bin/java", "-Dapp=b", "-jar", "/opt/b/worker.jar"}},
	{Comm: "java", Argv: []string{"java", "-Dapp=a", "-jar", "/opt/a/tool.jar"}},
	{Comm: "python3.11", Argv: []string{"/usr/bin/python3", "/opt/celery/bin/celery", "worker", "-n", "w1@host"}},
	{Comm: "python3.11", Argv: []string{"python3", "manage.py", "runserver"}},
	{Comm: "app", Argv: []string{"/usr/local/bin/app", "-config.path", "/etc/app/one.conf"}},
	{Comm: "app", Argv: []string{"/usr/local/bin/app", "-config.path", "/etc/app/two.conf"}, Children: []dummy{{Comm: "gzip", Argv: []string{"gzip"}}}},
	{Comm: "worker", Argv: []string{"worker", "--queue=mail"}, UID: 8},
	{Comm: "worker", Argv: []string{"worker", "--queue=bin", "--fast"}, UID: 2},
	{Comm: "worker", Argv: []string{"worker"}, UID: 54321},
	{Comm: "g++", Argv: []string{"g++", "-O2"}},
	{Comm: "a:b@c+d", Argv: []string{"a:b@c+d"}},
	{Comm: "a-very-long-name-of-a-process", Argv: []string{"a-very-long-name-of-a-process", "--long"}},
	{Comm: "unnamed", Argv: []string{""}},
	{Comm: "blank", Argv: []string{"", "x"}},
}}

// publicForms are configurations of the shapes that are found in public.
var publicForms = []struct{ name, config string }{
	{"that of the package: everything by name", `
process_names:
  - name: "{{.Comm}}"
    cmdline:
    - '.+'
`},
	{"that of the README", `
process_names:
  - comm:
    - bash
  - exe:
    - postgres
    - /usr/local/sbin/nginx
  - name: "{{.ExeFull}}:{{.Matches.Cfgfile}}"
    exe:
    - /usr/local/bin/app
    cmdline:
    - -config.path\s+(?P<Cfgfile>\S+)
`},
	{"a list of names is one group", `
process_names:
  - name: web
    comm: [nginx, postgres, java]
  - name: shells
    comm: [bash, sh]
`},
	{"names without a group's name", `
process_names:
  - comm: [node, "python3.11", nginx, java, vim]
`},
	{"a target for each name", `
process_names:
  - name: "{{.Comm}}"
    comm: [node, nginx, bash, ffmpeg, cron]
`},
	{"names with signs", `
process_names:
  - name: "app@a:x+y"
    cmdline: ["-Dapp=a"]
  - name: "{{.Comm}}"
    comm: ["a:b@c+d", "g++", "PM2 v5.3.0: God"]
  - name: "my queue/mail"
    cmdline: ["--queue=mail"]
`},
	{"expressions that must all match", `
process_names:
  - name: server-a
    comm: [java]
    cmdline: ["-Dapp=a", 'server\.jar']
  - name: other-java
    comm: [java]
  - name: queues
    cmdline: ["^worker", "--queue=", "--fast"]
`},
	{"programs in full and by their base name", `
process_names:
  - exe: [/usr/bin/java, node, python3, /usr/bin/postgres, postgres]
  - name: "prog-{{.ExeBase}}"
    exe: [java, bash, "-bash", sleep]
`},
	{"of two programs of one base name the last", `
process_names:
  - name: nginx
    exe: [nginx, /usr/sbin/nginx, /usr/local/sbin/nginx]
  - name: java
    exe: [/usr/bin/java, java]
`},
	{"everything last", `
process_names:
  - name: web
    comm: [nginx]
  - name: db
    exe: [postgres, /usr/lib/postgresql/15/bin/postgres]
  - name: "{{.ExeBase}}"
    cmdline: ['.+']
`},
	{"everything first", `
process_names:
  - name: "{{.Comm}}"
    cmdline: ['.*']
  - name: web
    comm: [nginx]
`},
	{"everything in between and some without a command line", `
process_names:
  - name: java
    comm: [java]
  - name: "all:{{.Comm}}"
    cmdline: ['.+']
  - name: rest
    comm: [unnamed, nginx]
`},
	{"by what an expression has matched", `
process_names:
  - name: "java-{{.Matches.App}}"
    comm: [java]
    cmdline: ['-Dapp=(?P<App>\w+)', '-jar\s+(?P<Jar>\S+)']
  - name: "{{.Comm}}-{{.Matches.Queue}}"
    cmdline: ['^worker(\s+--queue=(?P<Queue>\w+))?']
  - name: "{{.Matches.None}}"
    comm: [ffmpeg]
`},
	{"by user", `
process_names:
  - name: "{{.Username}}"
    cmdline: ['.+']
`},
	{"by user and name after some of their own", `
process_names:
  - name: "{{.Comm}}"
    comm: [nginx]
  - name: "{{.Username}}:{{.Comm}}"
    cmdline: ['.+']
`},
	{"one for each process", `
process_names:
  - name: "{{.Comm}};{{.PID}}"
    comm: [node, worker]
  - name: "{{.Comm}};{{.PID}};{{.StartTime.Year}}"
    exe: [bash, "-bash"]
`},
	{"keys that are not known and one twice", `
log_level: debug
process_names:
  - name: web
    threads: true
    comm: [java]
    comm: [nginx]
scrape: {interval: 5s}
`},
	{"the same entry twice", `
process_names:
  - name: web
    comm: [nginx]
  - name: web
    comm: [nginx]
  - name: db
    comm: [postgres]
  - name: web
    comm: [nginx]
`},
	{"one name for entries that are apart", `
process_names:
  - name: app
    cmdline: ['server\.js']
  - name: node
    comm: [node]
  - name: app
    comm: [node, java]
  - name: app
    comm: [worker]
`},
	{"a template that gives the name of an earlier group", `
process_names:
  - name: nginx
    exe: [/usr/local/sbin/nginx]
  - name: bash
    exe: ["-bash"]
  - name: "{{.Comm}}"
    cmdline: ['.+']
`},
	{"children of different groups", `
process_names:
  - name: pm2
    comm: ["PM2 v5.3.0: God"]
  - name: worker
    cmdline: ['worker\.js']
  - name: shell
    comm: [sh]
  - name: app
    cmdline: ['/srv/app/server\.js --port']
  - name: login
    exe: ["-bash"]
`},
	{"what never matches", `
process_names:
  - name: long
    comm: [a-very-long-name-of-a-process]
  - name: globs
    comm: ['node.*', 'ngin*']
  - name: nothing
    exe: []
  - name: cut
    comm: [a-very-long-nam]
  - name: never-started
    comm: [cron]
  - name: "{{.ExeBase}}"
    comm: []
`},
	{"conditions and functions in a name", `
process_names:
  - name: '{{if eq .Username "root"}}system{{else}}user {{.Username}}{{end}}'
    cmdline: ['.+']
`},
	{"by cgroup", `
process_names:
  - name: "{{.Comm}} {{.Cgroups}}"
    comm: [nginx, java]
`},
	{"lists of both kinds", `
process_names:
  - name: both
    comm: [nginx, java, bash]
    exe: [/usr/local/sbin/nginx, java, "-bash", sleep]
    cmdline: ['.']
`},
}

// TestSameGroupsAsProcessExporter runs Debian's process-exporter with a configuration and ours with what
// is made of it, over the same processes, and compares the groups.
func TestSameGroupsAsProcessExporter(t *testing.T) {
	theirs := need(t, "prometheus-process-exporter")
	need(t, "unshare")
	if os.Getuid() != 0 {
		t.Skip("a pid namespace and processes of other users need root")
	}
	procfs := tree.grow(t)
	for _, form := range publicForms {
		t.Run(form.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "process-exporter.yml")
			if err := os.WriteFile(file, []byte(form.config), 0o600); err != nil {
				t.Fatal(err)
			}
			converted, err := exec.Command(binary(t), "export", "--from-process-exporter="+file).Output()
			if err != nil {
				t.Fatalf("export: %v\n%s", err, stderrOf(err))
			}
			want := theirGroups(t, theirs, procfs, file)
			e := startExporter(t, dir, string(converted), "--path.procfs="+procfs)
			var got map[string]int
			var last string
			eventually(t, 10*time.Second, "the same groups", func() error {
				m, err := e.scrape()
				if err != nil {
					return err
				}
				got = groupsOf(m, "spillway_processes", "target")
				if last = gocmp.Diff(want, got); last != "" {
					return fmt.Errorf("processes by group (-process-exporter +spillway_exporter):\n%s\nconverted:\n%s", last, converted)
				}
				return nil
			})
			if len(want) == 0 {
				t.Error("process-exporter has no group: this compares nothing")
			}
		})
	}
}

func stderrOf(err error) string {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}

// theirGroups runs process-exporter and returns how many processes each of its groups has, under the name
// that the group has here.
func theirGroups(t *testing.T, program, procfs, config string) map[string]int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	p := start(t, nil, program, "-procfs="+procfs, "-config.path="+config, "-web.listen-address="+address, "-threads=false")
	defer p.stop()
	groups := make(map[string]int)
	eventually(t, startLimit, "process-exporter answers", func() error {
		body, err := get("http://" + address + "/metrics")
		if err != nil {
			return err
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		m, err := parser.TextToMetricFamilies(strings.NewReader(body))
		if err != nil {
			return err
		}
		for name, n := range groupsOf(m, "namedprocess_namegroup_num_procs", "groupname") {
			groups[labelOf(name)] += n
		}
		return nil
	})
	return groups
}

// groupsOf returns the values of a family by one label.
func groupsOf(m metrics, family, label string) map[string]int {
	out := make(map[string]int)
	for _, metric := range m[family].GetMetric() {
		for _, l := range metric.Label {
			if l.GetName() == label {
				out[l.GetValue()] = int(metric.Gauge.GetValue())
			}
		}
	}
	return out
}

// labelOf returns what docs/processes.md says a group's name becomes as a label.
func labelOf(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 128 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:+@-/", r)) {
			return r
		}
		return '_'
	}, name)
	if name = strings.Trim(name, "_"); name == "" {
		return "unnamed"
	}
	return name
}
