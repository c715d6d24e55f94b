package evidence

import (
	"fmt"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// TestFoldersGrow: what fills a folder is said by count and bytes, empty files too, since the first scan and in a day.
func TestFoldersGrow(t *testing.T) {
	var f Folders
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	redact, err := NewRedactor([]string{"tenant_[a-z]+"})
	if err != nil {
		t.Fatal(err)
	}
	saw := f.Observer("t", "temp", "tts", redact)
	at := func(hours int, empty, wav int64) {
		saw(start.Add(time.Duration(hours)*time.Hour), 1, []dirscan.Shape{
			{Name: "tts-*.wav", Files: wav, Bytes: 1000 * wav}, {Name: "empty-*.mp3", Files: empty}, {Name: "tenant_acme/\x1b[31m*", Files: 1, Bytes: 5},
		})
	}
	at(0, 10, 5)
	at(1, 51, 7)
	got := f.Of("t")
	if len(got) != 1 || got[0].Kind != "temp" || got[0].Name != "tts" || got[0].Newest.Total != 7005 || got[0].Newest.Kind != KindFiles {
		t.Fatalf("%+v", got)
	}
	want := []Growth{{Name: "tts-*.wav", Before: 5000, After: 7000, Bytes: 2000, Objects: 2, Share: 1, Sure: true}, {Name: "empty-*.mp3", Objects: 41, Sure: true}}
	if rows := got[0].Grew.Rows; fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", rows, want)
	}
	if name := got[0].Newest.Rows[1].Name; name != "[redacted]/ [31m*" && name != "[redacted]/[31m*" {
		t.Errorf("%q: names are cleaned and redacted", name)
	}
	for hours := 2; hours <= 50; hours++ {
		at(hours, 51, 7)
	}
	if got := f.Of("t")[0].Grew; len(got.Rows) != 0 || got.To.Sub(got.From) > folderSpan {
		t.Errorf("two days later: %+v", got)
	}
	if got := f.Of("u"); got != nil {
		t.Errorf("another target: %+v", got)
	}
	f.Observer("u", "temp", "other", nil)(start.Add(200*time.Hour), 4, []dirscan.Shape{{Name: "*", Files: 8, Bytes: 800}})
	if got := f.Of("t"); got != nil {
		t.Errorf("a folder that is scanned no longer stays: %+v", got)
	}
	if got := f.Of("u"); len(got) != 1 || got[0].Every != 4 || got[0].Newest.Step != 400 {
		t.Errorf("%+v", got)
	}
}
