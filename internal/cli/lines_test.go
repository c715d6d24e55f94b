package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// tree returns what is below a folder: names, sizes, modes and times.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out = append(out, fmt.Sprintf("%s %s %d %s", strings.TrimPrefix(path, dir), info.Mode(), info.Size(), info.ModTime()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// everyKind is a target with one policy of each kind, each with something due.
func everyKind(t *testing.T, dir, mode string) string {
	t.Helper()
	oldFile(t, dir+"/t/due.tmp")
	oldFile(t, dir+"/c/due.bin")
	oldFile(t, dir+"/u/due.pdf")
	writeTest(t, dir+"/l/app.log", strings.Repeat("line\n", 2000))
	return configFlag(t, "mode: "+mode+`
targets:
  - name: app
    processes: {match: {comm: no-such-comm}}
    temp_dirs: [{name: t, dir: `+dir+`/t, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}]
    caches: [{name: c, dir: `+dir+`/c, include: ['*.bin'], max_age: 1h, age_by: mtime, min_age: 1s}]
    uploads: [{name: u, dir: `+dir+`/u, max_age: 1h, age_by: mtime, min_age: 1s}]
    logs: [{name: l, dir: `+dir+`/l, include: ['*.log'], max_bytes: 8KiB, size_by: apparent}]
`)
}

// TestDryRunOfEveryKind: whatever the mode of the configuration, --dry-run names what is due of each
// kind and changes nothing: no file, no time of one, no journal.
func TestDryRunOfEveryKind(t *testing.T) {
	for _, mode := range []string{"dry_run", "enforce"} {
		t.Run(mode, func(t *testing.T) {
			dir := realDir(t)
			file := everyKind(t, dir, mode)
			home := filepath.Dir(strings.TrimPrefix(file, "--config.file="))
			before := append(tree(t, dir), tree(t, home)...)
			r := runLine(t, "cleanup", "--dry-run", "--files", file)
			var rows []string
			for line := range strings.Lines(r.out) {
				if cells := strings.Fields(line); cells[0] == "app" {
					rows = append(rows, strings.Join([]string{cells[1], cells[2], cells[4], strings.Join(cells[8:], " ")}, " "))
				}
			}
			slices.Sort(rows)
			if diff := cmp.Diff([]string{"cache c 1 dry_run", "log l 0 dry_run, 1 rotated", "temp t 1 dry_run", "upload u 1 dry_run"}, rows); r.code != ExitOK || diff != "" {
				t.Errorf("%+v (-want +got):\n%s", r, diff)
			}
			for _, name := range []string{"/t/due.tmp", "/c/due.bin", "/u/due.pdf"} {
				if !strings.Contains(r.out, "expired\t"+dir+name+"\n") {
					t.Errorf("%s is not named:\n%s", name, r.out)
				}
			}
			if diff := cmp.Diff(before, append(tree(t, dir), tree(t, home)...)); diff != "" {
				t.Errorf("--dry-run has changed something (-before +after):\n%s", diff)
			}
		})
	}
}

// TestEnforceOfEveryKind: what the plan names goes, the journal has one line for each kind, and a second
// run finds nothing.
func TestEnforceOfEveryKind(t *testing.T) {
	dir := realDir(t)
	file := everyKind(t, dir, "dry_run")
	if r := runLine(t, "cleanup", "--enforce", file); r.code != ExitOK {
		t.Fatalf("%+v", r)
	}
	for _, name := range []string{"/t/due.tmp", "/c/due.bin", "/u/due.pdf"} {
		have(t, dir+name, false)
	}
	if info, err := os.Stat(dir + "/l/app.log"); err != nil || info.Size() > 8<<10 {
		t.Errorf("the log was not rotated: %v, %v", info, err)
	}
	var actions []string
	for line := range strings.Lines(runLine(t, "journal", "--output=json", file).out) {
		var r journal.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		actions = append(actions, r.Action+" "+r.Mode+" "+r.Trigger+" "+r.Outcome)
	}
	slices.Sort(actions)
	want := []string{"clean_temp enforce manual done", "enforce_uploads enforce manual done", "evict_cache enforce manual done", "rotate_logs enforce manual done"}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	r := runLine(t, "cleanup", "--enforce", "--json", file)
	for line := range strings.Lines(r.out) {
		var p action.PolicyResult
		if err := json.Unmarshal([]byte(line), &p); err != nil || p.Files != 0 || p.Rotated != 0 {
			t.Errorf("again: %s, %v", line, err)
		}
	}
}

// TestCleanupChooses: --policy and --target leave everything else alone, on the disk and in the output.
func TestCleanupChooses(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/a/t/due.tmp")
	oldFile(t, dir+"/b/t/due.tmp")
	file := configFlag(t, tempTarget(dir+"/a")+strings.TrimPrefix(strings.Replace(tempTarget(dir+"/b"), "name: app", "name: other", 1), "targets:\n"))
	if r := runLine(t, "cleanup", "--enforce", "--target=other", "--files", file); r.code != ExitOK || strings.Contains(r.out, dir+"/a") {
		t.Errorf("%+v", r)
	}
	have(t, dir+"/a/t/due.tmp", true)
	have(t, dir+"/b/t/due.tmp", false)
	if r := runLine(t, "cleanup", "--enforce", "--target=other", "--target=app", file); r.code != ExitOK || strings.Count(r.out, " done") != 2 {
		t.Errorf("both: %+v", r)
	}
	have(t, dir+"/a/t/due.tmp", false)
}

// TestForce: a run that would take more than max_remove_fraction takes nothing without --force.
func TestForce(t *testing.T) {
	dir := realDir(t)
	for _, name := range []string{"1", "2", "3"} {
		oldFile(t, dir+"/t/"+name+".tmp")
	}
	file := configFlag(t, strings.Replace(tempTarget(dir), "min_age: 1s", "min_age: 1s, max_remove_fraction: 50%", 1))
	r := runLine(t, "cleanup", "--enforce", file)
	if r.code != ExitFailure || !strings.Contains(r.errs, "app/t: failed: ") || !strings.Contains(r.errs, "run cleanup with --force") {
		t.Errorf("%+v", r)
	}
	have(t, dir+"/t/1.tmp", true)
	if r = runLine(t, "journal", file); !strings.Contains(r.out, " failed ") || !strings.Contains(r.out, "max_remove_fraction") {
		t.Errorf("the journal does not say why: %+v", r)
	}
	if r = runLine(t, "cleanup", "--enforce", "--force", file); r.code != ExitOK {
		t.Errorf("%+v", r)
	}
	have(t, dir+"/t/1.tmp", false)
}

// TestNoJournalNoCleanup: where the journal cannot be opened nothing is removed, and the error says what
// to do; a dry run needs none.
func TestNoJournalNoCleanup(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/due.tmp")
	file := configFlag(t, tempTarget(dir))
	writeTest(t, filepath.Join(filepath.Dir(strings.TrimPrefix(file, "--config.file=")), "journal"), "no folder")
	r := runLine(t, "cleanup", "--enforce", file)
	if r.code != ExitFailure || !strings.Contains(r.errs, "mode enforce needs a journal that can be written") || r.out != "" {
		t.Errorf("%+v", r)
	}
	have(t, dir+"/t/due.tmp", true)
	if r = runLine(t, "cleanup", "--dry-run", file); r.code != ExitOK || !strings.Contains(r.out, " dry_run") {
		t.Errorf("%+v", r)
	}
	if r = runLine(t, "journal", file); r.code != ExitFailure || r.errs == "" {
		t.Errorf("%+v", r)
	}
}

// TestHostileNames: a file name reaches a terminal without its control characters, those of 8 bits and
// those that turn the writing direction included.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{"a\x1b[2Jb", "a\nb", "a\rb", "a\u009b2Jb", "a\u202eb", "a\xffb", `a"b`, "a\tb", "a\u200bb"} {
		dir := realDir(t)
		oldFile(t, dir+"/t/"+name+".tmp")
		for _, args := range [][]string{{"--files"}, {"--files", "--json"}} {
			r := runLine(t, append([]string{"cleanup", "--dry-run", configFlag(t, tempTarget(dir))}, args...)...)
			for line := range strings.Lines(r.out + r.errs) {
				if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }); i >= 0 || strings.Contains(line, "\xff") {
					t.Errorf("%q reaches the terminal as %q", name, line)
				}
			}
			if strings.Count(r.out+r.errs, "expired\t") != 1 {
				t.Errorf("%q: %+v", name, r)
			}
		}
	}
	var out bytes.Buffer
	table := newTable(&out, "A", "B")
	table.row("x\u009b31my\u202ez\x7f\x00", "über ü \u00a0\u2028end")
	table.flush()
	if got := strings.Split(out.String(), "\n")[1]; got != "x 31my z    über ü   end" {
		t.Errorf("row %q", got)
	}
}

// TestProgress: where someone watches, one line is written over and over and then removed, without an
// end of a longer one before; elsewhere nothing is.
func TestProgress(t *testing.T) {
	var errs, out bytes.Buffer
	c := newCleanupOutput(&env{Options: Options{Stdout: &out, Stderr: &errs}}, false)
	long := action.PolicyResult{Target: "app", Policy: "temporary", Files: 1000, FreedBytes: 1 << 20}
	c.progress(long)
	if errs.Len() != 0 {
		t.Errorf("written where no terminal is: %q", errs.String())
	}
	c.terminal, c.freed = true, progressFreed(false)
	c.progress(long)
	c.progress(action.PolicyResult{Target: "app", Policy: "t"})
	c.policies(nil)
	c.policies(nil)
	first := "app/temporary: 1000 files, 1MiB freed"
	want := "\r" + first + "\r" + fmt.Sprintf("%-*s", len(first), "app/t: 0 files, 0B freed") + "\r" + strings.Repeat(" ", len(first)) + "\r"
	if errs.String() != want {
		t.Errorf("%q, want %q", errs.String(), want)
	}
	if file, err := os.Open(os.DevNull); err != nil || isTerminal(file) || isTerminal(&out) {
		t.Errorf("/dev/null or a buffer is a terminal, %v", err)
	} else {
		file.Close()
	}
}

// TestOutcomeText: what has no column of its own is next to the outcome.
func TestOutcomeText(t *testing.T) {
	f := func(want string, r action.PolicyResult) {
		t.Helper()
		r.Outcome = action.Done
		if got := outcomeText(&r); got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
	f("done", action.PolicyResult{Quarantine: "/q"})
	f("done, moved to the quarantine", action.PolicyResult{Quarantine: "/q", Files: 1})
	f("done, 2 rotated, 1KiB lost", action.PolicyResult{Rotated: 2, LostBytes: 1024, Files: 3})
}

// journalOf writes records into the journal of a configuration: one target in three is b.
func journalOf(t *testing.T, file string, n int, start time.Time) {
	t.Helper()
	now, mu := start, sync.Mutex{}
	j, err := journal.Open(journal.Options{Dir: filepath.Join(filepath.Dir(strings.TrimPrefix(file, "--config.file=")), "journal"), Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 64 {
		wg.Go(func() {
			for i := range next {
				target := []string{"a", "a", "b"}[i%3]
				if _, err := j.Begin(t.Context(), journal.Record{Time: start.Add(time.Duration(i) * time.Second), Target: target, Playbook: "p", Step: i, Action: "clean_temp", Files: int64(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// TestJournalPages: more records than one page of the journal holds, each once, the newest and oldest
// first; --limit, --target and --since cut where they say.
func TestJournalPages(t *testing.T) {
	file := configFlag(t, tempTarget("/nonexistent"))
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	const n = journal.MaxLimit + 10
	journalOf(t, file, n, start)
	steps := func(now time.Time, args ...string) []int {
		t.Helper()
		r := runAt(t, func() time.Time { return now }, append([]string{"journal", "--output=json", file}, args...)...)
		if r.code != ExitOK {
			t.Fatalf("%q: %+v", args, r)
		}
		var out []int
		for line := range strings.Lines(r.out) {
			var record journal.Record
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			out = append(out, record.Step)
		}
		return out
	}
	f := func(want int, now time.Time, args ...string) []int {
		t.Helper()
		got := steps(now, args...)
		slices.Sort(got)
		if len(got) != want || len(slices.Compact(slices.Clone(got))) != want {
			t.Errorf("%q: %d records, want %d, each once", args, len(got), want)
		}
		return got
	}
	hour := start.Add(time.Hour)
	f(n, hour, "--limit=5000")
	f(n-2, hour, fmt.Sprint("--limit=", n-2))
	f(journal.MaxLimit, hour, fmt.Sprint("--limit=", journal.MaxLimit))
	f(200, hour)
	f(1, hour, "--limit=1")
	f(n/3, hour, "--limit=5000", "--target=b")
	f(0, hour, "--target=absent")
	f(0, hour.Add(24*time.Hour))
}
