package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/examples/leaky/leak"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestDemoShow prints each run and each step once, when it has ended, changes of the level at once
// and the memory now and then, and sums the runs up.
func TestDemoShow(t *testing.T) {
	open := realDir(t) + "/open.wav"
	writeTest(t, open, "x")
	var out bytes.Buffer
	d := &demoShow{w: &out, start: time.Now(), seen: make(map[string]string), paths: leak.Paths{OpenFile: open}}
	f := func(want string, show func()) {
		t.Helper()
		out.Reset()
		show()
		if got := regexp.MustCompile(`(?m)^ +[0-9.]+s  `).ReplaceAllString(out.String(), ""); got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
	}
	step := journal.Record{ID: "2", Step: 1, Action: "clean_temp", Files: 3, FreedBytes: 2048, Skipped: map[string]int64{"in_use": 1}}
	collect := journal.Record{ID: "3", Step: 2, Action: "collect_garbage", Before: "90%", After: "20%", Outcome: "done"}
	run := journal.Record{ID: "1", Time: d.start, Playbook: "relieve_memory", Alert: "SpillwayMemoryHigh", Before: "90%", After: "20%", Files: 3, Outcome: "relieved"}
	f("", func() { d.record(&step) })
	step.Outcome = "done"
	f("clean_temp  done: 3 files, 2KiB freed; left alone: in_use 1\n", func() { d.record(&step); d.record(&step) })
	f("collect_garbage done: 90% -> 20%\n", func() { d.record(&collect) })
	capture := journal.Record{ID: "4", Step: 3, Action: "capture_evidence", Outcome: "done", Detail: "+3MiB since 18:02"}
	f("capture_evidence done: +3MiB since 18:02\n", func() { d.record(&capture) })
	f("run         relieve_memory relieved: 90% -> 20%\n", func() { d.record(&run); d.record(&run) })

	at := func(level series.Level, used float64) *health.Target {
		ratio, limit := used/1024, 1024.0
		return &health.Target{UsedBytes: &used, LimitBytes: &limit, UsedRatio: &ratio, Level: &level}
	}
	f("", func() { d.memory(&health.Target{}) })
	f("memory      512B of 1KiB (50.0%), normal\n", func() { d.memory(at(series.LevelNormal, 512)); d.memory(at(series.LevelNormal, 600)) })
	f("level       normal -> warning\nmemory      768B of 1KiB (75.0%), warning\n", func() { d.memory(at(series.LevelWarning, 768)) })

	out.Reset()
	d.table()
	for _, want := range []string{"What was done (peak 768B):", "0s     relieve_memory  SpillwayMemoryHigh  90%     20%    3      0B     relieved", "open.wav is still there, since the service has it open."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if err := os.Remove(open); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	d.runs = nil
	d.table()
	if !strings.Contains(out.String(), "open.wav is GONE") || !strings.Contains(out.String(), "(no run ended: the demo was stopped early)") {
		t.Errorf("%s", &out)
	}
}

// TestDemoNamesTheLeak: the demo ends with the function and the line, or with why they are not known.
func TestDemoNamesTheLeak(t *testing.T) {
	var out bytes.Buffer
	d := &demoShow{w: &out}
	at := time.Date(2026, 1, 2, 18, 2, 0, 0, time.Local)
	var all []evidence.Profile
	for n := range 6 {
		size := int64(n+1) << 20
		all = append(all, evidence.Profile{
			ID: fmt.Sprint(n), Target: demoTarget, Kind: evidence.KindFunction, Time: at.Add(time.Duration(n) * time.Second), Total: size + 30<<20,
			Rows: []evidence.Row{{Name: "a/cache", File: "cache.go", Line: 1, Bytes: 30 << 20}, {Name: "example.org/leak.remember", File: "leak/leak.go", Line: 170, Bytes: size}},
		})
	}
	f := func(n int, want string) {
		t.Helper()
		out.Reset()
		if d.verdict(all[:n]); out.String() != want {
			t.Errorf("of %d captures %q, want %q", n, &out, want)
		}
	}
	f(0, "\nWhat leaks: not known: profiles cannot be compared: nothing was captured\n")
	f(3, "\nWhat leaks: not known yet: 3 captures of this start, and it takes 5 to distinguish a leak from a cache that breathes.\n")
	f(6, "\nWhat leaks: leak.remember leak/leak.go:170. It holds 5MiB more than at 18:02:00, 100% of the growth over 6 captures.\n")
}

// TestDemoService says where it leaks, and ends when its standard input does.
func TestDemoService(t *testing.T) {
	t.Cleanup(func() { signal.Reset(syscall.SIGINT) }) // the service ignores it
	dir := realDir(t) + "/service"
	r := runLine(t, "demo-service", "--dir="+dir)
	var paths leak.Paths
	if err := json.Unmarshal([]byte(r.out), &paths); err != nil || r.code != ExitOK || !strings.HasPrefix(paths.CacheDir, dir) || paths.Address == "" {
		t.Errorf("%+v, %v", r, err)
	}
	have(t, paths.OpenFile, true)
}

// TestDemoConfig is one that the exporter takes.
func TestDemoConfig(t *testing.T) {
	dir := realDir(t)
	cfg, err := config.Parse("demo.yml", []byte(demoText(dir, dir+"/service", leak.Paths{Address: "127.0.0.1:6060", CacheDir: dir + "/cache", TempDir: dir + "/temp"})))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Targets[0].Name != demoTarget || cfg.Targets[0].Mode != config.Enforce {
		t.Errorf("%+v", cfg.Targets[0])
	}
}
