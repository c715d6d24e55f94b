package replay

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

const oneFile = `
mode: enforce
targets:
  - name: web
    processes: {match: {comm: web}}
    memory: {limit: 1000MiB}
    temp_dirs: [{name: tts, dir: /srv/web/tts, include: ['*.wav'], max_age: 1h}]
`

func noted(notes []string, text string) bool {
	return slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, text) })
}

// What the history does not have is said: "no run" of a time of which nothing is known would be a guess.
func TestSpanThatIsNotKnown(t *testing.T) {
	limits := map[string]float64{"web": 1000}
	tests := map[string]struct {
		from, to time.Duration // that the history has
		gap      time.Duration // in the middle, that it does not have
		want     string
	}{
		"all of it":       {-4 * time.Hour, day, 0, ""},
		"before the span": {-3 * day, -day, 0, "target web: the history has nothing of it in this span, so that no run of it can be said"},
		"after the span":  {2 * day, 3 * day, 0, "target web: the history has nothing of it in this span"},
		"its end":         {12 * time.Hour, day, 0, "target web: the history has it since 2026-11-16T12:00:00Z"},
		"with a gap":      {-4 * time.Hour, day, 6 * time.Hour, "target web: the history has nothing of 6h of this span, in which no run of it can be said"},
		"with a restart":  {-4 * time.Hour, day, 2 * history.Step, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := record(t)
			middle := max(tt.from, 0) + 2*time.Hour
			r.live(monday.Add(tt.from), monday.Add(min(middle, tt.to)), memory{"web": bumps(400)}, limits)
			r.live(monday.Add(middle+tt.gap), monday.Add(tt.to), memory{"web": bumps(400)}, limits)
			var said []string
			for _, n := range r.play(oneFile, day).Notes {
				if strings.HasPrefix(n, "target web: the history has") {
					said = append(said, n)
				}
			}
			if tt.want == "" && len(said) > 0 || tt.want != "" && (len(said) != 1 || !strings.HasPrefix(said[0], tt.want)) {
				t.Errorf("%q, want %q", said, tt.want)
			}
		})
	}
}

// A pause holds from when it began, be that weeks ago, until it ends.
func TestPauseOfLongAgo(t *testing.T) {
	r := record(t)
	pressure := bumps(400, bump{5 * time.Hour, 30 * time.Minute, 750}, bump{15 * time.Hour, 30 * time.Minute, 750})
	r.live(monday.Add(-4*time.Hour), monday.Add(day), memory{"web": pressure}, map[string]float64{"web": 1000})
	r.records = []journal.Record{
		{ID: "3", Time: monday.Add(-20 * day), Action: actionPause, Intent: "pause all targets until someone resumes: a migration"},
		{ID: "4", Time: monday.Add(10 * time.Hour), Action: actionResume, Intent: "resume all targets"},
	}
	report := r.play(oneFile, day)
	if len(report.Runs) == 0 || report.Runs[0].Time.Before(monday.Add(15*time.Hour)) {
		t.Errorf("%+v, want runs from the fifteenth hour on, and none while it was paused", report.Runs)
	}
}

// A part of the log of folders that is damaged is named in the report.
func TestDamagedFilesAreNoted(t *testing.T) {
	r := record(t)
	r.live(monday.Add(-4*time.Hour), monday.Add(day), memory{"web": bumps(400)}, map[string]float64{"web": 1000})
	r.note(folderlog.Folder("web", policy.KindTemp, "tts"), []trace{{hash: 1, made: time.Hour}})
	if err := r.files.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.dir, folderlog.FileName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[4096+45] ^= 1 // in the first frame
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if notes := r.play(oneFile, day).Notes; !noted(notes, "1 damaged part of the log of folders was left out: some files are not known") {
		t.Errorf("%q", notes)
	}
}

// Of a folder in which far more happened than can be kept, few files stand for all: the report says so.
func TestRoughSampleIsNoted(t *testing.T) {
	for bits, want := range map[int]bool{0: false, 9: true} {
		r := record(t)
		r.live(monday.Add(-4*time.Hour), monday.Add(day), memory{"web": bumps(400)}, map[string]float64{"web": 1000})
		name := folderlog.Folder("web", policy.KindTemp, "tts")
		r.files.Record(folderlog.Listed, monday.Add(-3*time.Hour), name, 0, 0)
		for range bits {
			r.files.Thin(name)
		}
		for i := range 10 {
			r.files.Record(folderlog.Written, monday.Add(time.Hour), name, uint64(i+1)<<20, 1)
		}
		if notes := r.play(oneFile, day).Notes; noted(notes, "its numbers are rough: they are estimated from 10 files, one in 512") != want {
			t.Errorf("with one in 2^%d: %q", bits, notes)
		}
	}
}
