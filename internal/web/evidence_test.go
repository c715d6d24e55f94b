package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// capturedAt is a capture in which something leaks.
func capturedAt(now time.Time, n int) evidence.Profile {
	leak := int64(n+1) * (20 << 20)
	return evidence.Profile{
		ID: string(rune('a' + n)), Target: "app", Runtime: "node", Rung: evidence.RungSampling, Kind: evidence.KindFunction, Epoch: "1",
		Time: now.Add(time.Duration(n-6) * time.Hour), Step: 512 << 10, Total: leak + 50<<20,
		Rows: []evidence.Row{{Name: "remember<script>", File: "src/server.js", Line: 42, Bytes: leak}, {Name: "cache", File: "src/cache.js", Line: 7, Bytes: 50 << 20}},
	}
}

func evidenceFixture(t *testing.T, captures int, err error) *fixture {
	t.Helper()
	f := newFixture(t, func(o *Options) {
		now := o.Now()
		o.Evidence = func(target string) (out []evidence.Profile, _ error) {
			for n := range captures {
				if target == "app" {
					out = append(out, capturedAt(now, n))
				}
			}
			return out, err
		}
	})
	f.sample(f.now, .5, series.LevelNormal)
	return f
}

func TestEvidenceAPI(t *testing.T) {
	f := evidenceFixture(t, 6, nil)
	w := f.do("GET", "/api/v1/evidence?target=app", nil, "")
	var got struct {
		Status   string
		Captures []map[string]any
		Newest   evidence.Profile
		Grew     evidence.Difference
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %s, %v", w.Code, w.Body, err)
	}
	if len(got.Captures) != 6 || got.Newest.ID != "f" || got.Grew.Culprit == nil || got.Grew.Culprit.Line != 42 || got.Grew.Captures != 6 {
		t.Errorf("%+v", got)
	}
	w = f.do("GET", "/api/v1/evidence?target=app&since=90m", nil, "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"why":"profiles cannot be compared`) {
		t.Errorf("since a moment without an earlier capture: %d %s", w.Code, w.Body)
	}
	w = f.do("GET", "/api/v1/evidence?target=app&output=pprof", nil, "")
	if p, err := profile.Parse(bytes.NewReader(w.Body.Bytes())); err != nil || len(p.Sample) != 2 || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("pprof: %v", err)
	}
	refused := func(code int, query, says string) {
		t.Helper()
		if w := f.do("GET", "/api/v1/evidence"+query, nil, ""); w.Code != code || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s, want %d with %s", query, w.Code, w.Body, code, says)
		}
	}
	refused(400, "", "no target")
	refused(400, "?target=app&since=x", "since")
	refused(400, "?target=app&output=svg", "write json or pprof")
	refused(404, "?target=b", "nothing was captured")
	f = evidenceFixture(t, 0, errors.New("damaged"))
	refused(503, "?target=app", "damaged")
	f = newFixture(t, nil)
	refused(404, "?target=app", "nothing was captured")
}

// TestFoldersInTheEvidence: what fills the folders of a target stands there with captures and without.
func TestFoldersInTheEvidence(t *testing.T) {
	for _, captures := range []int{0, 6} {
		f := newFixture(t, func(o *Options) {
			now := o.Now()
			o.Evidence = func(string) (out []evidence.Profile, _ error) {
				for n := range captures {
					out = append(out, capturedAt(now, n))
				}
				return out, nil
			}
			o.Mappings = func(string) *evidence.Mappings {
				return &evidence.Mappings{Grew: evidence.Difference{Rows: []evidence.Growth{{Name: "[heap]", Bytes: 5}}}}
			}
			o.Folders = func(target string) []evidence.Folder {
				if target != "app" {
					return nil
				}
				return []evidence.Folder{{Kind: "temp", Name: "tts", Grew: evidence.Difference{Rows: []evidence.Growth{{Name: "tts-*.wav", Objects: 41}}}}}
			}
		})
		w := f.do("GET", "/api/v1/evidence?target=app", nil, "")
		var got struct {
			Captures []map[string]any
			Folders  []evidence.Folder
			Mappings evidence.Mappings
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || len(got.Captures) != captures || len(got.Folders) != 1 || got.Folders[0].Grew.Rows[0].Objects != 41 || got.Mappings.Grew.Rows[0].Bytes != 5 {
			t.Errorf("%d captures: %d %s, %v", captures, w.Code, w.Body, err)
		}
	}
}

// TestEvidenceOnThePage: ten bars at the most, names escaped, and only on the page of the target.
func TestEvidenceOnThePage(t *testing.T) {
	f := evidenceFixture(t, 6, nil)
	page := f.do("GET", "/target/app", nil, "").Body.String()
	for _, want := range []string{"What grew", "Since the baseline", "Since the last capture", "remember&lt;script&gt; src/server.js:42", `<span class="tag bad">leak</span>`, "100% of the growth"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if strings.Contains(page, "<script>,") || strings.Contains(page, "remember<script>") {
		t.Error("a name is not escaped")
	}
	if index := f.do("GET", "/", nil, "").Body.String(); strings.Contains(index, "What grew") {
		t.Error("it stands on the page of all targets")
	}
	if page := evidenceFixture(t, 1, nil).do("GET", "/target/app", nil, "").Body.String(); !strings.Contains(page, "Not known yet") {
		t.Error("one capture: it is not said that nothing is known yet")
	}
	if page := newFixtureWithApp(t).do("GET", "/target/app", nil, "").Body.String(); strings.Contains(page, "What grew") {
		t.Error("it stands there although nothing was captured")
	}
}

// TestOutsideOnThePage: what grew in folders and mappings stands on the page in few lines, with captures and without.
func TestOutsideOnThePage(t *testing.T) {
	page := func(captures int, mapped int64) string {
		f := newFixture(t, func(o *Options) {
			now := o.Now()
			o.Evidence = func(string) (out []evidence.Profile, _ error) {
				for n := range captures {
					out = append(out, capturedAt(now, n))
				}
				return out, nil
			}
			o.Mappings = func(string) *evidence.Mappings {
				return &evidence.Mappings{Grew: evidence.Difference{From: now.Add(-time.Hour), Rows: []evidence.Growth{{Name: "file", File: "/usr/lib/<x>.so", Bytes: mapped}}}}
			}
			o.Folders = func(string) []evidence.Folder { return []evidence.Folder{{Kind: "temp", Name: "tts"}} } // nothing grew
		})
		f.sample(f.now, .5, series.LevelNormal)
		return f.do("GET", "/target/app", nil, "").Body.String()
	}
	for _, captures := range []int{0, 6} {
		text := page(captures, 5<<20)
		for _, want := range []string{"What grew", "In mappings", "5MiB", "&lt;x&gt;.so"} {
			if !strings.Contains(text, want) {
				t.Errorf("%d captures: the page does not show %q", captures, want)
			}
		}
		if strings.Contains(text, "temp folder") || strings.Contains(text, "Since the baseline") != (captures > 0) {
			t.Errorf("%d captures: a folder in which nothing grew is shown, or captures are not", captures)
		}
	}
	if strings.Contains(page(0, 5<<10), "What grew") {
		t.Error("some KiB more are shown")
	}
}

// TestAlertLinksToEvidence: where the rule has such a link, and to the page that shows it.
func TestAlertLinksToEvidence(t *testing.T) {
	f := newFixtureWithApp(t)
	f.state.Alerts = []Alert{
		{Name: "A", State: "firing", Labels: map[string]string{"target": "app"}, Annotations: map[string]string{"evidence_url": "http://elsewhere/"}},
		{Name: "B", State: "firing", Labels: map[string]string{"target": "app"}},
	}
	page := f.do("GET", "/", nil, "").Body.String()
	if n := strings.Count(page, `<a href="/target/app#grew">What grew</a>`); n != 1 || strings.Contains(page, "elsewhere") {
		t.Errorf("%d links, want one, and to no other host", n)
	}
}

func newFixtureWithApp(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, nil)
	f.sample(f.now, .5, series.LevelNormal)
	return f
}
