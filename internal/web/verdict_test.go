package web

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/verdict"
)

// leaky publishes a heap that leaks under collections, of a process that has run for an hour.
func leaky(t testing.TB, captures func(now time.Time) []evidence.Profile) *fixture {
	t.Helper()
	f := newFixture(t, func(o *Options) {
		now := o.Now()
		o.Evidence = func(target string) ([]evidence.Profile, error) {
			if target != "app" {
				return nil, nil
			}
			return captures(now), nil
		}
	})
	begin := f.now.Add(-time.Hour)
	var b series.Batch
	for i := range 720 {
		b.Reset(begin.Add(time.Duration(i+1) * 5 * time.Second))
		_, part := math.Modf(float64(i) / 12)
		for _, target := range []string{"app", "found"} {
			b.Set(metric.ProcessOldestStart, float64(begin.Unix()), target)
			b.Set(metric.HeapUsed, (100+float64(i)/12+60*part)*(1<<20), target, "go")
		}
		f.store.Commit(&b)
	}
	f.sample(f.now, .5, series.LevelNormal)
	return f
}

func none(time.Time) []evidence.Profile { return nil }

// six are captures of which the last is as old as given.
func six(age time.Duration) func(time.Time) []evidence.Profile {
	return func(now time.Time) (out []evidence.Profile) {
		for n := range 6 {
			p := capturedAt(now, n)
			p.Time = now.Add(-age - time.Duration(5-n)*time.Minute)
			out = append(out, p)
		}
		return out
	}
}

func TestVerdictInTheReport(t *testing.T) {
	says := func(f *fixture, query string) []map[string]any {
		t.Helper()
		w := f.do("GET", "/health/memory"+query, nil, "")
		var got struct{ Verdicts []map[string]any }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%d %s, %v", w.Code, w.Body, err)
		}
		return got.Verdicts
	}
	const leak = "A leak in the heap: live memory after each collection grows by"
	f := func(name string, captures func(time.Time) []evidence.Profile, want string) {
		t.Helper()
		got := says(leaky(t, captures), "")
		if len(got) != 1 || got[0]["state"] != "heap_leaks" || got[0]["about"] != "heap" || got[0]["since"] == "" {
			t.Fatalf("%s: %v", name, got)
		}
		if text := got[0]["text"].(string); !strings.HasPrefix(text, leak) || !strings.HasSuffix(text, want) {
			t.Errorf("%s: %q, want %q at its end", name, text, want)
		}
	}
	f("captures", six(time.Minute), "; 100% of it is remember<script> src/server.js:42")
	f("none", none, "; nothing was captured that shows what it is")
	f("captures of the start before", six(90*time.Minute), "; nothing was captured that shows what it is")
	if got := says(leaky(t, none), "?target=found"); got != nil {
		t.Errorf("of a target that was merely found: %v", got)
	}
	if got := says(newFixtureWithApp(t), ""); got != nil {
		t.Errorf("of a target that does not grow: %v", got)
	}
}

// TestShapeInTheVerdict: what fills a folder is said with what the new files are, in the report and on the page.
func TestShapeInTheVerdict(t *testing.T) {
	says := func(folders func(now time.Time) []evidence.Folder) (report, page string) {
		t.Helper()
		f := newFixture(t, func(o *Options) {
			now := o.Now()
			o.Folders = func(string) []evidence.Folder { return folders(now) }
		})
		var b series.Batch
		for i := range 720 {
			b.Reset(f.now.Add(time.Duration(i-719) * 5 * time.Second))
			b.Set(metric.TempFiles, 100+float64(i), "app", "tts")
			b.Set(metric.TempFiles, 50, "app", "other")
			f.store.Commit(&b)
		}
		f.sample(f.now, .5, series.LevelNormal)
		var got struct{ Verdicts []map[string]any }
		w := f.do("GET", "/health/memory", nil, "")
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Verdicts) != 1 || got.Verdicts[0]["state"] != "folder_fills" {
			t.Fatalf("%d %s, %v", w.Code, w.Body, err)
		}
		return got.Verdicts[0]["text"].(string), f.do("GET", "/target/app", nil, "").Body.String()
	}
	added := func(kind, name string) func(now time.Time) []evidence.Folder {
		return func(now time.Time) []evidence.Folder {
			a := evidence.Added{Pattern: "tts-<b>*.wav", Share: .88, Empty: true, From: now.Add(-time.Hour), To: now}
			grew := evidence.Difference{From: a.From, To: now, Rows: []evidence.Growth{{Name: a.Pattern, Objects: 633}}}
			return []evidence.Folder{{Kind: kind, Name: name, Added: &a, Grew: grew}}
		}
	}
	report, page := says(added("temp", "tts"))
	if want := "; 88% of the new files are tts-<b>*.wav, empty"; !strings.HasPrefix(report, "The temp folder tts fills at 12 files/min since") || !strings.HasSuffix(report, want) {
		t.Errorf("%q, want %q at its end", report, want)
	}
	for _, want := range []string{"88% of the new files are tts-&lt;b&gt;*.wav, empty", "In the temp folder tts", "633 files"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	for _, folders := range []func(time.Time) []evidence.Folder{added("cache", "tts"), added("temp", "other"), func(time.Time) []evidence.Folder { return nil }} {
		if report, _ := says(folders); strings.Contains(report, "88%") {
			t.Errorf("%q, which is of another folder", report)
		}
	}
}

// TestVerdictOnThePage: on its card, on both pages, escaped.
func TestVerdictOnThePage(t *testing.T) {
	f := leaky(t, six(time.Minute))
	for _, path := range []string{"/?expand=all", "/target/app"} {
		page := f.do("GET", path, nil, "").Body.String()
		for _, want := range []string{`Why it grows <span class="tag bad">leak</span>`, "A leak in the heap: live memory", "remember&lt;script&gt; src/server.js:42"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not show %q", path, want)
			}
		}
	}
	if page := newFixtureWithApp(t).do("GET", "/target/app", nil, "").Body.String(); strings.Contains(page, "Why it grows") {
		t.Error("a target that does not grow has a verdict")
	}
}

// TestJudgedOnce: within an interval a target is judged once, and then anew.
func TestJudgedOnce(t *testing.T) {
	var j judged
	n := 0
	judge := func(string) []verdict.Verdict { n++; return nil }
	now := time.Now()
	for i, tt := range []struct {
		after  time.Duration
		target string
		want   int
	}{{0, "a", 1}, {time.Second, "a", 1}, {time.Second, "b", 2}, {5 * time.Second, "a", 3}, {6 * time.Second, "a", 3}, {0, "a", 4}} {
		if j.take(now.Add(tt.after), 5*time.Second, tt.target, judge); n != tt.want {
			t.Errorf("%d: judged %d times, want %d", i, n, tt.want)
		}
	}
}

func BenchmarkVerdicts(b *testing.B) {
	f := leaky(b, six(time.Minute))
	s := &server{Options: f.opts}
	b.ReportAllocs()
	for b.Loop() {
		if len(s.verdicts("app")) != 1 {
			b.Fatal("no verdict")
		}
	}
}
