//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
	"github.com/spillway-exporter/spillway_exporter/examples/leaky/leak"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// withoutData are the families that some machines cannot have, or this test, each with why, and how to see that
// this is one of them. Everything else has to have data.
var withoutData = []struct {
	metrics string // matches the names
	why     string
	here    func() bool
}{
	{`^spillway_history_last_append_timestamp_seconds$`, "less than the five minutes after which the first is written", func() bool { return true }},
	{`^spillway_host_pressure_`, "a kernel without pressure stall information", missing("/proc/pressure/memory")},
	{`^spillway_host_memory_zfs_arc_`, "a kernel without ZFS", missing("/proc/spl/kstat/zfs/arcstats")},
	{`^spillway_cgroup_pressure_`, "control groups of version 1, or a target in the root group", func() bool { return ownCgroupFile("memory.pressure") == "" }},
	{`^spillway_cgroup_(oom_kills|memory_events)_total$`, "a target in the root group, which has no events", func() bool {
		return ownCgroupFile("memory.events") == "" && ownCgroupFile("memory.oom_control") == ""
	}},
	{`^spillway_process_(exit_reasons_total|ended_peak_bytes|events_lost_total)$`, "a user or a namespace that gets no events of the kernel", func() bool { return !kernelTellsEvents() }},
}

func kernelTellsEvents() bool {
	events, err := proc.OpenEvents()
	if err == nil {
		events.Close()
	}
	return err == nil
}

func missing(path string) func() bool {
	return func() bool {
		_, err := os.Stat(path)
		return err != nil
	}
}

// ownCgroupFile returns the path of a file of the memory control group of this process, which its
// children are in too, or nothing where there is none.
func ownCgroupFile(name string) string {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		field := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(field) != 3 || field[2] == "/" {
			continue
		}
		root := map[string]string{"": "/sys/fs/cgroup", "memory": "/sys/fs/cgroup/memory"}[field[1]]
		if path := filepath.Join(root, field[2], name); root != "" && !missing(path)() {
			return path
		}
	}
	return ""
}

// The whole of the loop in little time: each level is crossed soon, and long before the memory runs
// out, so that the emergency begins with a reading that crossed. Under pressure samples are taken five
// times as often, so the window is long enough for the 49 seconds that a trend needs. The target growing is left to itself, and its heap cannot be read.
const dashboardsConfig = `
mode: enforce
sample_interval: 1s
window: 400
scan_interval: 1s
evaluation_interval: 1s
thresholds: {warning: 3%%, critical: 6%%, emergency: 9%%}
procevents: %[1]t
instance: '%[8]s'
webhook: {token_file: %[2]s}
alertmanager: {pull: ['%[3]s'], push: ['%[3]s']}
rule_files: [%[11]s/*.yml]
windows: {always: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}
watchers: [{on: [normal, warning, critical, emergency], log: true}]
targets:
  - name: leaky
    processes: {match: {cmdline: '%[4]s'}, children: true, thread_names: true}
    memory: {limit: 2GiB, proportional: true}
    heap: {provider: go_pprof, address: '%[5]s', limit: 512MiB}
    app: {url: 'http://%[5]s/stats', map: {held: held, steps_total: steps}}
    probe: {url: 'http://%[5]s/health'}
    caches:
      - {name: scenes, dir: %[6]s/cache, include: ['*.mp4'], max_entries: 200, max_bytes: 32MiB, max_age: 1h, min_free_bytes: 1MiB, min_free_inodes: 10, evict_to: 50%%, min_age: 1s, hit_rate: inferred, min_hit_rate: 99%%}
    temp_dirs:
      - {name: tts, dir: %[6]s/tts, include: ['*.wav', '*.mp3'], max_age: 1h, empty_max_age: 1s, max_files: 20, max_bytes: 32MiB, min_free_bytes: 1MiB, min_free_inodes: 10, min_age: 1s}
    uploads:
      - {name: uploads, dir: %[7]s/uploads, include: ['*.mp4'], max_file_bytes: 1KiB, max_bytes: 4KiB, max_age: 1h}
    logs:
      - {name: app, dir: %[7]s/logs, include: ['*.log'], max_bytes: 1KiB, keep_files: 2}
    playbooks:
      relieve_memory:
        - {do: clean_temp, cooldown: 1s, verify: {after: 1}}
        - {do: evict_cache, to: 10%%, when: [critical, emergency], cooldown: 1s, verify: {after: 2}}
        - {do: capture_evidence, when: [critical, emergency]}
        - {do: collect_garbage, when: [critical, emergency], cooldown: 1s, verify: {after: 2}}
      trim_cache: [{do: evict_cache, cooldown: 1s}]
      clean_temp: [{do: clean_temp, cooldown: 1s}]
    guards:
      trim_cache: {when_open: always, budget: {at_most: 1000, per: 1d}}
  - name: growing
    mode: propose
    temp_dirs: [{name: tts, dir: %[9]s/tts, include: ['*.wav', '*.mp3'], max_age: 1h, max_files: 20, min_age: 1s}]
    playbooks: {clean_temp: [{do: clean_temp, cooldown: 1s}]}
    processes: {match: {cmdline: '%[9]s'}}
    memory: {limit: 2GiB}
    heap: {provider: go_pprof, address: '127.0.0.1:1'}
  - name: stuck
    processes: {match: {cmdline: '%[12]s'}}
    memory: {limit: 8MiB}
    playbooks: {relieve_memory: [{do: restart, via: command, command: [/bin/true], when: [warning, critical, emergency], cooldown: 1s}]}
  - name: java
    mode: dry_run
    processes: {match: {cmdline: '%[10]s'}}
    memory: {limit: 8GiB}
    heap: {provider: jvm}
`

// stage is an exporter of dashboardsConfig under a real Prometheus, with services that leak.
type stage struct {
	e          *exporter
	prometheus *server
	secret     string
	cache      string
	begin      func() *process // starts stuck, a service that is too large from its start on
	stuck      *process
}

// TestDashboardsShowData asks the real Prometheus for every expression of every dashboard while a
// service leaks and is relieved, until each has given data.
func TestDashboardsShowData(t *testing.T) {
	const within = 100 * time.Second
	s := startStage(t, dashboardsConfig, "1s")
	left, err := dashboards.Queries()
	if err != nil {
		t.Fatal(err)
	}
	total, excused, begin := len(left), 0, time.Now()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for round := 0; len(left) > 0; round++ {
		<-tick.C
		s.play(t, round)
		left, excused = ask(t, s.prometheus, left, excused)
		if time.Since(begin) > within {
			break
		}
	}
	t.Logf("%d expressions; %d cannot have data on this machine; all others had some after %s", total, excused, time.Since(begin).Round(time.Second))
	for _, q := range left {
		t.Errorf("%s, panel %q: no data within %s: %s", q.Dashboard, q.Panel, within, q.Raw)
	}
}

func startStage(t *testing.T, config, scrapeEvery string) *stage {
	t.Helper()
	dir := testDir(t)
	leaky := filepath.Join(dir, "leaky")
	if out, err := exec.Command("go", "build", "-o", leaky, "../../examples/leaky").CombinedOutput(); err != nil {
		t.Fatalf("build the service: %v\n%s", err, out)
	}
	service, other, stuck := filepath.Join(dir, "service"), filepath.Join(dir, "other"), filepath.Join(dir, "stuck")
	writeFiles(t, filepath.Join(dir, "uploads"), "video-%d.mp4", 3, 2048, 2*time.Hour)
	writeFiles(t, filepath.Join(dir, "logs"), "app-%d.log", 3, 2048, 0)
	tokenFile, secret := token(t, dir)
	exporterAddr, serviceAddr := fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	am := startAlertmanager(t, dir, exporterAddr, tokenFile)
	// The exporter is there before the service, so that it sees the service start.
	e := startExporterAt(t, exporterAddr, dir, fmt.Sprintf(config,
		kernelTellsEvents(), tokenFile, am.url, regexp.QuoteMeta(service), serviceAddr, service, dir, exporterAddr, regexp.QuoteMeta(other), fullJava(dir, "leak"), rulesWithMistake(t, dir), regexp.QuoteMeta(stuck)))
	prometheus := startPrometheusEvery(t, scrapeEvery, dir, e.addr, am, "127.0.0.1:1")
	eventually(t, startLimit, "the exporter has seen that the service does not run", func() error {
		m, err := e.scrape()
		if n, ok := m.sum("spillway_processes", "target=leaky"); err == nil && (!ok || n != 0) {
			err = errors.New("no sample yet")
		}
		return err
	})
	paths := startLeak(t, leaky, service, serviceAddr)
	startLeak(t, leaky, service+"/second", "127.0.0.1:0") // whose heap is not read
	startLeak(t, leaky, other, "127.0.0.1:0")
	begin := func() *process { return start(t, nil, leaky, "--dir="+stuck, "--address=127.0.0.1:0") }
	startFullJava(t, dir, "leak") // a heap that is judged by what lives
	// Processes that come, go and fail.
	start(t, nil, "sh", "-c", `while :; do sleep 1.5; sh -c "exit 3"; done`, service)
	return &stage{e: e, prometheus: prometheus, secret: secret, cache: paths.CacheDir, begin: begin, stuck: begin()}
}

// play is what a user of the service, an Alertmanager and a person do in a round.
func (s *stage) play(t *testing.T, round int) {
	t.Helper()
	readSome(s.cache)
	if round%40 == 39 { // a restart that no one asked for
		s.stuck.cmd.Process.Kill()
		<-s.stuck.done
		s.stuck = s.begin()
	}
	body := strings.ReplaceAll(notification("leaky", "clean_temp", round/2, 1), "2026-01-01T00:00:00Z", time.Now().UTC().Format(time.RFC3339))
	post(t, s.e.url+"/api/v1/webhook", "application/json", s.secret, body)
	denyAll(t, s.e, s.secret)
}

// denyAll denies the proposals that wait.
func denyAll(t *testing.T, e *exporter, secret string) {
	t.Helper()
	text, err := get(e.url + "/api/v1/proposals")
	if err != nil {
		t.Fatal(err)
	}
	var waiting struct {
		Proposals []struct {
			ID string `json:"id"`
		} `json:"proposals"`
	}
	if err := json.Unmarshal([]byte(text), &waiting); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, p := range waiting.Proposals {
		post(t, e.url+"/api/v1/proposals/"+p.ID+"/deny", "application/json", secret, `{"by": "test"}`)
	}
}

// rulesWithMistake returns a folder with the rules that ship with the exporter, and with one that fails at each
// evaluation.
func rulesWithMistake(t *testing.T, dir string) string {
	t.Helper()
	dir = filepath.Join(dir, "rules")
	bundle, err := os.ReadFile("../../rules/spillway.rules.yml")
	if err := errors.Join(err, os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "bundle.yml"), string(bundle))
	writeFile(t, filepath.Join(dir, "mistake.yml"), "groups: [{name: mistake, rules: [{record: mistake, expr: spillway_threshold_ratio * on () spillway_threshold_ratio}]}]\n")
	return dir
}

func startLeak(t *testing.T, program, dir, address string) leak.Paths {
	t.Helper()
	p := start(t, nil, program, "--dir="+dir, "--address="+address)
	var paths leak.Paths
	eventually(t, startLimit, "the service says where it is", func() error {
		line, _, ok := strings.Cut(p.out.String(), "\n")
		if !ok {
			return errors.New("no line of JSON yet")
		}
		return json.Unmarshal([]byte(line), &paths)
	})
	return paths
}

// readSome opens a few entries of the cache, as a service that uses it would.
func readSome(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for i := range min(len(entries), 5) {
		os.ReadFile(filepath.Join(dir, entries[i].Name()))
	}
}

// ask returns the queries that have no data yet, without those that cannot have any here.
func ask(t *testing.T, prometheus *server, queries []dashboards.Query, excused int) (left []dashboards.Query, _ int) {
	t.Helper()
	for _, q := range queries {
		found, err := hasData(prometheus, q.Raw)
		switch {
		case err != nil:
			t.Fatalf("%s, panel %q: %v", q.Dashboard, q.Panel, err)
		case found:
		case cannotHaveData(t, &q):
			excused++
		default:
			left = append(left, q)
		}
	}
	return left, excused
}

func cannotHaveData(t *testing.T, q *dashboards.Query) bool {
	t.Helper()
	for _, name := range q.Metrics() {
		for _, w := range withoutData {
			if regexp.MustCompile(w.metrics).MatchString(name) && w.here() {
				t.Logf("%s, panel %q: no data here: %s", q.Dashboard, q.Panel, w.why)
				return true
			}
		}
	}
	return false
}

// hasData reports whether the expression, with its variables set as Grafana sets them, has had a
// value in the last minutes, for one of the targets where it is about one.
func hasData(prometheus *server, raw string) (bool, error) {
	for _, one := range []string{"leaky", "growing", "java", "stuck"} {
		expr := strings.NewReplacer("$__rate_interval", "15s", "$__range", "2m", "$cluster", ".*", "$namespace", ".*", "$job", ".+", "$instance", ".+",
			`target="$target"`, `target="`+one+`"`, "$target", ".+").Replace(raw)
		found, err := hasValues(prometheus, expr)
		if found || err != nil {
			return found, err
		}
		if !strings.Contains(raw, `target="$target"`) {
			break
		}
	}
	return false, nil
}

// hasValues asks for a range, since a panel of what is now shows what was when it was looked at.
func hasValues(prometheus *server, expr string) (bool, error) {
	now := time.Now()
	args := url.Values{"query": {expr}, "step": {"2"}, "start": {strconv.FormatInt(now.Add(-2*time.Minute).Unix(), 10)}, "end": {strconv.FormatInt(now.Unix(), 10)}}
	resp, err := client.PostForm(prometheus.url+"/api/v1/query_range", args)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Values [][2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("%s: %s: %s", expr, resp.Status, answer.Error)
	}
	for _, r := range answer.Data.Result {
		for _, v := range r.Values {
			if v[1] != "NaN" {
				return true, nil
			}
		}
	}
	return false, nil
}
