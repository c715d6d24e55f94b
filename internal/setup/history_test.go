package setup

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestHistoryNeedsAFolder: with a journal in memory there is no history, which is logged once; a nil one is
// used as any other.
func TestHistoryNeedsAFolder(t *testing.T) {
	var log strings.Builder
	h := NewHistory(HistoryOptions{
		Config: config.Default(), Journal: journal.OpenMemory(journal.Options{}), Series: series.NewStore(series.Options{}),
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now,
	})
	if h != nil || strings.Count(log.String(), "the history is off") != 1 {
		t.Errorf("%v, log %q, want none and one line", h, log.String())
	}
	h.Swept()
	h.Run(t.Context())
	if h.Store() != nil {
		t.Error("it has a store")
	}
}

// TestProgramOf: the program of a process is known by the inode and the time of its file.
func TestProgramOf(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(exe)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	members := []proc.Member{{PID: 1 << 30, Start: start}, {PID: 1, Start: start.Add(-time.Hour)}, {PID: os.Getpid(), Start: start}}
	got := programOf("/proc", members, start.Add(300*time.Millisecond))
	if got.Inode == 0 || !got.Modified.Equal(info.ModTime()) {
		t.Errorf("%+v, want that of %s", got, exe)
	}
	if got := programOf("/proc", members, start.Add(time.Minute)); got != (history.Program{}) {
		t.Errorf("%+v of a process that is not there", got)
	}
}
