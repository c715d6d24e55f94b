package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/watch"
)

// sleeper is a process that a target can match by its arguments.
func sleeper(t *testing.T) (cmd *exec.Cmd, mark string) {
	t.Helper()
	mark = fmt.Sprintf("300.%d", time.Now().UnixNano())
	cmd = exec.Command("sleep", mark)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, mark
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within 20 seconds: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestLastProcessEnds: the playbook on_exit runs once when the last process of a target has ended.
func TestLastProcessEnds(t *testing.T) {
	dir := realDir(t)
	tts := filepath.Join(dir, "tts")
	writeTest(t, filepath.Join(tts, "old.wav"), "x")
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(filepath.Join(tts, "old.wav"), old, old); err != nil {
		t.Fatal(err)
	}
	cmd, mark := sleeper(t)
	a := startApp(t, `
mode: enforce
standalone: false
sample_interval: 1s
targets:
  - name: svc
    processes: {match: {cmdline: '`+mark+`'}}
    temp_dirs: [{name: tts, dir: `+tts+`, include: ['*.wav'], max_age: 1h, age_by: mtime, min_age: 1s}]
  - name: idle
    processes: {match: {cmdline: 'no process has these arguments'}}
    temp_dirs: [{name: tts, dir: `+dir+`/other, include: ['*.wav'], max_age: 1h}]
`)
	exits := func() []journal.Record {
		records, _, err := a.journal.Query(journal.Filter{Playbook: "on_exit"})
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	if got := exits(); len(got) != 0 {
		t.Fatalf("before any end: %+v", got)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	eventually(t, "the run has ended", func() bool {
		got := exits()
		return len(got) == 2 && got[1].Outcome != ""
	})
	if got := exits()[1]; got.Trigger != "exit" || got.Target != "svc" || got.Outcome != "relieved" || got.Files != 1 || got.Mode != "enforce" {
		t.Errorf("recorded %+v", got)
	}
	if _, err := os.Stat(filepath.Join(tts, "old.wav")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	// Twice within its cooldown is once.
	a.parts.exits.note("svc", 1)
	a.parts.exits.note("svc", 0)
	eventually(t, "it was looked at", func() bool {
		a.parts.exits.mu.Lock()
		defer a.parts.exits.mu.Unlock()
		return len(a.parts.exits.ended) == 0
	})
	if got := exits(); len(got) != 2 {
		t.Errorf("%d records, want the 2 of one run", len(got))
	}
}

func TestExitsNotes(t *testing.T) {
	e := newExits()
	f := func(want string, counts ...float64) {
		t.Helper()
		for _, n := range counts {
			e.note("a", n)
		}
		if got := strings.Join(e.take(), ","); got != want {
			t.Errorf("%v: %q, want %q", counts, got, want)
		}
	}
	f("", 0, 0)     // not seen alive yet
	f("", 3, 2, 1)  // some ended
	f("a", 0, 0)    // the last
	f("", 0)        // once
	f("", 1, 0, 1)  // back before anybody looked
	f("a", 2, 1, 0) // again
	f("", 1, 1, 1)  // and back
	f("a", 0)       // again
	f("", 0, 0, 0)  // once
	f("a", 1, 0)    // a short life
}

// TestWatchers: a level reaches an application by POST and a command in the mode of the target.
func TestWatchers(t *testing.T) {
	posted := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		posted <- string(raw)
	}))
	defer srv.Close()
	dir := realDir(t)
	log := filepath.Join(dir, "log")
	script := "echo $SPILLWAY_TARGET $SPILLWAY_LEVEL $SPILLWAY_TRIGGER >>" + log
	_, mark := sleeper(t)
	a := startApp(t, `
standalone: false
sample_interval: 1s
targets:
  - {name: real, mode: enforce, processes: {match: {cmdline: '`+mark+`'}}, memory: {limit: 1MiB}}
  - {name: dry, caches: [{name: c, dir: `+dir+`/c, include: ['*'], max_entries: 10}]}
watchers:
  - {on: [emergency], targets: [real], post: '`+srv.URL+`'}
  - {on: [emergency], command: [/bin/sh, -c, "`+script+`"]}
`)
	select {
	case body := <-posted:
		var report struct {
			Target string
			Memory struct{ Level string }
		}
		if err := json.Unmarshal([]byte(body), &report); err != nil || report.Target != "real" || report.Memory.Level != "emergency" {
			t.Errorf("posted %s, %v", body, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was posted")
	}
	var records []journal.Record
	eventually(t, "the command is recorded", func() bool {
		records, _, _ = a.journal.Query(journal.Filter{Target: "real", Playbook: "watcher_1_emergency"})
		return len(records) == 2 && records[1].Outcome != ""
	})
	if r := records[0]; r.Trigger != "watch" || r.Action != "command" || r.Outcome != "done" || r.Mode != "enforce" {
		t.Errorf("recorded %+v", r)
	}
	if raw, err := os.ReadFile(log); string(raw) != "real emergency watch\n" {
		t.Errorf("the command wrote %q, %v", raw, err)
	}
	// The same in mode dry_run: recorded, not run.
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	change := a.graph.Load().cfg.Watchers[1]
	if err := a.runWatcher(t.Context(), 1, change, changeTo("dry")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dry run has ended", func() bool {
		records, _, _ = a.journal.Query(journal.Filter{Target: "dry"})
		return len(records) == 2 && records[1].Outcome != ""
	})
	if raw, _ := os.ReadFile(log); len(raw) != 0 || records[0].Outcome != "dry_run" {
		t.Errorf("a dry run wrote %q: %+v", raw, records[0])
	}
}

func changeTo(target string) watch.Change {
	return watch.Change{Target: target, From: series.LevelNormal, To: series.LevelEmergency}
}
