package web

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// several is a handler over four targets: one with a cache at 380%, one full, one whose level is not known and
// one that is well.
func several(t *testing.T) *fixture {
	f := newFixture(t, nil)
	f.state.Modes = map[string]string{"full": "enforce", "posters": "dry_run", "well": "dry_run", "unknown": "propose"}
	f.batch.Reset(f.now)
	for name, share := range map[string]float64{"full": .9, "posters": .2, "well": .6} {
		f.batch.Set(used, share*(1<<30), name)
		f.batch.Set(limit, 1<<30, name)
		f.batch.Set(ratio, share, name)
		f.batch.Set(level, map[bool]float64{true: 2}[share > .85], name)
		f.batch.Set(procs, 1, name)
	}
	f.batch.Set(procs, 1, "unknown")
	f.batch.Set(metric.MemoryResident, 5<<20, "unknown")
	f.batch.Set(metric.CacheSize, 380, "posters", "p")
	f.batch.Set(metric.CacheMaxSize, 100, "posters", "p")
	f.batch.Set(metric.CacheUsedRatio, 3.8, "posters", "p")
	f.store.Commit(&f.batch)
	return f
}

var rowNames = regexp.MustCompile(`<tr role="row" id="t-([a-z]+)" class="r-(.)">`)

// rowsOf returns the targets of a page in their order, each with the class of its level.
func rowsOf(page string) string {
	var out []string
	for _, m := range rowNames.FindAllStringSubmatch(page, -1) {
		out = append(out, m[1]+":"+m[2])
	}
	return strings.Join(out, " ")
}

// TestStripAndHint: of one target the mode alone is named, and where all were found on the host the page says what to do next.
func TestStripAndHint(t *testing.T) {
	f := func(want, not string, modes map[string]string) {
		t.Helper()
		x := newFixture(t, nil)
		x.sample(x.now, .5, series.LevelNormal)
		x.state.Modes = modes
		page := x.do("GET", "/", nil, "").Body.String()
		if !strings.Contains(page, want) || strings.Contains(page, not) {
			t.Errorf("%v: want %q and not %q in %s", modes, want, not, page)
		}
	}
	const hint = "quickstart.md"
	f(hint, "Dry run", map[string]string{})
	f("<b>Enforce</b>", hint, map[string]string{"app": "enforce"})
	f("<b>Dry run</b> <span class=\"soft\">Nothing is changed.", hint, map[string]string{"app": "dry_run"})
}

// TestHeadingOfAFreshHost: what discovery does not show has no limit, and leaves no doubt about the others.
func TestHeadingOfAFreshHost(t *testing.T) {
	f := newFixture(t, nil)
	f.batch.Reset(f.now)
	for _, name := range []string{"a", "b"} {
		f.batch.Set(used, 1<<20, name)
		f.batch.Set(limit, 1<<30, name)
		f.batch.Set(ratio, .001, name)
		f.batch.Set(level, 0, name)
		f.batch.Set(procs, 1, name)
	}
	f.batch.Set(procs, 1, health.Overflow)
	f.batch.Set(metric.MemoryResident, 5<<20, health.Overflow)
	f.store.Commit(&f.batch)
	if page := f.do("GET", "/", nil, "").Body.String(); !strings.Contains(page, "All 2 targets with a limit are normal") {
		t.Error("the heading does not say that all are normal that have a limit")
	}
	f.batch.Set(procs, 1, "c")
	f.batch.Set(metric.MemoryResident, 5<<20, "c")
	f.store.Commit(&f.batch)
	if page := f.do("GET", "/", nil, "").Body.String(); !strings.Contains(page, "No target needs attention; the level of 2 of 4 is not known") {
		t.Error("the heading does not say of how many the level is not known")
	}
}

// TestOverviewOrder: colour, count and order follow the one level of each target, and each bar its own.
func TestOverviewOrder(t *testing.T) {
	f := several(t)
	page := f.do("GET", "/", nil, "").Body.String()
	if got, want := rowsOf(page), "full:c posters:c unknown:u well:n"; got != want {
		t.Errorf("rows %s, want %s", got, want)
	}
	for _, want := range []string{"2 of 4 targets need attention", "</svg>2 critical", "</svg>1 unknown", "</svg>1 normal", "p at 380% of its size", "Dry run: 2 of 4 targets", "1 enforces, 1 proposes", `<span class="v c">p 380%</span>`, "no limit is known"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	// The memory of the target with the full cache is well, and so is its bar.
	_, row, _ := strings.Cut(page, `id="t-posters"`)
	row, _, _ = strings.Cut(row, "</tr>")
	if !strings.Contains(row, `<svg class="b n"`) {
		t.Errorf("the bar of the memory has not its own level: %s", row)
	}
}

// TestOverviewFilter: text, level and order are in the address and work without scripts.
func TestOverviewFilter(t *testing.T) {
	f := several(t)
	for path, want := range map[string]string{
		"/?q=POST":                      "posters:c",
		"/?q=380":                       "posters:c",
		"/?q=propose":                   "unknown:u",
		"/?level=normal":                "well:n",
		"/?level=critical&q=full":       "full:c",
		"/?sort=name":                   "full:c posters:c unknown:u well:n",
		"/?sort=memory":                 "full:c well:n posters:c unknown:u",
		"/?sort=caches":                 "posters:c full:c unknown:u well:n",
		"/?sort=mode":                   "full:c unknown:u posters:c well:n",
		"/?sort=nonsense&expand=-3":     "full:c posters:c unknown:u well:n",
		"/?q=%3Cscript%3Ealert(1)&x=%0": "",
	} {
		w := f.do("GET", path, nil, "")
		page := w.Body.String()
		if got := rowsOf(page); w.Code != http.StatusOK || got != want {
			t.Errorf("%s: %d %s, want %s", path, w.Code, got, want)
		}
		if want == "" && (!strings.Contains(page, "No target matches") || strings.Contains(page, "<script>alert")) {
			t.Errorf("%s: nothing is said, or a text is not escaped", path)
		}
	}
	page := f.do("GET", "/?level=critical&sort=memory", nil, "").Body.String()
	for _, want := range []string{`name="level" value="critical"`, `aria-sort="descending"><a href="/?level=critical&amp;sort=memory#targets"`, `href="/?sort=memory#targets">all 4`} {
		if !strings.Contains(page, want) {
			t.Errorf("the filter is lost: no %s", want)
		}
	}
	if n := strings.Count(f.do("GET", "/?expand=all", nil, "").Body.String(), `class="more"`); n != 4 {
		t.Errorf("%d rows have their details, want all", n)
	}
	if n := strings.Count(f.do("GET", "/?level=normal", nil, "").Body.String(), `class="more"`); n != 0 {
		t.Errorf("%d rows that are well have their details", n)
	}
}

// TestAlertAnswers: each alert says what is done about it, and also when nothing is.
func TestAlertAnswers(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	f := func(name string, change func(*State), playbook, want string) {
		t.Helper()
		st := State{Modes: map[string]string{"app": "enforce"}}
		change(&st)
		r := alertRow{Target: "app", Alert: Alert{Labels: map[string]string{alert.LabelPlaybook: playbook}}}
		r.answer(&st, &journal.Record{Playbook: "other"}, now)
		if got := r.Does + ": " + r.How; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	later := now.Add(5 * time.Minute)
	f("no playbook", func(*State) {}, "", "Nothing: no playbook for this alert.")
	f("running", func(st *State) {
		st.Activity.Runs = []Run{{Target: "app", Playbook: "p", Mode: "enforce", State: "running", Step: 1, Steps: 2, Action: "evict_cache"}}
	}, "p", "Running: p, step 1 of 2: evict_cache.")
	f("dry run", func(st *State) {
		st.Activity.Runs = []Run{{Target: "app", Playbook: "p", Mode: "dry_run", State: "running"}}
	}, "p", "Dry run: p, starting.")
	f("proposed", func(st *State) {
		st.Activity.Proposals = []Proposal{{ID: "1", Target: "app", Playbook: "p", Until: later}}
	}, "p", "Proposed: p, waiting for approval until 10:05:00.")
	f("paused", func(st *State) { st.Activity.Pauses = []Pause{{Until: later}} }, "p", "Paused: until 10:05:00.")
	f("waiting", func(st *State) { st.Activity.Waits = []Wait{{Target: "app", Playbook: "p", Until: later}} }, "p", "Waiting: p runs again at 10:05:00.")
	f("cooling down", func(st *State) {
		st.Activity.Cooldowns = []Cooldown{{Target: "app", Playbook: "p", Until: later, LastOutcome: "nothing_to_do"}}
	}, "p", "Waiting: p is cooling down until 10:05:00; the last run: nothing to do.")
	f("of another target", func(st *State) {
		st.Activity.Cooldowns = []Cooldown{{Target: "other", Playbook: "p", Until: later}}
	}, "p", "Next: p.")
	f("mode dry_run", func(st *State) { st.Modes["app"] = "dry_run" }, "p", "Dry run: p is decided and recorded; nothing is changed.")
	f("observed", func(st *State) { delete(st.Modes, "app") }, "p", "Nothing: app is only observed.")
}

// TestAlertsAreBounded: the most severe of many firing alerts are listed, and a link shows all.
func TestAlertsAreBounded(t *testing.T) {
	f := newFixtureWithApp(t)
	for i := range 3 * pageAlerts {
		severity := "warning"
		if i == 3*pageAlerts-1 {
			severity = "critical"
		}
		f.state.Alerts = append(f.state.Alerts, Alert{Name: fmt.Sprint("A", i), State: "firing", Labels: map[string]string{"target": "app", "severity": severity}, ActiveAt: f.now})
	}
	page := f.do("GET", "/", nil, "").Body.String()
	if n := strings.Count(page, "s-firing"); n != pageAlerts || !strings.Contains(page, "16 more alerts") || strings.Index(page, "A23") > strings.Index(page, "A0<") {
		t.Errorf("%d alerts are listed, want the %d most severe", n, pageAlerts)
	}
	if n := strings.Count(f.do("GET", "/?show=all", nil, "").Body.String(), "s-firing"); n != 3*pageAlerts {
		t.Errorf("%d of all alerts are listed", n)
	}
}

// TestAdvice: every recommendation has a command that changes nothing, and it names the folder and the configuration.
func TestAdvice(t *testing.T) {
	target := health.Target{Name: "my app", Temps: []health.Temp{{Name: "t"}, {Name: "tts"}}, Caches: []health.Cache{{Name: "media"}}}
	f := func(action, config, want string) {
		t.Helper()
		if got := commandFor(&target, action, config); got != want {
			t.Errorf("%s: %s, want %s", action, got, want)
		}
	}
	f("Remove 592 empty files in tts: frees 592 inodes", usualConfig, "spillway_exporter cleanup --dry-run --files --target 'my app' --policy tts")
	f("Evict the least recently used entries of media: it is at 150% of its limits", "/srv/s.yml", "spillway_exporter cleanup --dry-run --files --target 'my app' --policy media --config.file /srv/s.yml")
	f("Rotate 3 logs in gone that are over their size", "", "spillway_exporter cleanup --dry-run --files --target 'my app'")
	f("Memory is at 88% (critical): shed load", "", "spillway_exporter evidence 'my app'")
	f("The node heap is at 91% of its limit: collect garbage", "", "spillway_exporter evidence 'my app'")
	f("The source heap cannot be read", "", "spillway_exporter check")
	f("No process of my app is running", "", "spillway_exporter check")
	f("SpillwaySlow fires: it is slow", "", "spillway_exporter journal --since 24h --target 'my app'")
	f("System operating normally", "", "")
	target.Recommendations = []health.Recommendation{{Priority: "low", Action: "System operating normally"}, {Priority: "high", Action: "Memory is full"}}
	if a := newAdvice(&target, ""); len(a) != 2 || a[0].Command != "" || a[1].Command == "" {
		t.Errorf("%+v", a)
	}
	if got := quoted("it's"); got != `'it'\''s'` {
		t.Errorf("quoted %s", got)
	}
}

// TestObjectives: what is kept and what is not, where both the limit and the value are known.
func TestObjectives(t *testing.T) {
	got := objectives(&health.Target{
		UsedBytes: new(903.0 * (1 << 20)), LimitBytes: new(1.0 * (1 << 30)), Probe: &health.Probe{DurationSeconds: new(.25), MaxSeconds: new(.2), StartupSeconds: new(2.5)},
		Temps: []health.Temp{{Name: "tts", Files: new(655.0), MaxFiles: new(100.0)}}, Caches: []health.Cache{{Name: "media", UsedRatio: new(.5)}},
	})
	want := []objective{
		{"Response time of the probe", "200ms", "250ms", false},
		{"Memory below its limit", "1GiB", "903MiB", true},
		{"media: within its limits", "100%", "50%", true},
		{"tts: files within the limit", "100", "655", false},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// TestLinksToOtherTools: Prometheus and the dashboard are linked where the configuration names them, the dashboard of
// the very target on its page; JSON is linked from the page of the API only.
func TestLinksToOtherTools(t *testing.T) {
	f := newFixtureWithApp(t)
	f.records = []journal.Record{{ID: "1", RunID: "1", Target: "app", Playbook: "p", Mode: "enforce", Outcome: "relieved", Time: f.now}}
	for _, path := range []string{"/", "/target/app", "/journal"} {
		if page := f.do("GET", path, nil, "").Body.String(); strings.Contains(page, `href="/health`) || regexp.MustCompile(`href="/api/v1/[a-z]`).MatchString(page) || strings.Contains(page, "Prometheus</a>") {
			t.Errorf("%s links to JSON, or to what is not configured", path)
		}
	}
	f.state.PrometheusURL, f.state.DashboardURL, f.state.DashboardHome = "https://prometheus.example.org/", "https://grafana.example.org/d/x?var-target={target}", "https://grafana.example.org/d/x"
	for path, want := range map[string]string{"/": `href="https://grafana.example.org/d/x"`, "/target/app": `href="https://grafana.example.org/d/x?var-target=app"`, "/journal": `href="https://prometheus.example.org/"`, "/api/v1/": `href="/api/v1/journal"`} {
		if page := f.do("GET", path, nil, "").Body.String(); !strings.Contains(page, want) {
			t.Errorf("%s has no link %s", path, want)
		}
	}
}

// TestJournalPage: the records for people, those of one target where it is named, and a link to older ones.
func TestJournalPage(t *testing.T) {
	var asked journal.Filter
	f := newFixture(t, func(o *Options) {
		o.Journal = func(f journal.Filter) ([]journal.Record, string, error) {
			asked = f
			return []journal.Record{{ID: "7", RunID: "7", Target: "app", Playbook: "<p>", Mode: "enforce", Outcome: "relieved", Time: time.Now()}}, "7", nil
		}
	})
	page := f.do("GET", "/journal?target=app&outcome=relieved&after=9", nil, "").Body.String()
	if asked != (journal.Filter{Target: "app", Outcome: "relieved", After: "9", Limit: journalActions}) {
		t.Errorf("asked for %+v", asked)
	}
	if !strings.Contains(page, "&lt;p&gt;") || !strings.Contains(page, `href="/journal?after=7&amp;outcome=relieved&amp;target=app"`) {
		t.Error("no record, or no link to older ones")
	}
}

// TestRunsBeforeTheirSteps: the journal has the newest record first; people read a run and then its steps.
func TestRunsBeforeTheirSteps(t *testing.T) {
	var got []string
	for _, r := range grouped([]journal.Record{{RunID: "b", Step: 1}, {RunID: "a", Step: 2}, {RunID: "b"}, {RunID: "a", Step: 1}, {RunID: "a"}, {RunID: "c", Step: 3}}) {
		got = append(got, fmt.Sprintf("%s%d%v", r.RunID, r.Step, r.First))
	}
	if want := []string{"b0true", "b1false", "a0true", "a1false", "a2false", "c3true"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestLanes: starts, alerts and runs of a period are marked in each chart; runs that are near are one mark.
func TestLanes(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 100 {
		f.sample(f.now.Add(time.Duration(i-99)*5*time.Second), .5, series.LevelNormal)
	}
	f.batch.Set(metric.ProcessOldestStart, float64(f.now.Add(-5*time.Minute).Unix()), "app")
	f.batch.Set(metric.HeapUsed, 1<<20, "app", "node")
	f.store.Commit(&f.batch)
	f.state.Alerts = []Alert{{Name: "A", State: "firing", Labels: map[string]string{"target": "app", "severity": "warning"}, ActiveAt: f.now.Add(-time.Minute)}}
	for i := range 3 {
		f.records = append(f.records, journal.Record{ID: fmt.Sprint(i), RunID: fmt.Sprint(i), Target: "app", Playbook: "p", Mode: "enforce", Outcome: "relieved", Time: f.now.Add(-time.Duration(i) * time.Second)})
	}
	f.records = append(f.records, journal.Record{ID: "8", RunID: "8", Target: "app", Playbook: "q", Alert: "A", Mode: "enforce", Outcome: "ineffective", Time: f.now.Add(-10 * time.Minute)})
	page := f.do("GET", "/target/app", nil, "").Body.String()
	for _, want := range []string{"started ", `class="al w" x="93.33%"`, "A since", `aria-label="1: q at `, "ineffective, for A", "2: 3 runs until", `href="#r-0"`, `id="r-0"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if n := strings.Count(page, `<line class="ev"`); n != 2 {
		t.Errorf("%d charts have the start, want that of the memory and that of the heap", n)
	}
	if n := strings.Count(page, `<rect class="al w"`); n != 2 {
		t.Errorf("%d charts have the alert, want that of the memory and that of the heap", n)
	}
	if n := strings.Count(page, `<line class="rn"`); n != 2 || !strings.Contains(page, "<title>q at ") {
		t.Errorf("the chart of the heap has %d runs, want 2", n)
	}
	if strings.Contains(page, `aria-label="3:`) {
		t.Error("runs within three seconds have several marks")
	}
}

// TestIDs: elements have ids that references find, different ones for different names.
func TestIDs(t *testing.T) {
	for name, want := range map[string]string{"app": "app", "service-001": "service-001"} {
		if got := idOf(name); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
	a, b := idOf("shop/web 1"), idOf("shop/web_1")
	if a == b || !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(a+b) {
		t.Errorf("%s and %s", a, b)
	}
}
