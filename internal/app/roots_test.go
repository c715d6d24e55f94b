package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// ended runs clean_temp on the target app and returns its record once it has ended.
func ended(t *testing.T, a *App) journal.Record {
	t.Helper()
	id, err := a.dispatcher.RunNow(t.Context(), dispatch.ManualRequest{Target: "app", Action: action.NameCleanTemp})
	if err != nil {
		t.Fatal(err)
	}
	var out journal.Record
	eventually(t, "the run has ended", func() bool {
		records, _, err := a.journal.Query(journal.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.RunID == id && r.Step == 1 && r.Outcome != "" {
				out = r
			}
		}
		return out.Outcome != ""
	})
	return out
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// reloadAs writes the configuration of startApp's exporter anew and loads it.
func reloadAs(t *testing.T, a *App, config string) {
	t.Helper()
	writeTest(t, a.opts.ConfigFile, config+"\njournal: {dir: "+filepath.Dir(a.opts.ConfigFile)+"/journal}\n")
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
}

func have(t *testing.T, path string, want bool) {
	t.Helper()
	if _, err := os.Stat(path); (err == nil) != want {
		t.Errorf("%s: %v, want it there: %v", path, err, want)
	}
}

// TestExchangedRoot: a sibling in the place of a root is not cleaned, and this is said, until a reload
// says that it is meant.
func TestExchangedRoot(t *testing.T) {
	const says = "is not the one that was there when the configuration was loaded"
	dir := realDir(t)
	oldFile(t, dir+"/t/mine.tmp")
	oldFile(t, dir+"/backup/others.tmp")
	config := accessConfig(dir, "mode: enforce\nscan_interval: 1s")
	a := startApp(t, config)
	const success = `spillway_source_success{name="t",source="temp",target="app"} `
	if _, body := fetch(t, a.url("/metrics")); !strings.Contains(body, success+"1") {
		t.Errorf("before: %s", grep(body, "source_success"))
	}
	rename(t, dir+"/t", dir+"/t0")
	rename(t, dir+"/backup", dir+"/t")
	for range 2 { // it stays so
		if r := ended(t, a); r.Outcome != "failed" || r.Files != 0 || !strings.Contains(r.Detail, says) {
			t.Errorf("recorded %+v", r)
		}
	}
	have(t, dir+"/t/others.tmp", true)
	eventually(t, "the source fails", func() bool {
		_, body := fetch(t, a.url("/metrics"))
		return strings.Contains(body, success+"0")
	})
	_, body := fetch(t, a.url("/metrics"))
	if !strings.Contains(body, `spillway_temp_files{dir="t",target="app"} 1`) || !strings.Contains(body, `spillway_action_runs_total{action="clean_temp",outcome="failed",target="app",trigger="manual"} 2`) {
		t.Errorf("observing goes on and the runs have failed:\n%s%s", grep(body, "spillway_temp_files"), grep(body, "spillway_action_runs_total"))
	}
	if _, page := fetch(t, a.url("/")); !strings.Contains(page, says) {
		t.Error("the page does not say why")
	}
	writeTest(t, a.opts.ConfigFile, "sample_interval: never\n")
	if err := a.Reload(); err == nil {
		t.Error("a bad configuration was loaded")
	}
	if r := ended(t, a); r.Outcome != "failed" {
		t.Errorf("after a reload that failed: %+v", r)
	}
	reloadAs(t, a, config)
	if r := ended(t, a); r.Outcome == "failed" || r.Files != 1 {
		t.Errorf("after the reload: %+v", r)
	}
	have(t, dir+"/t/others.tmp", false)
	have(t, dir+"/t0/mine.tmp", true)
	eventually(t, "the source works again", func() bool {
		_, body := fetch(t, a.url("/metrics"))
		return strings.Contains(body, success+"1")
	})
}

// TestRootAppearsLater: a root that its service makes on its start is remembered when it is first
// seen, by a scan or by a run.
func TestRootAppearsLater(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/backup/others.tmp")
	a := startApp(t, accessConfig(dir, "mode: enforce\nscan_interval: 1s"))
	if r := ended(t, a); r.Outcome == "failed" {
		t.Errorf("without the folder: %+v", r)
	}
	oldFile(t, dir+"/t/mine.tmp")
	eventually(t, "it was scanned", func() bool {
		_, body := fetch(t, a.url("/metrics"))
		return strings.Contains(body, `spillway_temp_files{dir="t",target="app"} 1`)
	})
	if r := ended(t, a); r.Outcome == "failed" || r.Files != 1 {
		t.Errorf("once it is there: %+v", r)
	}
	rename(t, dir+"/t", dir+"/t0")
	rename(t, dir+"/backup", dir+"/t")
	if r := ended(t, a); r.Outcome != "failed" || !strings.Contains(r.Detail, "that was first seen after the configuration was loaded") {
		t.Errorf("exchanged: %+v", r)
	}
	have(t, dir+"/t/others.tmp", true)
}

// TestRootIsMadeAnew: a folder that its service removed and made again is another one, until a reload.
func TestRootIsMadeAnew(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/mine.tmp")
	config := accessConfig(dir, "mode: enforce")
	a := startApp(t, config)
	rename(t, dir+"/t", dir+"/gone") // so that the inode is not given away again
	oldFile(t, dir+"/t/new.tmp")
	if r := ended(t, a); r.Outcome != "failed" || !strings.Contains(r.Detail, "if this is meant, reload the configuration") {
		t.Errorf("made anew: %+v", r)
	}
	have(t, dir+"/t/new.tmp", true)
	reloadAs(t, a, config)
	if r := ended(t, a); r.Files != 1 {
		t.Errorf("after the reload: %+v", r)
	}
}
