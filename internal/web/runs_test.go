package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/series"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestRunTexts(t *testing.T) {
	f := func(r Run, stage, effect string) {
		t.Helper()
		if got := r.Stage(); got != stage {
			t.Errorf("%+v: %q, want %q", r, got, stage)
		}
		if got := r.Effect(); got != effect {
			t.Errorf("%+v: %q, want %q", r, got, effect)
		}
	}
	f(Run{State: "queued"}, "its intent is being recorded", "–")
	f(Run{ID: "1", State: "queued"}, "waits to start", "–")
	f(Run{ID: "1", State: "queued", WaitsFor: "trim_cache"}, "waits for trim_cache", "–")
	f(Run{ID: "1", State: "running"}, "starting", "–")
	f(Run{ID: "1", State: "running", Mode: "enforce", Step: 2, Steps: 3, Action: "evict_cache", Files: 45, Bytes: 123 << 20}, "step 2 of 3: evict_cache", "45 files, 123MiB")
	f(Run{ID: "1", State: "running", Mode: "dry_run", Step: 1, Steps: 1, Action: "clean_temp", Files: 3, Bytes: 1 << 20}, "step 1 of 1: clean_temp", "would affect 3 files, 1MiB")
}

// busy fills the state with a run of each kind and a cooldown of each mode.
func busy(f *fixture) {
	ago := func(d time.Duration) time.Time { return f.now.Add(-d) }
	f.state.Activity = Activity{
		Queued: 1,
		Pauses: []Pause{
			{Since: ago(time.Hour), Reason: "a release"},
			{Target: "app", Since: ago(time.Minute), Until: f.now.Add(90 * time.Minute)},
		},
		Budgets: []Budget{
			{Target: "app", Playbook: "restore", AtMost: 3, Per: units.Duration(24 * time.Hour)},
			{Target: "other", Playbook: "clean_temp", AtMost: 5, Per: units.Duration(time.Hour), Remaining: 4},
		},
		Runs: []Run{
			{ID: "3", Target: "app", Playbook: "trim_cache", Mode: "enforce", Trigger: "manual", Level: "normal", State: "queued", WaitsFor: "relieve_memory", Steps: 1, Since: ago(20 * time.Second)},
			{ID: "1", Target: "app", Playbook: "relieve_memory", Mode: "enforce", Trigger: "webhook", Alert: "SpillwayMemoryCritical", Alerts: 2, Level: "critical", State: "verifying", Step: 2, Steps: 3, Action: "evict_cache", Files: 45, Bytes: 123 << 20, Since: ago(12 * time.Second)},
			{ID: "2", Target: "other", Playbook: "clean_temp", Mode: "dry_run", Trigger: "standalone", Level: "warning", State: "running", Step: 1, Steps: 1, Action: "clean_temp", Files: 7, Since: ago(2 * time.Second)},
		},
		Proposals: []Proposal{{
			ID: "p1", Target: "app", Playbook: "restore", Level: "critical", Trigger: "standalone", Since: f.now.UTC(), Until: f.now.Add(time.Hour).UTC(), Steps: []ProposedStep{{Do: "restart"}},
		}},
		Waits: []Wait{{Target: "app", Playbook: "trim_cache", Until: f.now.Add(55 * time.Second), Run: "9"}},
		Cooldowns: []Cooldown{
			{Target: "app", Playbook: "clean_temp", Until: f.now.Add(4 * time.Minute), Mode: "enforce", Broken: true, LastRun: "8", LastOutcome: "ineffective", LastEnd: ago(6 * time.Minute)},
			{Target: "other", Playbook: "relieve_memory", Until: f.now.Add(3 * time.Minute), Mode: "dry_run", LastRun: "9", LastOutcome: "dry_run", LastEnd: ago(2 * time.Minute)},
		},
	}
}

var markup = regexp.MustCompile(`<[^>]*>|\s+`)

// words returns the text of a part of a page, without its markup.
func words(page, from, to string) string {
	_, page, _ = strings.Cut(page, from)
	page, _, _ = strings.Cut(page, to)
	return strings.Join(strings.Fields(markup.ReplaceAllString(page, " ")), " ")
}

func TestPageShowsRunsAndCooldowns(t *testing.T) {
	f := newFixture(t, nil)
	f.now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	f.sample(f.now, .452, series.LevelNormal)
	if page := f.do("GET", "/", nil, "").Body.String(); strings.Contains(page, "h-runs") || strings.Contains(page, "h-cooldowns") {
		t.Error("nothing is open and no cooldown holds, and the page has a section for it")
	}
	busy(f)
	check := func(path, runs, cooldowns string) {
		t.Helper()
		page := f.do("GET", path, nil, "").Body.String()
		of := map[string]string{"/": " of app"}[path]
		if diff := cmp.Diff("Waiting trim_cache"+of+" runs again at 10:00:55 , in 55 s : the remaining files are too young or in use", words(page, `<h2 id="h-waits">`, "</section>")); diff != "" {
			t.Errorf("%s: waits (-want +got):\n%s", path, diff)
		}
		if diff := cmp.Diff(runs, words(page, `<h2 id="h-runs">`, "</section>")); diff != "" {
			t.Errorf("%s: runs (-want +got):\n%s", path, diff)
		}
		if diff := cmp.Diff(cooldowns, words(page, `<h2 id="h-cooldowns">`, "</section>")); diff != "" {
			t.Errorf("%s: cooldowns (-want +got):\n%s", path, diff)
		}
	}
	const app = "relieve_memory enforce critical verifying step 2 of 3: evict_cache 45 files, 123MiB 12 s ago webhook: SpillwayMemoryCritical , serves 2 alerts"
	const waiting = "trim_cache enforce normal queued waits for relieve_memory – 20 s ago manual"
	const rest = "clean_temp%s until 10:04:00 , 4 min left ineffective 6 min ago · an emergency cannot break it again"
	check("/",
		"Open runs Target Playbook Level State So far Since Why app "+app+" other clean_temp dry run warning running step 1 of 1: clean_temp would affect 7 files 2 s ago standalone app "+waiting,
		"Cooldowns "+fmt.Sprintf(rest, " of app")+" relieve_memory of other dry run until 10:03:00 , 3 min left dry run 2 min ago · an emergency can break it once")
	check("/target/app", "Open runs Playbook Level State So far Since Why "+app+" "+waiting, "Cooldowns "+fmt.Sprintf(rest, ""))
	f.state.Activity.Runs, f.state.Activity.Draining = nil, true
	check("/target/app", "", "Cooldowns "+fmt.Sprintf(rest, ""))
}

// A run that changes nothing is never shown as one that did, whatever it counts.
func TestDryRunIsNeverShownAsActing(t *testing.T) {
	f := newFixture(t, nil)
	f.sample(f.now, .452, series.LevelNormal)
	for _, state := range []string{"queued", "running", "verifying"} {
		f.state.Activity = Activity{Runs: []Run{{
			ID: "1", Target: "app", Playbook: "clean_temp", Mode: "dry_run", Level: "warning", State: state, Step: 1, Steps: 1, Action: "clean_temp", Files: 7, Bytes: 1 << 20, Since: f.now,
		}}}
		got := words(f.do("GET", "/", nil, "").Body.String(), `<h2 id="h-runs">`, "</section>")
		if !strings.Contains(got, "dry run") || strings.Contains(got, "enforce") || !strings.Contains(got, "would affect 7 files, 1MiB") {
			t.Errorf("%s: %s", state, got)
		}
	}
}

// A long queue neither hides what runs nor fills the page, and texts are escaped.
func TestPageBoundsRuns(t *testing.T) {
	const hostile = `<script>alert("x")</script>`
	f := newFixture(t, nil)
	f.sample(f.now, .452, series.LevelNormal)
	a := &f.state.Activity
	for i := range 3 * pageRuns {
		a.Runs = append(a.Runs, Run{ID: fmt.Sprint(i), Target: "app", Playbook: "clean_temp", Mode: "enforce", Level: "warning", State: "queued", Since: f.now})
		a.Cooldowns = append(a.Cooldowns, Cooldown{Target: "app", Playbook: fmt.Sprint("p", i), Until: f.now, Mode: "enforce"})
	}
	a.Runs = append(a.Runs, Run{ID: "x", Target: hostile, Playbook: "at_work", Alert: hostile, Mode: "enforce", Level: "warning", State: "running", Since: f.now})
	page := f.do("GET", "/", nil, "").Body.String()
	if n := strings.Count(page, "waits to start"); n != pageRuns-1 || !strings.Contains(page, "at_work") || !strings.Contains(page, "101 more") || !strings.Contains(page, "100 more") {
		t.Errorf("%d waiting runs are shown, want %d and the one at work", n, pageRuns-1)
	}
	if strings.Contains(page, "<script>alert") {
		t.Error("a name is not escaped")
	}
}

func TestRunsAPI(t *testing.T) {
	f := newFixture(t, nil)
	if w := f.do("GET", "/api/v1/runs", nil, ""); w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != `{"status":"success","draining":false,"queued":0,"runs":[],"waits":[],"cooldowns":[],"pauses":[],"budgets":[],"proposals":[]}` {
		t.Errorf("when idle: %d %s", w.Code, w.Body)
	}
	busy(f)
	get := func(path string) (got Activity) {
		t.Helper()
		if err := json.Unmarshal(f.do("GET", path, nil, "").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if diff := cmp.Diff(f.state.Activity, get("/api/v1/runs")); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if got := get("/api/v1/runs?target=other"); len(got.Runs) != 1 || got.Runs[0].ID != "2" || len(got.Waits) != 0 || len(got.Cooldowns) != 1 || got.Queued != 1 || len(got.Pauses) != 1 || len(got.Budgets) != 1 {
		t.Errorf("of one target: %+v", got)
	}
	if w := f.do("POST", "/api/v1/runs", nil, ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}
