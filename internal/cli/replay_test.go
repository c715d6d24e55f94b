package cli

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/replay"
)

const replayTarget = `
mode: enforce
targets:
  - name: app
    processes: {match: {comm: no-such-process}}
    memory: {limit: LIMIT}
    temp_dirs: [{name: t, dir: DIR/t, include: ['*.tmp'], max_age: 1h}]
`

// recordDay writes what an exporter would have left of a day that ends at a time: half an hour at 750 MiB, one run, and a
// file that is an hour old two hours before the end, and is read then.
func recordDay(t *testing.T, dir string, end time.Time) {
	t.Helper()
	began := end.Add(-10 * time.Hour)
	j, err := journal.Open(journal.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	id, err := j.Begin(t.Context(), journal.Record{Time: began.Add(time.Minute), Target: "app", Playbook: "relieve_memory", Trigger: string(alert.TriggerStandalone), Mode: "enforce"})
	if err == nil {
		err = j.Finish(t.Context(), id, func(r *journal.Record) { r.Outcome, r.DurationSecs = "relieved", 12.34 })
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	h := history.New(history.Options{Path: filepath.Join(dir, history.FileName)})
	if err := h.Open(); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for at := end.Add(-26 * time.Hour); at.Before(end); at = at.Add(history.Step) {
		used := 400.0
		if since := at.Sub(began); since >= 0 && since < 30*time.Minute {
			used = 750
		}
		used *= 1 << 20
		if err := h.Append(at, []history.Sample{
			{Target: "app", Gauge: "spillway_memory_used_bytes", Min: used, Mean: used, Max: used},
			{Target: "app", Gauge: "spillway_memory_used_ratio", Min: used / (1000 << 20), Mean: used / (1000 << 20), Max: used / (1000 << 20)},
		}, nil); err != nil {
			t.Fatal(err)
		}
	}
	files, err := folderlog.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	folder := folderlog.Folder("app", policy.KindTemp, "t")
	files.Record(folderlog.Listed, end.Add(-26*time.Hour), folder, 0, 0)
	files.Record(folderlog.Written, end.Add(-3*time.Hour), folder, 77, 2048)
	files.Record(folderlog.Opened, end.Add(-time.Hour), folder, 77, 2048)
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReplay: what a file would have done, for people and for programs, while nothing is changed.
func TestReplay(t *testing.T) {
	end := time.Now().Truncate(history.Step)
	file := configFlag(t, strings.NewReplacer("LIMIT", "1000MiB", "DIR", realDir(t)).Replace(replayTarget))
	now := func() time.Time { return end.Add(time.Second) }
	if r := runAt(t, now, "check", "--replay=1d", file); r.code != ExitFailure || !strings.Contains(r.errs, "nothing was recorded yet") {
		t.Errorf("before anything was recorded: %+v", r)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimPrefix(file, "--config.file=")), "journal")
	recordDay(t, dir, end)
	r := runAt(t, now, "check", "--replay=1d", file)
	for _, want := range []string{
		"times are exact to five minutes", "relieve_memory", "  30m ", "ineffective", "12.3s", "clean_temp",
		"temp t of app: 1 file, 2KiB, would have been removed (expired 1)\n", "regret 100.0 %", "the rule SpillwayMemoryRunningOut is judged without",
	} {
		if r.code != ExitOK || !strings.Contains(r.out, want) {
			t.Errorf("%q is not said: %+v", want, r)
		}
	}
	r = runAt(t, now, "check", "--replay=1d", "--json", file)
	var report replay.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatal(err, r)
	}
	really := slices.IndexFunc(report.Runs, func(x replay.Run) bool { return x.Really != nil })
	if really < 0 || report.Runs[really].Playbook != "relieve_memory" || report.Runs[really].Would != replay.WouldHave || report.Runs[really].Really.Outcome != "relieved" {
		t.Errorf("%+v", report.Runs)
	}
	// With twice the limit no pressure is left, and the run that there was would not have been.
	higher := strings.NewReplacer("LIMIT", "2000MiB", "DIR", realDir(t)).Replace(replayTarget)
	path := filepath.Join(realDir(t), "higher.yml")
	writeTest(t, path, higher+"\njournal: {dir: "+dir+"}\n")
	r = runAt(t, now, "check", "--replay=1d", "--config.file="+path)
	if r.code != ExitOK || !strings.Contains(r.out, "; 1 really did that would not have") {
		t.Errorf("with a higher limit: %+v", r)
	}
}

func TestReplayMistakes(t *testing.T) {
	file := configFlag(t, strings.NewReplacer("LIMIT", "1000MiB", "DIR", realDir(t)).Replace(replayTarget))
	if r := runLine(t, "check", "--replay=0", file); r.code != ExitConfig || !strings.Contains(r.errs, "--replay") {
		t.Errorf("%+v", r)
	}
	if r := runLine(t, "check", "--replay=7d"); r.code != ExitConfig || !strings.Contains(r.errs, "--config.file") {
		t.Errorf("without a file: %+v", r)
	}
}
