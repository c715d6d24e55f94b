package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestHistoryOutlivesARestart: what one exporter measured is in the rings of the next one, at its own time.
func TestHistoryOutlivesARestart(t *testing.T) {
	o := testOptions(t, "")
	path := filepath.Join(filepath.Dir(o.ConfigFile), "journal", history.FileName)
	first := runApp(t, o)
	waitFor(t, "the history is open", func() bool {
		_, err := first.history.Store().Marks("host", time.Time{}, time.Now())
		return err == nil
	})
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()

	s := history.New(history.Options{Path: path, ReadOnly: true})
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	gauges := s.Gauges("host")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(gauges, " "), metric.MemoryUsed.Name) {
		t.Errorf("the history has %q, want the used memory among it", gauges)
	}

	o.Now = func() time.Time { return time.Now().Add(10 * time.Minute) }
	second := runApp(t, o)
	waitFor(t, "the ring has its past", func() bool {
		points := second.parts.store.Points(nil, series.TierMedium, metric.MemoryUsed, "host")
		return len(points) > 1 && points[0].Time.Before(stopped.Add(history.Step)) && points[0].Min > 0
	})
	if _, body := fetch(t, second.url("/metrics")); !strings.Contains(body, "\nspillway_history_size_bytes ") {
		t.Error("/metrics does not have the metrics of the history")
	}
}

func TestHistoryOff(t *testing.T) {
	a := startApp(t, "discover: {by: comm, top: 5}\nhistory: off\n")
	if a.history.Store() != nil {
		t.Error("there is a history")
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(a.opts.ConfigFile), "journal", history.FileName)); !os.IsNotExist(err) {
		t.Errorf("the file: %v, want none", err)
	}
	if _, body := fetch(t, a.url("/metrics")); strings.Contains(body, "spillway_history") {
		t.Error("/metrics has metrics of a history that is off")
	}
}

// TestFolderLog: what becomes of the files of a policy is kept where there is a history, and nothing elsewhere.
func TestFolderLog(t *testing.T) {
	const target = "\ntargets: [{name: web, temp_dirs: [{name: t, dir: DIR, include: ['*.tmp'], max_age: 1h}]}]\n"
	for _, tc := range []struct {
		name, file string
		kept       bool
	}{
		{"a policy", target, true},
		{"no policy", "discover: {by: comm, top: 5}\n", false},
		{"no history", "history: off" + target, false},
	} {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a.tmp"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		a := startApp(t, strings.ReplaceAll(tc.file, "DIR", dir))
		waitFor(t, "the first sweep", func() bool { return a.ready() == nil })
		if err := a.Stop(); err != nil {
			t.Fatal(err)
		}
		journal := filepath.Join(filepath.Dir(a.opts.ConfigFile), "journal")
		log, err := folderlog.Open(journal)
		if err != nil {
			t.Fatal(err)
		}
		events, _, err := log.Events(folderlog.Folder("web", policy.KindTemp, "t"), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		if kept := len(events) == 2 && events[1].Kind == folderlog.Found; err != nil || kept != tc.kept {
			t.Errorf("%s: %v, %v; want the file kept: %v", tc.name, events, err, tc.kept)
		}
		if _, err := os.Stat(filepath.Join(journal, folderlog.FileName)); os.IsNotExist(err) == tc.kept {
			t.Errorf("%s: the file: %v", tc.name, err)
		}
	}
}

// waitFor polls a condition.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: it is not so after 20 s", what)
		}
	}
}
