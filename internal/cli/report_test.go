package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/regret"
)

// TestReportOfDryRuns: dry runs name the same files again, so the largest counts; each reason is said, and what is
// not known is never 0.
func TestReportOfDryRuns(t *testing.T) {
	now := time.Now()
	var s targetSum
	for _, r := range []journal.Record{ // newest first
		{Time: now.Add(-time.Hour), Mode: "dry_run", Step: 1, Action: "clean_temp", Files: 3, FreedBytes: 4096, DurationSecs: 2, Outcome: "dry_run"},
		{Time: now.Add(-2 * time.Hour), Step: 1, Action: "pause"},
		{Time: now.Add(-30 * time.Hour), Mode: "dry_run", Step: 1, Action: "clean_temp", Files: 5, FreedBytes: 8192, DurationSecs: 1, Outcome: "failed", Error: "permission denied"},
		{Time: now.Add(-30 * time.Hour), Mode: "dry_run", Playbook: "clean_temp", Outcome: "dry_run"},
		{Time: now.Add(-20 * 24 * time.Hour), Mode: "dry_run", Step: 1, Action: "clean_temp", Files: 500}, // before the span
	} {
		s.add(&r, now.Add(-7*day))
	}
	a := s.actions[0]
	if len(s.actions) != 1 || a.Runs != 2 || a.Files != 5 || a.Freed != 8192 || a.Longest != 2 || now.Sub(s.first) != 20*day || len(s.runs) != 1 {
		t.Fatalf("%+v", s)
	}
	type change func(tr *targetReport, a *actionReport, w *weekReport)
	f := func(want, reason string, known *obstacles, changes ...change) {
		t.Helper()
		a := actionReport{Action: "clean_temp", Mode: "dry_run", Runs: 2, Files: 5, OnFiles: true, Again: &regret.Count{NotUsed: 200, Scale: 1}, Outcomes: map[string]int{"dry_run": 2}}
		tr, w := targetReport{Target: "app", Mode: "dry_run", First: now.Add(-7 * day)}, &weekReport{Until: now, span: 7 * 24 * 3600e9}
		for _, c := range changes {
			c(&tr, &a, w)
		}
		tr.Actions = append(tr.Actions, a)
		tr.judge(w, known)
		if got := strings.Join(tr.Reasons, "\n"); tr.Verdict != want || !strings.Contains(got, reason) || reason == "" && got != "" {
			t.Errorf("%s %q, want %s %q", tr.Verdict, got, want, reason)
		}
	}
	none := new(obstacles)
	again := func(c *regret.Count) change {
		return func(_ *targetReport, a *actionReport, _ *weekReport) { a.Again = c }
	}
	failed := func(ago time.Duration) change {
		return func(_ *targetReport, a *actionReport, _ *weekReport) {
			a.Outcomes, a.Bad, a.Error = map[string]int{"failed": 1, "dry_run": 1}, now.Add(-ago), "permission denied"
		}
	}
	outcome := func(name string) change {
		return func(tr *targetReport, _ *actionReport, _ *weekReport) {
			tr.Runs = []runReport{{"relieve_memory", "dry_run", 4, map[string]int{name: 3}}}
		}
	}
	f("ready", "", none)
	f("ready", "", none, outcome("relieved"))
	f("ready", "clean_temp ended failed 1 of 2 times, last 3d ago: permission denied", none, failed(3*day))
	f("enforcing", "", none, func(tr *targetReport, _ *actionReport, _ *weekReport) { tr.Mode = "enforce" })
	f("not_ready", "clean_temp ended failed 1 of 2 times, last 1d ago: permission denied", none, failed(day))
	f("not_ready", "the first decision is 2d old: wait until it is 6d old", none, func(tr *targetReport, _ *actionReport, _ *weekReport) { tr.First = now.Add(-50 * time.Hour) })
	f("not_ready", "1h is too short to judge: write --since=7d", none, func(_ *targetReport, _ *actionReport, w *weekReport) { w.span = 3600e9 })
	f("not_ready", "10 of 100 files (10.0%) were used again, 9 of them within a day: raise max_age", none, again(&regret.Count{NotUsed: 90, Soon: 9, Later: 1, Scale: 1}))
	f("not_ready", "relieve_memory did not relieve the pressure in 3 of 4 runs", none, outcome("ineffective"))
	f("not_ready", "relieve_memory was due 3 more times than its budget allows", none, outcome("needs_human"))
	f("not_ready", "needs a token", &obstacles{of: map[string][]string{"": {"needs a token"}}})
	f("not_ready", "needs CAP_FOWNER", &obstacles{of: map[string][]string{"app": {"needs CAP_FOWNER"}, "other": {"x"}}})
	f("your_call", "whether the files are used again is not known", none, again(nil))
	f("your_call", "not known (the file system keeps no time of access)", none, again(&regret.Count{Victims: 5, NotSeen: 5, NoAtime: true, Scale: 1}))
	var empty targetReport
	empty.judge(&weekReport{Until: now, span: 7 * 24 * 3600e9}, none)
	if empty.Verdict != verdictNotReady || !strings.Contains(empty.Reasons[0], "nothing was decided") {
		t.Errorf("%+v", empty)
	}
}

// noExporter is an address at which none listens.
const noExporter = "--web.listen-address=127.0.0.1:1"

// week writes a real journal: a dry run of a folder each day for a week, whose files are there, one of them used since.
func week(t *testing.T) (flag string, now time.Time) {
	t.Helper()
	dir := realDir(t)
	now = time.Now().Truncate(time.Second)
	config := "mode: dry_run\ntargets:\n  - name: app\n    temp_dirs: [{name: t, dir: " + dir + "/t, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}]\n  - name: quiet\n    processes: {match: {comm: spillway-none}}\n"
	flag = configFlag(t, config)
	j, err := journal.Open(journal.Options{Dir: strings.TrimSuffix(strings.TrimPrefix(flag, "--config.file="), "/spillway.yml") + "/journal", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	at := now.Add(-7*day + time.Hour)
	victims := regret.New(j, func() time.Time { return at })
	for range 7 {
		run := victims.Begin("app")
		for i := range 20 {
			run.Note("temp", "t", fmt.Appendf(nil, "%02d.tmp", i))
		}
		if err := run.End(t.Context()); err != nil {
			t.Fatal(err)
		}
		record(t, j, journal.Record{Time: at, Target: "app", Playbook: "clean_temp", Mode: "dry_run", Trigger: "schedule", Outcome: "dry_run"},
			journal.Record{Time: at, Target: "app", Playbook: "clean_temp", Mode: "dry_run", Step: 1, Action: "clean_temp", Files: 20, FreedBytes: 20 << 20, DurationSecs: 1.5, Outcome: "dry_run"})
		at = at.Add(day)
	}
	first := now.Add(-7 * day)
	for i := range 20 {
		name := fmt.Sprintf("%s/t/%02d.tmp", dir, i)
		writeTest(t, name, "x")
		used := first.Add(-9 * day)
		if i == 7 {
			used = first.Add(5 * time.Hour)
		}
		if err := os.Chtimes(name, used, used); err != nil {
			t.Fatal(err)
		}
	}
	return flag, now
}

// record writes a run and its steps.
func record(t *testing.T, j *journal.Journal, records ...journal.Record) {
	t.Helper()
	run := ""
	for _, r := range records {
		r.RunID = run
		was := r
		r.Outcome = ""
		id, err := j.Begin(t.Context(), r)
		if err == nil {
			err = j.Finish(t.Context(), id, func(w *journal.Record) { *w = was })
		}
		if err != nil {
			t.Fatal(err)
		}
		if run == "" {
			run = id
		}
	}
}

// TestReport: the command reads a real journal of a week and names what was used again; a target that decided nothing
// is not ready.
func TestReport(t *testing.T) {
	flag, _ := week(t)
	r := runLine(t, "report", flag, noExporter, "--output=json")
	var w weekReport
	if err := json.Unmarshal([]byte(r.out), &w); err != nil || len(w.Targets) != 2 || len(w.Targets[0].Actions) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	app, quiet := w.Targets[0], w.Targets[1]
	a := app.Actions[0]
	if a.Runs != 7 || a.Files != 20 || a.Freed != 20<<20 || a.Longest != 1.5 || a.Again == nil || a.Again.Victims != 20 || a.Again.Soon != 1 {
		t.Errorf("%+v, used again %+v", a, a.Again)
	}
	if app.Verdict != verdictNotReady || !a.Again.NoAtime && !strings.Contains(strings.Join(app.Reasons, "\n"), "1 of 20 files (5.0%) were used again, 1 of them within a day") {
		t.Errorf("%s %q", app.Verdict, app.Reasons)
	}
	if quiet.Verdict != verdictNotReady || !strings.Contains(strings.Join(quiet.Reasons, "\n"), "nothing was decided in the last 7d") {
		t.Errorf("%s %q", quiet.Verdict, quiet.Reasons)
	}
	if !strings.Contains(strings.Join(quiet.Reasons, "\n"), "no process matches it now") || strings.Contains(strings.Join(app.Reasons, "\n"), "no process") {
		t.Errorf("%q, %q", quiet.Reasons, app.Reasons)
	}
	if !strings.Contains(strings.Join(w.Notes, "\n"), "which sources fail is not known, since no exporter listens on 127.0.0.1:1:") {
		t.Errorf("%q", w.Notes)
	}
	r = runLine(t, "report", flag, noExporter, "--target=app")
	for _, want := range []string{"app (dry_run)", "ACTION      MODE     RUNS  FILES  WOULD FREE  LONGEST", "clean_temp  dry_run  7     20     20MiB       1.5s", "not ready:", "each dry run names the same files again"} {
		if r.code != ExitOK || !strings.Contains(r.out, want) {
			t.Errorf("%q is not in\n%s%s", want, r.out, r.errs)
		}
	}
	if strings.Contains(r.out, "quiet") {
		t.Error(r.out)
	}
	if r := runLine(t, "report", flag, "--web.listen-address=:1", "--target=app"); !strings.Contains(r.out, "mode enforce would be refused") {
		t.Error("without a token:", r.out)
	}
}

// TestReportRefuses: no journal, and what cannot be meant.
func TestReportRefuses(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/due.tmp")
	file := configFlag(t, tempTarget(dir))
	f := func(code int, want string, args ...string) {
		t.Helper()
		if r := runLine(t, append([]string{"report", noExporter}, args...)...); r.code != code || !strings.Contains(r.errs, want) {
			t.Errorf("%q: %+v", args, r)
		}
	}
	f(ExitFailure, "there is no journal yet", file)
	f(ExitConfig, "--since", file, "--since=-1d")
	f(ExitConfig, "--target other: no such target", file, "--target=other")
	f(ExitConfig, "nothing to report: no target is configured")
	if r := runLine(t, "cleanup", "--enforce", file); r.code != ExitOK {
		t.Fatalf("%+v", r)
	}
	r := runLine(t, "report", file, noExporter)
	if r.code != ExitOK || !strings.Contains(r.out, "clean_temp  enforce  1     1 ") {
		t.Errorf("%+v", r)
	}
}

// TestReportLearns: what steps have achieved, and what follows from it.
func TestReportLearns(t *testing.T) {
	file := configFlag(t, "mode: enforce\ntargets:\n  - name: app\n    processes: {match: {comm: spillway-none}}\n")
	j, err := journal.Open(journal.Options{Dir: strings.TrimSuffix(strings.TrimPrefix(file, "--config.file="), "/spillway.yml") + "/journal", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-3 * day)
	for range 12 {
		run := journal.Record{Time: at, Target: "app", Playbook: "relieve_memory", Mode: "enforce", Trigger: "webhook", Outcome: "relieved", DurationSecs: 4}
		evict, collect := run, run
		evict.Step, evict.Action, evict.Outcome, evict.FreedBytes, evict.DurationSecs = 1, "evict_cache", "done", 8<<20, 2
		collect.Step, collect.Action, collect.Outcome, collect.DurationSecs = 2, "collect_garbage", "done", 2
		record(t, j, run, evict, collect)
		at = at.Add(time.Hour)
	}
	j.Close()
	r := runLine(t, "report", file, noExporter)
	for _, want := range []string{
		"PLAYBOOK        STEP               RELIEVED  FREED/S  LEVEL BACK AFTER",
		"relieve_memory  1 evict_cache      0 of 12   4MiB     -",
		"relieve_memory  2 collect_garbage  12 of 12  -        59m56s",
		"advice: evict_cache of relieve_memory relieved 0 of 12 runs: move it behind collect_garbage, which relieved 12 of 12",
		"already enforcing",
	} {
		if r.code != ExitOK || !strings.Contains(r.out, want) {
			t.Errorf("%q is not in\n%s%s", want, r.out, r.errs)
		}
	}
}

// TestFailingSources: the running exporter says which sources fail; what answers otherwise is not believed.
func TestFailingSources(t *testing.T) {
	const own = "# TYPE spillway_exporter_build_info gauge\nspillway_exporter_build_info{version=\"1\"} 1\n# TYPE spillway_source_success gauge\n"
	body, status := "", http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/m" {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	f := func(text string, code int, want map[string][]string, err string) {
		t.Helper()
		body, status = text, code
		var o obstacles
		got := o.askSources(context.Background(), strings.TrimPrefix(server.URL, "http://"), "/m")
		if !maps.EqualFunc(o.of, want, slices.Equal) || (got == nil) != (err == "") || got != nil && !strings.Contains(got.Error(), err) {
			t.Errorf("%q, %v", o.of, got)
		}
	}
	f(own+"spillway_source_success{source=\"temp\",target=\"app\",name=\"tts\"} 0\nspillway_source_success{source=\"heap\",target=\"app\",name=\"\"} 1\n", 200,
		map[string][]string{"app": {"the source temp tts cannot be read now: the status page says why"}}, "")
	f(own, 200, nil, "")
	f("x 1\n", 200, nil, "is not a spillway_exporter")
	f(own, 500, nil, "500")
	f("{", 200, nil, "text format")
}
