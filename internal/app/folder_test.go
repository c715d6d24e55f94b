package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

func TestFolderReading(t *testing.T) {
	p := func(v float64) *float64 { return &v }
	f := func(name string, d health.Folder, want series.Level, text string) {
		t.Helper()
		d.Kind, d.Name, d.Files = policy.KindUpload, "x", p(9)
		if r := folderReading(&d, 2); r.Level != want || !r.Known || r.Text != text {
			t.Errorf("%s: %+v, want level %v and %q", name, r, want, text)
		}
	}
	f("within its limit", health.Folder{SizeBytes: p(1024), MaxBytes: p(1024)}, series.LevelNormal, "upload x: 9 files, 1KiB")
	f("over it", health.Folder{SizeBytes: p(2048), MaxBytes: p(1024)}, series.LevelWarning, "upload x: 9 files, 2KiB")
	f("only what was left is due", health.Folder{SizeBytes: p(0), Oversize: p(1), Expired: p(1)}, series.LevelNormal, "upload x: 9 files, 0B, 2 due")
	f("one more is due", health.Folder{SizeBytes: p(0), Oversize: p(2), Expired: p(1)}, series.LevelWarning, "upload x: 9 files, 0B, 3 due")
	if r := folderReading(&health.Folder{}, 0); r.Known {
		t.Error("a folder that could not be read gives a reading")
	}
}

// TestMissingFolder: a folder that does not exist is reported on the page, in the health report and by a
// metric, until it does.
func TestMissingFolder(t *testing.T) {
	dir := filepath.Join(realDir(t), "media")
	a := startApp(t, `
standalone: false
scan_interval: 1s
targets:
  - name: svc
    caches: [{name: media, dir: `+dir+`, include: ['*'], max_entries: 9}]
`)
	_, metrics := fetch(t, a.url("/metrics"))
	if want := `spillway_source_success{name="media",source="cache",target="svc"} 0`; !strings.Contains(metrics, want) {
		t.Errorf("no %s", want)
	}
	if _, page := fetch(t, a.url("/")); !strings.Contains(page, dir+" does not exist: create the folder, or correct its dir") {
		t.Error("the page does not say that the folder does not exist")
	}
	const advice = "The folder of cache media cannot be read or does not exist"
	if _, report := fetch(t, a.url("/health/memory")); !strings.Contains(report, advice) || strings.Contains(report, "normally") {
		t.Errorf("the report says %s", report)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the folder is read", func() bool {
		_, report := fetch(t, a.url("/health/memory"))
		return !strings.Contains(report, advice) && strings.Contains(report, `"cache_entries":0`)
	})
}
