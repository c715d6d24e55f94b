//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// hostsTable is the panel with a line for each exporter, also for those that are down.
const hostsTable = "Hosts, the worst first"

const (
	hostCount   = 100
	deadHosts   = 5  // of these
	hostTargets = 5  // of each
	linesAtMost = 19 // of a panel of a fleet, by all its queries
)

// values are what the labels of the reference can be.
var values = map[string][]string{
	"mode": {"user", "system"}, "kind": {"voluntary", "involuntary"}, "state": {"running", "sleeping", "waiting"},
	"reason": {"exit_0", "SIGKILL", "cooldown", "in_use", "instance", "pressure"}, "resource": {"cpu", "memory", "io"}, "event": {"high", "max"},
	"signal": {"memory", "heap"}, "level": {"warning", "critical", "emergency"}, "runtime": {"node", "jvm"}, "cache": {"a", "b"}, "dir": {"a", "b"},
	"source": {"config", "process", "heap", "cache", "temp", "probe"}, "basis": {"rss", "cgroup"}, "name": {"", "one", "two"},
	"lane": {"process", "dirs", "heap"}, "action": {"clean_temp", "evict_cache", "collect_garbage", "http", "command"}, "trigger": {"webhook", "schedule"},
	"outcome": {"done", "failed", "dry_run", "relieved", "ineffective"}, "playbook": {"relieve_memory", "trim_cache", "clean_temp"},
	"disposition": {"accepted", "duplicate", "resolved"}, "code": {"200", "401", "503"}, "provider": {"node_inspector", "jvm", "evaluator", "watch"},
	"address": {"am1:9093", "am2:9093"}, "group": {"g"}, "rule": {"A", "B", "C"}, "alertname": {"SpillwayMemoryWarning", "SpillwayTargetDown", "SpillwaySlowStart"},
	"severity": {"warning", "critical"}, "alertstate": {"firing"}, "slo": {"memory", "cache", "startup"},
}

var referenceLine = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (gauge|counter|histogram) \\| ([a-z_, ]*) \\|")

// family is one of the reference, of which every host has some series.
type family struct {
	name, kind string
	labels     []string
}

func referenceFamilies(t *testing.T) []family {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := []family{
		{"ALERTS", "gauge", []string{"alertname", "alertstate", "severity", "target"}},
		{"target:spillway_slo:met", "gauge", []string{"target", "slo"}},
		{"spillway_exporter_build_info", "gauge", nil},
		{"process_cpu_seconds_total", "counter", nil},
	}
	for _, name := range []string{"process_resident_memory_bytes", "process_open_fds", "go_goroutines", "go_memstats_heap_inuse_bytes", "go_memstats_sys_bytes"} {
		out = append(out, family{name, "gauge", nil})
	}
	for _, m := range referenceLine.FindAllStringSubmatch(string(text), -1) {
		if m[1] != "spillway_exporter_build_info" {
			out = append(out, family{m[1], m[2], strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' })})
		}
	}
	if len(out) < 110 {
		t.Fatalf("%d families: the reference is read wrongly", len(out))
	}
	return out
}

// chance is a number from 0 to 1 that is always the same for the same parts.
func chance(parts ...any) float64 {
	h := fnv.New64a()
	fmt.Fprint(h, parts...)
	return float64(h.Sum64()%1_000_003) / 1_000_003
}

// expose writes what one host has now: of each family some of the combinations of its labels, which over
// all hosts are all of them, and values that change with each scrape.
func expose(out *bytes.Buffer, families []family, host int, now time.Time) {
	for _, f := range families {
		targets := []string{""}
		if len(f.labels) > 0 && strings.Contains(strings.Join(f.labels, " "), "target") {
			targets = targets[:0]
			for i := range hostTargets {
				targets = append(targets, fmt.Sprintf("svc-%d", i))
			}
			if f.name == "spillway_memory_used_ratio" {
				targets = append(targets, "host")
			}
		}
		for i, target := range targets {
			seen := make(map[string]bool)
			for k := range combinations(f.name) {
				set := labelSet(f.labels, target, host+7*i, k)
				if !seen[set] {
					seen[set] = true
					sample(out, &f, set, host, now)
				}
			}
		}
	}
}

func combinations(name string) int {
	if name == "spillway_threshold_ratio" {
		return 6
	}
	return 2
}

func labelSet(labels []string, target string, seed, k int) string {
	var parts []string
	for i, l := range labels {
		v := target
		if l != "target" {
			all := values[l]
			if len(all) == 0 {
				all = []string{"x"}
			}
			n := seed + k*(i+1)
			if l == "signal" {
				n = k / 3
			}
			v = all[n%len(all)]
		}
		parts = append(parts, fmt.Sprintf("%s=%q", l, v))
	}
	return strings.Join(parts, ",")
}

func sample(out *bytes.Buffer, f *family, set string, host int, now time.Time) {
	size := chance(f.name, set, host)
	running := float64(now.UnixMilli()) / 1000 * (0.5 + size)
	switch f.kind {
	case "histogram":
		for _, le := range []string{"0.01", "0.1", "1", "+Inf"} {
			fmt.Fprintf(out, "%s_bucket{%s} %v\n", f.name, strings.Trim(set+`,le="`+le+`"`, ","), math.Floor(running)*float64(len(le)))
		}
	case "counter":
		fmt.Fprintf(out, "%s{%s} %v\n", f.name, set, running)
	default:
		fmt.Fprintf(out, "%s{%s} %v\n", f.name, set, gaugeValue(f.name, set, host, now))
	}
}

func gaugeValue(name, set string, host int, now time.Time) float64 {
	r := chance(name, set, host, now.Unix()/5)
	switch {
	case strings.HasSuffix(name, "_info"), name == "ALERTS":
		return 1
	case strings.HasSuffix(name, "_timestamp_seconds"), strings.HasSuffix(name, "_start_time_seconds"):
		return float64(now.Unix()) - 1000*r
	case name == "spillway_memory_level":
		return math.Floor(4 * r)
	case strings.HasSuffix(name, "_success"), strings.HasSuffix(name, "_writable"), strings.HasSuffix(name, "_up"), name == "spillway_processes":
		return math.Floor(2 * r)
	case strings.HasSuffix(name, "_ratio"):
		return r
	}
	return 1e9 * r
}

// TestPanelsOfHundredHosts: the hosts are in two clusters, and have the same names in both. No panel about a fleet has
// twenty lines, however many hosts there are and whatever their values do; none has a line of NaN, and none counts what is
// not an exporter.
func TestPanelsOfHundredHosts(t *testing.T) {
	families := referenceFamilies(t)
	exposed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var host int
		if _, err := fmt.Sscanf(r.URL.Path, "/host/%d", &host); err != nil || host < deadHosts {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		var out bytes.Buffer
		expose(&out, families, host, time.Now())
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.Write(out.Bytes())
	}))
	defer exposed.Close()
	address := strings.TrimPrefix(exposed.URL, "http://")
	var hosts strings.Builder
	for i := range hostCount {
		fmt.Fprintf(&hosts, "      - {targets: ['%s'], labels: {cluster: '%c', instance: 'host-%03d', __metrics_path__: /host/%d}}\n", address, "ab"[i%2], i/2, i)
	}
	g := &grafana{job: ".+", instance: ".+", target: ".+", span: 40 * time.Second, step: 5 * time.Second}
	g.prometheus = startPrometheusWith(t, testDir(t), fmt.Sprintf("global: {scrape_interval: 5s}\nscrape_configs:\n  - job_name: spillway\n    static_configs:\n%s"+
		"  - {job_name: mysql, static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]}\n", hosts.String()))
	eventually(t, 3*time.Minute, "each host has been scraped ten times", func() error {
		lines, err := g.query(`min(count_over_time(spillway_exporter_build_info[5m])) > 9 and count(spillway_exporter_build_info) == 95`, true)
		if err == nil && len(lines) == 0 {
			err = fmt.Errorf("not yet")
		}
		return err
	})
	checkFleetPanels(t, g)
	checkOneCluster(t, g)
}

// checkOneCluster chooses one of the two clusters, whose hosts have the same names.
func checkOneCluster(t *testing.T, g *grafana) {
	t.Helper()
	one := *g
	one.cluster, one.target, one.at = "b", "svc-1", time.Now()
	for _, q := range everyQuery(t) {
		got := one.ask(t, &q)
		for _, l := range got {
			if cluster := l.Metric["cluster"]; cluster != "" && cluster != "b" && q.Panel != "cluster" {
				t.Errorf("%s, panel %q shows another cluster: %v", q.Dashboard, q.Panel, l.Metric)
			}
		}
		if q.Panel == "cluster" && len(got) != hostCount-deadHosts {
			t.Errorf("%s: the variable cluster has %d series to choose from, want those of %d exporters", q.Dashboard, len(got), hostCount-deadHosts)
		}
		if q.Panel == "Exporters" && q.Legend == "up" && (len(got) != 1 || got[0].last() != 48) {
			t.Errorf("exporters that are up in one cluster: %+v, want 48", got)
		}
	}
}

func checkFleetPanels(t *testing.T, g *grafana) {
	t.Helper()
	lines, worst := make(map[string]map[string]bool), 0 // by panel
	all := everyQuery(t)
	g.at = time.Now() // as all queries of a panel have it
	for i := range all {
		q := &all[i]
		one := *g
		fleet := q.Dashboard != "spillway-target.json"
		if !fleet {
			one.cluster, one.instance, one.target = "a", "host-025", "svc-1"
		}
		got := one.ask(t, q)
		for _, l := range got {
			if n := l.notNumbers(); n > 0 {
				t.Errorf("%s, panel %q: %d values of %v are NaN: %s", q.Dashboard, q.Panel, n, l.Metric, q.Raw)
			}
			if job := l.Metric["job"]; job != "" && job != "spillway" {
				t.Errorf("%s, panel %q shows another job: %v", q.Dashboard, q.Panel, l.Metric)
			}
		}
		if variable := q.Panel == "cluster" || q.Panel == "namespace" || q.Panel == "instance" || q.Panel == "target" || q.Panel == "job"; fleet && !variable {
			panel := q.Dashboard + " " + q.Panel
			if lines[panel] == nil {
				lines[panel] = make(map[string]bool)
			}
			for _, l := range got {
				delete(l.Metric, "__name__") // queries without a legend are columns of a table
				if q.Panel == hostsTable {
					delete(l.Metric, "target") // a column of the host's line, as the version
				}
				lines[panel][fmt.Sprint(q.Legend, l.Metric)] = true
			}
			worst = max(worst, len(lines[panel]))
		}
		switch q.Legend + " " + q.Panel {
		case "up Exporters", "down Exporters":
			want := map[string]float64{"up": hostCount - deadHosts, "down": deadHosts}[q.Legend]
			if len(got) != 1 || got[0].last() != want {
				t.Errorf("%s exporters: %+v, want %v", q.Legend, got, want)
			}
		}
	}
	for panel, shown := range lines {
		if len(shown) > linesAtMost {
			t.Errorf("%s has %d lines for %d hosts, want at most %d", panel, len(shown), hostCount, linesAtMost)
		}
	}
	t.Logf("%d expressions, %d panels of the fleet, at most %d lines in one", len(all), len(lines), worst)
}
