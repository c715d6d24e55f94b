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
	want := []Growth{{Name: "empty-*.mp3", Objects: 41, Sure: true}, {Name: "tts-*.wav", Before: 5000, After: 7000, Bytes: 2000, Objects: 2, Share: 1, Sure: true}}
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

// TestAddedFiles: of what a folder grew by, the shape is named that most of the new files have, whatever their size.
func TestAddedFiles(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	many := func(shapes ...dirscan.Shape) []dirscan.Shape {
		for i := range 60 { // each grows, and is larger than an empty file
			shapes = append(shapes, dirscan.Shape{Name: fmt.Sprintf("%c%c/*", 'a'+i/26, 'a'+i%26), Files: 1, Bytes: int64(len(shapes)) << 20})
		}
		return shapes
	}
	for _, tt := range []struct {
		name          string
		every         int64
		before, after []dirscan.Shape
		want          *Added
	}{
		{"empty files among large ones", 1, many(dirscan.Shape{Name: "tts-*.wav", Files: 10}), many(dirscan.Shape{Name: "tts-*.wav", Files: 98}, dirscan.Shape{Name: "*.mp4", Files: 12, Bytes: 9 << 30}), &Added{Pattern: "tts-*.wav", Share: .88, Empty: true}},
		{"a shape that is new", 1, nil, []dirscan.Shape{{Name: "tts-*.wav", Files: 3, Bytes: 5}, {Name: "x", Files: 1}}, &Added{Pattern: "tts-*.wav", Share: .75}},
		{"none has most of them", 1, nil, []dirscan.Shape{{Name: "a", Files: 40}, {Name: "b", Files: 35}, {Name: "c", Files: 30}}, nil},
		{"nothing is new", 1, []dirscan.Shape{{Name: "a", Files: 40}}, []dirscan.Shape{{Name: "a", Files: 40}}, nil},
		{"fewer than before", 1, []dirscan.Shape{{Name: "a", Files: 40}}, []dirscan.Shape{{Name: "a", Files: 30}}, nil},
		{"too few of those that are looked at", 4, nil, []dirscan.Shape{{Name: "a", Files: 96}}, nil},
		{"enough of them", 4, nil, []dirscan.Shape{{Name: "a", Files: 100, Bytes: 5}}, &Added{Pattern: "a", Share: 1}},
		{"it may have been forgotten", 1, []dirscan.Shape{{Name: "b", Files: 1, AtLeast: true}}, []dirscan.Shape{{Name: "a", Files: 400}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f Folders
			saw := f.Observer("t", "temp", "tts", nil)
			saw(start, tt.every, tt.before)
			saw(start.Add(time.Hour), tt.every, tt.after)
			folder := f.Of("t")[0]
			got := folder.Added
			if tt.want != nil {
				tt.want.From, tt.want.To = start, start.Add(time.Hour)
			}
			if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if got != nil && got.Empty && folder.Grew.Rows[0].Name != "*.mp4" && folder.Grew.Rows[1].Name != got.Pattern {
				t.Errorf("%+v: what most of the new files are is not shown", folder.Grew.Rows[:2])
			}
		})
	}
}
