package app

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

// TestJudged: which rules are evaluated here, and which targets are judged at a crossing.
func TestJudged(t *testing.T) {
	const (
		acts  = "targets: [{name: a, processes: {match: {comm: x}}, temp_dirs: [{name: t, dir: /srv/t, include: ['*'], max_age: 1h}]}]\n"
		looks = "targets: [{name: a, processes: {match: {comm: x}}}]\n"
		off   = "targets: [{name: a, processes: {match: {comm: x}}, temp_dirs: [{name: t, dir: /srv/t, include: ['*'], max_age: 1h}], playbooks: {relieve_memory: []}}]\n"
	)
	for _, tc := range []struct {
		name, config string
		groups       string // "all", "reflex", "none"
		crosses      bool
	}{
		{"standalone", acts, "all", true},
		{"standalone without reflex", "reflex: false\n" + acts, "all", false},
		{"standalone without a playbook", looks, "all", false},
		{"Prometheus", "standalone: false\n" + acts, "reflex", true},
		{"Prometheus in mode enforce", "standalone: false\nmode: enforce\n" + acts, "reflex", true},
		{"Prometheus alone", "standalone: false\nreflex: false\n" + acts, "none", false},
		{"Prometheus without a playbook", "standalone: false\n" + looks, "none", false},
		{"Prometheus, the playbook switched off", "standalone: false\n" + off, "none", false},
		{"Prometheus, a target without processes", "standalone: false\n" + strings.Replace(acts, "processes: {match: {comm: x}}, ", "", 1), "none", false},
		{"Prometheus without targets", "standalone: false\ndiscover: {by: comm, top: 20}\n", "none", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg, err := config.Parse("x.yml", []byte(tc.config))
			if cfg == nil {
				t.Fatal(err)
			}
			set, err := setup.LoadRules(cfg, new(config.Checks))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := JudgesReflex(cfg, set), tc.groups == "reflex"; got != want {
				t.Errorf("check says reflex %v, want %v", got, want)
			}
			g := &graph{cfg: cfg, targets: playbooksOf(cfg)}
			g.judge(cfg, set)
			groups := "none"
			switch {
			case g.judged == nil:
			case g.judged.Len() == set.Len():
				groups = "all"
			case g.judged.Len() == set.Only(rules.Reflex).Len():
				groups = "reflex"
			}
			if groups != tc.groups || g.reflex["a"] != tc.crosses {
				t.Errorf("%s are evaluated here, a crossing is judged: %v; want %s, %v", groups, g.reflex["a"], tc.groups, tc.crosses)
			}
		})
	}
}

// TestReflexActsBeforePrometheus: with standalone off, an emergency between two evaluations leads to
// a run at once; the page and the API say that it is judged here, and a reload switches it off.
func TestReflexActsBeforePrometheus(t *testing.T) {
	dir := realDir(t)
	mark := fmt.Sprintf("300.%d", time.Now().UnixNano())
	tts := filepath.Join(dir, "tts")
	oldFile(t, filepath.Join(tts, "old.wav"))
	text := `
mode: enforce
standalone: false
sample_interval: 1s
evaluation_interval: 5m
targets:
  - name: svc
    processes: {match: {cmdline: '` + mark + `'}}
    memory: {limit: 1MiB, basis: rss}
    temp_dirs: [{name: tts, dir: ` + tts + `, include: ['*.wav'], max_age: 1h, age_by: mtime, min_age: 1s}]
`
	a := startApp(t, text)
	eventually(t, "the rules were evaluated once", func() bool {
		e := a.evaluator.Load()
		return e != nil && e.Rules()[0].State != "unknown"
	})
	cmd := exec.Command("sleep", mark)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var read time.Time
	eventually(t, "the process was read", func() bool {
		v, at, ok := a.parts.store.Value(metric.MemoryUsedRatio, "svc")
		read = at
		return ok && v >= 0.95
	})
	a.crossed(collector.Crossing{Target: "svc", Signal: collector.SignalMemory, To: series.LevelEmergency, At: read})
	var run journal.Record
	eventually(t, "a run has ended", func() bool {
		records, _, err := a.journal.Query(journal.Filter{Playbook: "relieve_memory"})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(records, func(r journal.Record) bool { return r.Step == 0 && r.Outcome != "" })
		if i >= 0 {
			run = records[i]
		}
		return i >= 0
	})
	if run.Trigger != "standalone" || run.Alert != "SpillwayMemoryEmergency" || run.Files != 1 || run.Level != "emergency" {
		t.Errorf("the run: %+v", run)
	}
	if late := run.Time.Sub(read); late > 3*time.Second {
		t.Errorf("the run began %v after the reading", late)
	}
	_, body := fetch(t, a.url("/metrics"))
	if want := metric.Reaction.Name + `_count{level="emergency"} 1`; !strings.Contains(body, want) {
		t.Errorf("no %s in\n%s", want, grep(body, metric.Reaction.Name))
	}
	if _, body := fetch(t, a.url("/api/v1/alerts")); !strings.Contains(body, `"reflex":true`) || !strings.Contains(body, "SpillwayMemoryRunningOut") || strings.Contains(body, "SpillwayMemoryWarning") {
		t.Errorf("the API says %s", body)
	}
	if _, body := fetch(t, a.url("/")); !strings.Contains(body, "emergencies here: 1 firing") {
		t.Errorf("the page does not say that emergencies are judged here")
	}

	reloadAs(t, a, "reflex: false"+text)
	if _, body := fetch(t, a.url("/api/v1/alerts")); strings.Contains(body, `"reflex":true`) || strings.Contains(body, "SpillwayMemoryRunningOut") {
		t.Errorf("without reflex the API says %s", body)
	}
	if a.reflexes("svc") {
		t.Error("a crossing is judged although reflex is off")
	}
}
