//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	pictures "github.com/spillway-exporter/spillway_exporter/internal/picture"
)

// picture is some rows of a dashboard.
type picture struct {
	name, dashboard string

	Rows      []string          `json:"rows"`
	Panels    []string          `json:"panels,omitempty"` // only these; nil is all of the rows
	Seconds   int               `json:"seconds"`
	Step      int               `json:"step"`
	Variables map[string]string `json:"variables,omitempty"`
}

// wanted returns where the pictures go: .ci/draw-dashboards says it. They take minutes.
func wanted(t *testing.T) (dir string) {
	t.Helper()
	dir = os.Getenv("SPILLWAY_DRAW")
	if dir == "" || os.Getenv("SPILLWAY_DRAW_MODULES") == "" {
		t.Skip("pictures are drawn by make draw-dashboards")
	}
	return dir
}

// draw asks for the panels and writes the page as Chromium shows it.
func draw(t *testing.T, prometheus *server, p *picture) {
	t.Helper()
	spec, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(wanted(t), p.name+".html")
	out, err := exec.Command(need(t, "node"), "../../.ci/draw-dashboards.mjs", os.Getenv("SPILLWAY_DRAW_MODULES"), prometheus.url, "../../dashboards/"+p.dashboard+".json", page, string(spec)).Output()
	var width, height int
	if n, _ := fmt.Sscanf(string(out), "%d %d", &width, &height); err != nil || n != 2 {
		t.Fatalf("%s: %v\n%s", p.name, err, out)
	}
	shot := strings.TrimSuffix(page, ".html") + ".png"
	said, err := exec.Command(need(t, "chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--virtual-time-budget=5000", "--screenshot="+shot, fmt.Sprintf("--window-size=%d,%d", width, height), "file://"+page).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, said)
	}
	raw, err := os.ReadFile(shot)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = pictures.Small(raw); err == nil {
		err = os.WriteFile(shot, raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wait lets the time pass that a picture shows, and does something in each round of half a second.
func wait(span time.Duration, each func(round int)) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for round := 0; time.Duration(round) < 2*span/time.Second; round++ {
		<-tick.C
		each(round)
	}
}

// TestDrawOneHost draws the dashboards of one exporter, whose services leak and are relieved.
func TestDrawOneHost(t *testing.T) {
	wanted(t)
	client.Timeout = 3 * time.Minute // pictures are drawn on busy hosts too
	t.Cleanup(func() { client.Timeout = 5 * time.Second })
	// Levels that a service passes one after the other while it leaks.
	config := strings.NewReplacer("{warning: 3%%, critical: 6%%, emergency: 9%%}", "{warning: 20%%, critical: 35%%, emergency: 50%%}", "limit: 8MiB", "limit: 512MiB",
		"sample_interval: 1s", "sample_interval: 5s", "scan_interval: 1s", "scan_interval: 5s", "evaluation_interval: 1s", "evaluation_interval: 5s", "window: 400", "window: 100").Replace(dashboardsConfig)
	s := startStage(t, config, "10s")
	const span = 240
	wait(span*time.Second, func(round int) {
		if round%40 == 0 {
			s.play(t, round)
		}
	})
	one := map[string]string{"target": "leaky"}
	for _, p := range []picture{
		{name: "dashboard-overview-1", dashboard: "spillway-overview", Rows: []string{"Now", "Nearest to their limits", "Hosts", "Fleet"}},
		{name: "dashboard-rows-1", dashboard: "spillway-overview", Rows: []string{"Reaction time", "Restarts", "Proposals, pauses and budgets", "Evidence"}},
		{name: "dashboard-target", dashboard: "spillway-target", Rows: []string{"Now", "Memory", "Actions"}, Variables: one},
		{name: "dashboard-target-rows", dashboard: "spillway-target", Rows: []string{"Heap", "Caches", "Temporary files"}, Variables: one},
		{name: "dashboard-self", dashboard: "spillway-self", Rows: []string{"Now", "Sampler", "Sources", "Dispatch and journal"}},
	} {
		p.Seconds, p.Step = span, 10
		draw(t, s.prometheus, &p)
	}
}

// The services of a fleet: of different sizes against one limit, and each with a folder that fills.
const drawnConfig = `
mode: %[1]s
sample_interval: 5s
scan_interval: 5s
evaluation_interval: 5s
targets:
  - name: %[2]s
    processes: {match: {cmdline: '^sh -c .*%[3]s'}}
    memory: {limit: 24MiB}
    temp_dirs: [{name: tts, dir: %[3]s, include: ['*.wav'], max_age: 1h, max_files: 20, max_bytes: 64MiB, min_age: 1s}]
    playbooks: {clean_temp: [{do: clean_temp, cooldown: 10s}]}
`

// TestDrawHundredHosts draws the overview of a hundred real exporters in two clusters, of which three are down. Each
// watches a service of its own.
func TestDrawHundredHosts(t *testing.T) {
	wanted(t)
	var jobs strings.Builder
	folders := make([]string, 0, hostCount)
	for i := range hostCount {
		dir := testDir(t)
		folder := filepath.Join(dir, "tts")
		writeFiles(t, folder, "first-%d.wav", 3+i%9, 40_000, 2*time.Minute)
		address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		if i%40 != 7 {
			grow := "sleep 100000"
			if i%11 == 3 { // leaks
				grow = `while :; do sleep 4; x="$x$(head -c 250000 /dev/zero | tr "\0" x)"; done`
			}
			p := start(t, nil, "sh", "-c", fmt.Sprintf(`x=$(head -c %d /dev/zero | tr "\0" x); %s; echo "$x" %s`, 500_000+i*60_000, grow, folder))
			t.Cleanup(p.kill) // with the sleep that it waits for
			mode := []string{"enforce", "enforce", "enforce", "dry_run", "propose"}[i%5]
			address = startExporterAt(t, "127.0.0.1:0", dir, fmt.Sprintf(drawnConfig, mode, []string{"api", "speech", "render"}[i%3], regexp.QuoteMeta(folder))).addr
			folders = append(folders, folder)
		}
		fmt.Fprintf(&jobs, "      - {targets: ['%s'], labels: {cluster: %s, instance: 'media-%02d:10042'}}\n", address, []string{"east", "west"}[i%2], i)
	}
	rules, err := filepath.Abs("../../rules/spillway.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	prometheus := startPrometheusWith(t, testDir(t), fmt.Sprintf("global: {scrape_interval: 5s, evaluation_interval: 5s}\nrule_files: [%s]\nscrape_configs:\n  - job_name: spillway\n    static_configs:\n%s", rules, jobs.String()))
	const span = 180
	wait(span*time.Second, func(round int) {
		folder := folders[round*37%len(folders)]
		name := filepath.Join(folder, fmt.Sprintf("%d-%%d.wav", round))
		writeFiles(t, folder, filepath.Base(name), 6, 40_000+1000*(round%50), 10*time.Second)
	})
	draw(t, prometheus, &picture{name: "dashboard-overview-100", dashboard: "spillway-overview", Rows: []string{"Now", "Nearest to their limits", "Hosts", "Fleet", "Actions"}, Seconds: span, Step: 5})
	draw(t, prometheus, &picture{name: "dashboard-self-100", dashboard: "spillway-self", Rows: []string{"Now", "Sampler", "What an exporter costs"}, Seconds: span, Step: 5})
}
