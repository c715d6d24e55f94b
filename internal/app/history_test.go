package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
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
