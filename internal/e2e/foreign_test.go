//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
)

// startBare starts the exporter as its package does not: without a configuration. Root's journal goes to
// a folder of its own, so that this is also possible on a host that has one.
func startBare(t *testing.T, dir, address string, before ...string) *exporter {
	t.Helper()
	program := append(before, binary(t))
	if os.Geteuid() == 0 {
		script := `mount -t tmpfs none /var/lib && exec "$@"`
		program = append([]string{"unshare", "--mount", "sh", "-c", script, "sh"}, program...)
	}
	return startExporterAs(t, program, nil, address, dir, "")
}

// TestPanelsShowOnlyExporters: all jobs are chosen. One is of servers that are down; one of an exporter with
// a configuration and one that is down; and one, as a job of everything is, of an exporter without a
// configuration, a program that publishes what every Go program does, and one that is down. In the end
// that exporter is down too.
func TestPanelsShowOnlyExporters(t *testing.T) {
	dir, bare := testDir(t), testDir(t)
	writeFiles(t, dir+"/tmp", "x-%d.tmp", 3, 10, time.Hour)
	p := start(t, nil, "sleep", "1000")
	configured := startExporter(t, dir, fmt.Sprintf(`
sample_interval: 1s
scan_interval: 1s
targets:
  - name: running
    processes: {match: {cmdline: '^sleep 1000$'}}
  - name: gone
    processes: {match: {comm: not-there}}
  - name: folders
    temp_dirs: [{name: t, dir: %s/tmp, include: ['*.tmp'], max_age: 1d}]
`, dir))
	none := startBare(t, bare, "127.0.0.1:0")
	ownPort := freePort(t)
	g := &grafana{job: ".+", instance: ".+", target: ".+", span: 30 * time.Second, step: time.Second}
	g.prometheus = startPrometheusWith(t, testDir(t), fmt.Sprintf(`
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: spillway, static_configs: [{targets: ['%s', '127.0.0.1:%d']}]}
  - {job_name: mysql, static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]}
  - {job_name: everything, static_configs: [{targets: ['%s', '127.0.0.1:3']}, {targets: ['%s'], labels: {instance: other}}]}
`, configured.addr, ownPort, none.addr, startForeign(t)))
	eventually(t, time.Minute, "both exporters and the others have been scraped for a while", func() error {
		lines, err := g.query(`count(count_over_time(up[1m]) > 12) == 7 and count(spillway_temp_files{target="folders"})`, true)
		if err == nil && len(lines) == 0 {
			err = fmt.Errorf("not yet: %s", p.out.String())
		}
		return err
	})
	instances := []string{configured.addr, none.addr}
	all := everyQuery(t)
	for i := range all {
		q := &all[i]
		for _, target := range []string{".+", "running", "folders"} {
			g.target = target
			got := g.ask(t, q)
			shown := instances
			if q.Panel == hostsTable { // also the exporter that is down
				shown = append(slices.Clone(instances), fmt.Sprintf("127.0.0.1:%d", ownPort))
			}
			checkForeign(t, q, got, shown)
			byTarget := q.Dashboard == "spillway-target.json" && q.Panel == "instance"
			if target == ".+" && !byTarget {
				checkCounts(t, q, got)
				checkVariables(t, q, got, instances)
			} else if target == "folders" && byTarget {
				checkVariables(t, q, got, instances[:1])
			}
		}
	}
	none.stop()
	g.target = ".+"
	eventually(t, time.Minute, "the exporter that ended is down", func() error {
		for i := range all {
			q := &all[i]
			if want, is := map[string]float64{"Exporters up": 1, "Exporters down": 2, "Exporters down ": 2}[q.Panel+" "+q.Legend]; is {
				if got := g.ask(t, q); len(got) != 1 || got[0].last() != want {
					return fmt.Errorf("%s %s: %+v, want %v", q.Panel, q.Legend, got, want)
				}
			}
		}
		return nil
	})
}

// startForeign serves what every program with Prometheus' client has.
func startForeign(t *testing.T) (address string) {
	t.Helper()
	port := freePort(t)
	address = fmt.Sprintf("127.0.0.1:%d", port)
	writeFile(t, testDir(t)+"/none.yml", "")
	start(t, nil, need(t, "prometheus-process-exporter"), "-web.listen-address="+address, "-procnames=none")
	eventually(t, startLimit, "the other program answers", func() error {
		_, err := get("http://" + address + "/metrics")
		return err
	})
	return address
}

func checkForeign(t *testing.T, q *dashboards.Query, got []line, instances []string) {
	t.Helper()
	for _, l := range got {
		if in := l.Metric["instance"]; in != "" && !slices.Contains(instances, in) {
			t.Errorf("%s, panel %q shows %s, which is not an exporter: %v", q.Dashboard, q.Panel, in, l.Metric)
		}
		if n := l.notNumbers(); n > 0 {
			t.Errorf("%s, panel %q: %d values are NaN: %s", q.Dashboard, q.Panel, n, q.Raw)
		}
	}
}

func checkCounts(t *testing.T, q *dashboards.Query, got []line) {
	t.Helper()
	want, checked := map[string]float64{
		"spillway-overview.json Exporters up": 2, "spillway-overview.json Exporters down": 1, "spillway-self.json Exporters down ": 1, "spillway-self.json Versions ": 1,
	}[strings.Join([]string{q.Dashboard, q.Panel, q.Legend}, " ")]
	if checked && (len(got) != 1 || got[0].last() != want) {
		t.Errorf("%s, panel %q %s: %+v, want %v", q.Dashboard, q.Panel, q.Legend, got, want)
	}
}

// checkVariables wants every target to be found by the variable of every dashboard: also one that is down,
// one of folders alone, the host and what discovery has found.
func checkVariables(t *testing.T, q *dashboards.Query, got []line, instances []string) {
	t.Helper()
	wants := map[string][]string{"job": {"spillway", "everything"}, "instance": instances, "target": {"running", "gone", "folders", "host"}}[q.Panel]
	found := make(map[string]bool)
	for _, l := range got {
		found[l.Metric[q.Panel]] = true
	}
	for _, want := range wants {
		if !found[want] {
			t.Errorf("%s: the variable %s does not offer %s, but %v", q.Dashboard, q.Panel, want, found)
		}
	}
	if q.Panel == "target" && q.Dashboard != "spillway-self.json" && len(found) < 6 {
		t.Errorf("%s: the variable target offers %v: nothing of the host without a configuration", q.Dashboard, found)
	}
}
