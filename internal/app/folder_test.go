package app

import (
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
