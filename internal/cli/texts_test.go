package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/convert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

// TestJournalRows: an intent without a result is open, a run is marked, and no text of a record breaks the
// table.
func TestJournalRows(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.Local)
	records := []journal.Record{ // newest first
		{Time: at.Add(time.Second), Target: "app", Playbook: "p", Step: 1, Action: "clean_temp", Mode: "enforce", Files: 3, FreedBytes: 2048, Outcome: "failed", Error: "line\none\ttwo\x1b[2J"},
		{Time: at, Target: "app", Playbook: "p", Trigger: "webhook", Before: "90%"},
	}
	if err := printRecords(&env{Options: Options{Stdout: &out}}, "table", records); err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Fields(line))
	}
	want := [][]string{
		{"TIME", "TARGET", "PLAYBOOK", "ACTION", "TRIGGER", "MODE", "FILES", "FREED", "BEFORE", "AFTER", "OUTCOME", "ERROR"},
		{"2026-11-23", "10:00:00", "app", "p", "(run)", "webhook", "-", "0", "0B", "90%", "-", "open", "-"},
		{"2026-11-23", "10:00:01", "app", "p", "clean_temp", "-", "enforce", "3", "2KiB", "-", "-", "failed", "line", "one", "two", "[2J"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// printed returns what a plan prints.
func printed(p *plan) string {
	var out bytes.Buffer
	p.print(&out)
	return out.String()
}

// TestPlanText: every line of a plan that a target can have.
func TestPlanText(t *testing.T) {
	tp := targetPlan{Name: "app", Mode: "enforce", Resident: 3 << 20, Limit: 1000 << 20}
	for i := range checkMembers + 2 {
		tp.Processes = append(tp.Processes, processPlan{PID: i + 1, Name: "node", Resident: 1 << 20, Child: i == 1})
	}
	tp.Cleanup = []action.PolicyResult{
		{Kind: "temp", Policy: "t", Dir: "/srv/a\nb", Files: 2, Scanned: 5, Bytes: 2048, Skipped: map[string]int64{"too_young": 2, "in_use": 1}},
		{Kind: "upload", Policy: "u", Dir: "/srv/u", Quarantine: "/srv/q", Files: 1, Scanned: 1},
		{Kind: "log", Policy: "l", Dir: "/srv/l", Scanned: 3, Rotated: 1, Error: "one\nerror", InUseIncomplete: true},
	}
	p := plan{Config: "x.yml", Rules: 3, Warnings: []string{"mind"}, Targets: []targetPlan{tp, {Name: "group"}}, thresholds: series.Thresholds{Warning: .5, Critical: .75, Emergency: .9}}
	var rest strings.Builder
	for pid := 3; pid <= checkMembers; pid++ {
		fmt.Fprintf(&rest, "%11d  node                       1MiB\n", pid)
	}
	want := `x.yml: ok, 3 rules, evaluated by Prometheus
warning: mind

app (enforce)
  12 processes, 3MiB resident
          1  node                       1MiB
          2  node                       1MiB  (child)
` + rest.String() + `    and 2 more
  memory limit 1000MiB (or the cgroup's or host's, if lower): warning at 500MiB, critical at 750MiB, emergency at 900MiB
  temp t: would remove 2 of 5 files in "/srv/a\nb", 2KiB; left alone: in_use 1, too_young 2
  upload u: would move to /srv/q 1 of 1 files in /srv/u, 0B
  log l: would remove 0 of 3 files in /srv/l, 0B; would rotate 1; one error

group (observed)
  no process matches now

nothing was changed
a clean-up now would remove 3 files, 2KiB, and rotate 1 log; to list them: spillway_exporter cleanup --dry-run --files --config.file=x.yml
` + action.InUseIncomplete + `
serve would act on 1 of 1 targets: those in mode enforce
`
	if diff := cmp.Diff(want, printed(&p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p = plan{Rules: 1, Every: "15s", Targets: []targetPlan{{Name: "one", Mode: "dry_run", Processes: []processPlan{{PID: 1, Name: "a\x1bb"}}, Cleanup: []action.PolicyResult{{Files: 1, Rotated: 2}}}}}
	got := printed(&p)
	for _, want := range []string{
		"embedded defaults: ok, 1 rules, evaluated here every 15s\n", "  1 process, 0B resident\n", `"a\x1bb"`, "remove 1 file, 0B, and rotate 2 logs;", "\nto watch services of your own, write a configuration: ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestCheckOfThisHost: without a configuration the plan is of the largest groups of this host, and
// changes nothing.
func TestCheckOfThisHost(t *testing.T) {
	r := runLine(t, "check")
	if r.code != ExitOK || !strings.HasPrefix(r.out, "embedded defaults: ok, ") || !strings.Contains(r.out, " (observed)\n") || !strings.Contains(r.out, " resident\n") || strings.Contains(r.out, "cleanup --dry-run") {
		t.Errorf("%+v", r)
	}
	missing := realDir(t) + "/none"
	if r = runLine(t, "check", "--path.procfs="+missing); r.code == ExitOK || !strings.Contains(r.errs, missing) {
		t.Errorf("a procfs that does not exist: %+v", r)
	}
}

// TestExportRefuses: a folder that cannot be made, and whatever stands in the place of a file, is named and
// stays as it is; a link to nowhere is not followed.
func TestExportRefuses(t *testing.T) {
	dir := realDir(t)
	writeTest(t, dir+"/file", "x")
	if r := runLine(t, "export", dir+"/file/sub"); r.code != ExitFailure || !strings.Contains(r.errs, "export: mkdir "+dir+"/file") {
		t.Errorf("%+v", r)
	}
	out, elsewhere := dir+"/out", dir+"/elsewhere"
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(out, rules.Bundle)); err != nil {
		t.Fatal(err)
	}
	if r := runLine(t, "export", out); r.code != ExitFailure || !strings.Contains(r.errs, "file exists") {
		t.Errorf("%+v", r)
	}
	have(t, elsewhere, false)
}

// TestImportGroups: each way in which process-exporter makes groups of everything is kept.
func TestImportGroups(t *testing.T) {
	file := filepath.Join(realDir(t), "all.yaml")
	for _, name := range []string{"{{.Comm}}", "{{.Username}}:{{.Comm}}", "{{ .Cgroups }}", "{{.ExeBase}}", "{{.ExeFull}}", "{{.PID}}", "{{if .Matches.A}}a{{end}}"} {
		writeTest(t, file, "process_names: [{name: '"+name+"', cmdline: ['.+']}]\n")
		r := runLine(t, "export", "--from-process-exporter="+file)
		want := "discover:\n  children: true\n  groups:\n    - {name: '" + name + "', match: {cmdline: '.+'}}\n"
		if _, body, _ := strings.Cut(r.out, "groupname=...}.\n"); r.code != ExitOK || body != want {
			t.Errorf("%s: %+v, want %q", name, r, want)
		}
	}
	if r := runLine(t, "export", "--from-process-exporter="+file+".none"); r.code != ExitConfig || !strings.Contains(r.errs, "no such file") {
		t.Errorf("%+v", r)
	}
}

// TestQuote: what YAML would read as something else is quoted.
func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"node": "node", "/usr/bin/node": "/usr/bin/node", "it's": "'it''s'", "": "''", "8080": "'8080'", "No": "'No'", "null": "'null'", "a b": "'a b'", "a: b": "'a: b'", "#x": "'#x'", "-x": "'-x'", "true": "'true'", "trues": "trues",
	} {
		if got := convert.Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// TestMoreAdvice: what the parser itself words is explained with where to look.
func TestMoreAdvice(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		if r := runLine(t, args...); r.code != ExitConfig || r.errs != "spillway_exporter: "+want+"\n" || r.out != "" {
			t.Errorf("%q: %+v, want %q", args, r, want)
		}
	}
	f("flag 'config.file' cannot be repeated: 'spillway_exporter check --help' shows how it is written", "check", "--config.file=a", "--config.file=b")
	f("--limit has no value: write --limit=VALUE", "journal", "--limit")
	f(`--limit: "2147483648" is not a number above 0: write how many records to print, such as 200`, "journal", "--limit=2147483648")
	f(`PID: "0" is not a number above 0: write that of a process (ps -e lists them)`, "explain", "0")
	f(`--log.format: unknown value "text": use logfmt or json`, "check", "--log.format=text")
	f(`--duration: "-1m" is not a duration: write a number with a unit, such as 30s, 5m, 48h, 2d or 1w`, "demo", "--duration=-1m")
}

// TestExplainMistakes: a configuration that cannot be read is a mistake for each command that needs one.
func TestExplainMistakes(t *testing.T) {
	missing := "--config.file=" + realDir(t) + "/none.yml"
	bad := configFlag(t, "targets: [{name: app}]\nnonsense: 1\n")
	for _, args := range [][]string{{"explain", "1"}, {"check"}, {"journal"}, {"cleanup", "--dry-run"}, {"serve"}} {
		if r := runLine(t, append(args, missing)...); r.code != ExitConfig || !strings.Contains(r.errs, "none.yml") {
			t.Errorf("%q without its file: %+v", args, r)
		}
		if r := runLine(t, append(args, bad)...); r.code != ExitConfig || !strings.Contains(r.errs, "nonsense") {
			t.Errorf("%q with a bad file: %+v", args, r)
		}
	}
}
