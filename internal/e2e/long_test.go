//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
)

// longEvery is what most people scrape and evaluate at.
const longEvery = 15 * time.Second

// longRun is two exporters without a configuration, on a busy host and on one where nothing happens,
// alongside exporters of others, under the Prometheus that reads the shipped rules.
type longRun struct {
	g           *grafana
	busy, quiet *exporter
	span        time.Duration
	rows        []string // of the table of what was compared
	compared    map[string]*comparison
}

// TestLongRun: with the defaults no alert fires, every panel has the value that the kernel and other
// exporters have, and what comes and goes on a busy host leaves no series behind. SPILLWAY_LONG says for
// how long, such as 20m; without it nothing runs.
func TestLongRun(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("SPILLWAY_LONG"))
	if err != nil {
		t.Skip("SPILLWAY_LONG is not set to a duration such as 20m")
	}
	if os.Geteuid() != 0 {
		t.Skip("a host where nothing happens is a namespace, which takes root")
	}
	r := startLongRun(t, span)
	startLoad(t)
	end := time.After(span)
	look := time.NewTicker(time.Minute)
	defer look.Stop()
	for rounds := 0; ; rounds++ {
		select {
		case <-look.C:
			r.compareWithKernel(t, rounds > 1) // what runs since the beginning is a minute old by then
			continue
		case <-end:
		}
		break
	}
	r.span -= time.Minute // the beginning is not whole
	r.g.span, r.g.at = r.span, time.Now()
	r.checkAlerts(t)
	r.checkPanels(t)
	r.checkSeries(t)
	r.checkCompared(t)
	r.compareWithOthers(t)
	t.Logf("%s, %d targets at the end:\n%s", span, int(r.number(t, `count(spillway_processes{instance="`+r.busy.addr+`"})`)), strings.Join(r.rows, "\n"))
}

func startLongRun(t *testing.T, span time.Duration) *longRun {
	t.Helper()
	dir := testDir(t)
	listen := func() string { return fmt.Sprintf("127.0.0.1:%d", freePort(t)) }
	node, process := listen(), listen()
	start(t, nil, need(t, "prometheus-node-exporter"), "--web.listen-address="+node)
	everything := filepath.Join(dir, "everything.yml")
	writeFile(t, everything, "process_names: [{name: '{{.Comm}}', cmdline: ['.+']}]\n")
	start(t, nil, need(t, "prometheus-process-exporter"), "-web.listen-address="+process, "-config.path="+everything)
	r := &longRun{span: span, compared: make(map[string]*comparison), busy: startBare(t, testDir(t), "127.0.0.1:0")}
	r.quiet = startBare(t, testDir(t), "127.0.0.1:0", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child=TERM", "sh", "-c", `sleep 100000 & sleep 100000 & exec "$@"`, "sh")
	rules, err := filepath.Abs("../../rules/spillway.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	r.g = &grafana{job: ".+", instance: ".+", target: ".+", span: span, step: longEvery}
	r.g.prometheus = startPrometheusWith(t, dir, fmt.Sprintf(`
global: {scrape_interval: %[1]s, evaluation_interval: %[1]s}
rule_files: [%[2]s]
scrape_configs:
  - {job_name: spillway, static_configs: [{targets: ['%[3]s', '%[4]s']}]}
  - {job_name: node, static_configs: [{targets: ['%[5]s']}]}
  - {job_name: process, static_configs: [{targets: ['%[6]s']}]}
  - {job_name: mysql, static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]}
`, longEvery, rules, r.busy.addr, r.quiet.addr, node, process))
	return r
}

// startLoad starts what a busy host runs: commands of a moment and of twenty seconds, each by a name of
// its own, a loop of sleeps, a service that restarts every three minutes, and what uses the processor.
func startLoad(t *testing.T) {
	t.Helper()
	dir := testDir(t)
	sleep := need(t, "sleep")
	named := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(sleep, path); err != nil && !errors.Is(err, os.ErrExist) {
			t.Error(err)
		}
		return path
	}
	shell, err := exec.LookPath("dash")
	if err != nil {
		shell = need(t, "sh")
	}
	steady := filepath.Join(dir, "steady")
	if err := os.Symlink(shell, steady); err != nil {
		t.Fatal(err)
	}
	for range 2 { // large enough to be among the twenty largest, whatever else the host runs
		start(t, nil, steady, "-c", `x=$(head -c 60000000 /dev/zero | tr '\0' x); sleep 100000; echo "$x"`)
	}
	start(t, nil, "sh", "-c", "while :; do sleep 25; done")
	start(t, nil, "sh", "-c", "while :; do "+named("service")+" 180; done")
	start(t, nil, "sh", "-c", "while :; do i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 2; done")
	for name, seconds := range map[string]string{"moment": "0.2", "while": "20"} {
		done, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for n := 0; ; n++ {
				command := exec.Command(named(fmt.Sprintf("%s-%d", name, n)), seconds)
				if err := command.Start(); err != nil {
					t.Error(err)
					return
				}
				go command.Wait()
				select {
				case <-done:
					_ = command.Process.Kill()
					return
				case <-time.After(time.Second):
				}
			}
		}()
		t.Cleanup(func() { close(done); <-ended })
	}
}

// number is the value of an expression that has one.
func (r *longRun) number(t *testing.T, expr string) float64 {
	t.Helper()
	lines, err := r.g.query(expr, true)
	if err != nil || len(lines) != 1 {
		t.Errorf("%s: %d values, %v, want one", expr, len(lines), err)
		return -1
	}
	return lines[0].last()
}

func (r *longRun) row(format string, args ...any) {
	r.rows = append(r.rows, fmt.Sprintf(format, args...))
}

// alertLine is how the exporter logs an alert of its own evaluation.
var alertLine = regexp.MustCompile(`(?m)^.*msg="alert[ "].*$`)

func (r *longRun) checkAlerts(t *testing.T) {
	t.Helper()
	lines, err := r.g.query(fmt.Sprintf(`count by (alertname, alertstate, instance, target) (count_over_time(ALERTS{alertname=~"Spillway.+"}[%ds]))`, int(r.g.span.Seconds())), true)
	if err != nil {
		t.Fatal(err)
	}
	fired := 0
	for _, l := range lines {
		t.Logf("alert: %v", l.Metric)
		if l.Metric["alertstate"] == "firing" {
			fired++
			t.Errorf("%v fired", l.Metric)
		}
	}
	r.row("| alerts in Prometheus | %d fired, %d were pending |", fired, len(lines)-fired)
	for name, e := range map[string]*exporter{"busy": r.busy, "quiet": r.quiet} {
		found := alertLine.FindAllString(e.out.String(), -1)
		for _, line := range found {
			t.Errorf("%s host: %s", name, line)
		}
		r.row("| alerts of the exporter itself, %s host | %d |", name, len(found))
	}
}

// checkPanels asks for every expression of every dashboard over the whole run.
func (r *longRun) checkPanels(t *testing.T) {
	t.Helper()
	all := everyQuery(t)
	instances := []string{r.busy.addr, r.quiet.addr}
	withData, asked := 0, 0
	for i := range all {
		q := &all[i]
		for _, target := range []string{".+", "host", "steady", "prometheus-node"} {
			one := *r.g
			if one.target = target; target != ".+" {
				if q.Dashboard != "spillway-target.json" {
					continue
				}
				one.instance = r.busy.addr
			}
			asked++
			got := one.ask(t, q)
			checkForeign(t, q, got, instances)
			if len(got) > 0 {
				withData++
			}
			if len(got) > linesAtMost && q.Dashboard != "spillway-target.json" && q.Panel != "target" {
				t.Errorf("%s, panel %q has %d lines", q.Dashboard, q.Panel, len(got))
			}
			r.checkKnown(t, q, got, target)
		}
	}
	r.row("| expressions of the dashboards | %d asked over the whole run, %d with data, 0 failed, 0 NaN |", asked, withData)
}

// checkKnown compares the panels whose value is known beforehand.
func (r *longRun) checkKnown(t *testing.T, q *dashboards.Query, got []line, target string) {
	t.Helper()
	want, known := map[string]float64{
		"Exporters up": 2, "Exporters down": 0, "Exporters down ": 0, "Targets under pressure ": 0, "Alerts firing ": 0,
		"Failing sources ": 0, "Stuck sources ": 0, "Journal writable ": 1, "Configuration loaded ": 1, "Versions ": 1, "Relief that did not help ": 0,
	}[q.Panel+" "+q.Legend]
	if !known || target != ".+" {
		return
	}
	if len(got) == 0 && want == 0 {
		return
	}
	if len(got) != 1 || got[0].last() != want {
		t.Errorf("%s, panel %q %s: %+v, want %v", q.Dashboard, q.Panel, q.Legend, got, want)
	}
}

// checkSeries wants what came and went to have left nothing behind.
func (r *longRun) checkSeries(t *testing.T) {
	t.Helper()
	span := fmt.Sprintf("[%ds]", int(r.g.span.Seconds()))
	for name, e := range map[string]*exporter{"busy": r.busy, "quiet": r.quiet} {
		of := fmt.Sprintf(`{job="spillway",instance=%q}`, e.addr)
		targets := r.number(t, "count(count by (target) (count_over_time(spillway_processes"+of+span+")))")
		most := r.number(t, "max_over_time(count(spillway_processes"+of+")"+strings.Replace(span, "]", ":15s])", 1))
		series := r.number(t, "count(last_over_time("+strings.Replace(of, "{", `{__name__=~".+",`, 1)+span+"))")
		scraped := r.number(t, "max_over_time(scrape_samples_scraped"+of+span+")")
		r.row("| targets of the %s host | %v at a time at most, %v in all; %v series at a time, %v in all |", name, most, targets, scraped, series)
	}
	short, err := r.g.query(`count by (target) (count_over_time({__name__=~"spillway.+",target=~"(moment|while)-.+"}`+span+`))`, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range short {
		t.Errorf("a command of less than a minute was a target: %v", l.Metric)
	}
	commands := r.number(t, `count(count by (groupname) (count_over_time(namedprocess_namegroup_num_procs{groupname=~"(moment|while)-.+"}`+span+`)))`)
	r.row("| commands of less than a minute that process-exporter has as groups | %v; as targets here %d |", commands, len(short))
}
