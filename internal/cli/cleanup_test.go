package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
)

// tempTarget is a target app with one folder of temporary files.
func tempTarget(dir string) string {
	return "targets:\n  - name: app\n    temp_dirs: [{name: t, dir: " + dir + "/t, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}]\n"
}

// TestCleanup: a plan by default and with --dry-run, the removal with --enforce, each with the names
// and for programs.
func TestCleanup(t *testing.T) {
	dir := realDir(t)
	due := dir + "/t/due.tmp"
	oldFile(t, due)
	writeTest(t, dir+"/t/new.tmp", "x")
	file, enforced := configFlag(t, tempTarget(dir)), configFlag(t, "mode: enforce\n"+tempTarget(dir))
	f := func(remains bool, says string, args ...string) {
		t.Helper()
		if r := runLine(t, append([]string{"cleanup"}, args...)...); r.code != ExitOK || !strings.Contains(r.out, says) {
			t.Errorf("%q: %+v, want %q", args, r, says)
		}
		have(t, due, remains)
		have(t, dir+"/t/new.tmp", true)
	}
	f(true, " dry_run", file)
	f(true, "expired\t"+due+"\n", "--dry-run", "--files", enforced)
	f(true, " dry_run", "--dry-run", "--target=app", "--policy=t", enforced)
	f(false, "expired\t"+due+"\n", "--enforce", "--files", file)
	oldFile(t, due)
	f(false, " done", enforced)
	oldFile(t, due)
	r := runLine(t, "cleanup", "--json", "--files", enforced)
	var p action.PolicyResult
	if err := json.Unmarshal([]byte(r.out), &p); err != nil || p.Policy != "t" || p.Files != 1 || !strings.Contains(r.errs, due) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestCleanupTargets: flags that choose nothing say what there is to choose.
func TestCleanupTargets(t *testing.T) {
	file := configFlag(t, tempTarget("/nonexistent")+"  - {name: bare, processes: {match: {comm: x}}}\n")
	f := func(says string, args ...string) {
		t.Helper()
		if r := runLine(t, append([]string{"cleanup", "--dry-run"}, args...)...); r.code != ExitConfig || !strings.Contains(r.errs, says) {
			t.Errorf("%q: %+v, want %q", args, r, says)
		}
	}
	f("--target other: no such target with directories: write one of app", file, "--target=other")
	f("--target bare: no such target with directories: write one of app", file, "--target=bare")
	f("--policy other: the chosen targets have no directory policy of this name", file, "--policy=other")
	f("nothing to clean: no target has caches, temp_dirs, uploads or logs", configFlag(t, "targets: [{name: bare, processes: {match: {comm: x}}}]\n"))
}

// TestCleanupExitCode: 1 where everything has failed, 3 where a part has.
func TestCleanupExitCode(t *testing.T) {
	f := func(want int, outcomes ...action.Outcome) {
		t.Helper()
		var out bytes.Buffer
		c := newCleanupOutput(&env{Options: Options{Stdout: &out}}, false)
		for _, o := range outcomes {
			c.results = append(c.results, action.PolicyResult{Target: "a", Policy: "p", Outcome: o, Error: "why"})
		}
		err := c.finish()
		if got := exitCode(err); got != want || (err != nil) != strings.Contains(errors.Join(err, errors.New("")).Error(), "a/p: ") {
			t.Errorf("%v: exit code %d, %v, want %d", outcomes, got, err, want)
		}
	}
	f(ExitOK)
	f(ExitOK, action.Done, action.DryRun)
	f(ExitPartial, action.Done, action.Failed)
	f(ExitPartial, action.Partial)
	f(ExitFailure, action.Failed, action.Failed)
}

// cancelling is a writer that has its first write cancel something.
type cancelling struct {
	to     *bytes.Buffer
	cancel context.CancelFunc
}

func (c *cancelling) Write(p []byte) (int, error) {
	c.cancel()
	return c.to.Write(p)
}

// TestCleanupInterrupted: what a signal ends is partial, and the table has what was done before it.
func TestCleanupInterrupted(t *testing.T) {
	dir := realDir(t)
	for i := range 3000 {
		oldFile(t, fmt.Sprintf("%s/t/%d.tmp", dir, i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	code := Main(ctx, []string{"cleanup", "--enforce", "--files", configFlag(t, tempTarget(dir))}, Options{Stdout: &cancelling{&out, cancel}, Stderr: &errs, Now: time.Now})
	if code != ExitPartial || !strings.Contains(errs.String(), "interrupted: ") || !strings.Contains(out.String(), "partial") {
		t.Errorf("exit code %d, %s, want %d: %.300s", code, &errs, ExitPartial, out.String()[max(0, out.Len()-300):])
	}
}

// TestCleanupRemembers: a root that is exchanged after the command has read the configuration is not
// cleaned.
func TestCleanupRemembers(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/mine.tmp")
	oldFile(t, dir+"/backup/others.tmp")
	swap := sync.OnceFunc(func() {
		for _, move := range [][2]string{{"/t", "/t0"}, {"/backup", "/t"}} {
			if err := os.Rename(dir+move[0], dir+move[1]); err != nil {
				t.Error(err)
			}
		}
	})
	now := func() time.Time { // asked first when the run begins
		swap()
		return time.Now()
	}
	r := runAt(t, now, "cleanup", "--enforce", "--json", configFlag(t, tempTarget(dir)))
	if r.code != ExitFailure || !strings.Contains(r.out, "is not the one that was there") {
		t.Errorf("%+v", r)
	}
	have(t, dir+"/t/others.tmp", true)
	have(t, dir+"/t0/mine.tmp", true)
}

// TestCleanupOverTheLimit: a clean-up that leaves a folder over its limit ends with 3 and says what is missing.
func TestCleanupOverTheLimit(t *testing.T) {
	dir := realDir(t)
	for i := range 20 {
		path := fmt.Sprintf("%s/t/f%02d.tmp", dir, i)
		oldFile(t, path)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	for kind, policy := range map[string]string{
		"cache": "caches: [{name: t, dir: " + dir + "/t, include: ['*.tmp'], max_entries: 10, evict_to: 50%, min_age: 1s, age_by: mtime}]",
		"temp":  "temp_dirs: [{name: t, dir: " + dir + "/t, include: ['*.tmp'], max_files: 10, clean_to: 50%, min_age: 1s, age_by: mtime}]",
	} {
		file := configFlag(t, "targets:\n  - name: app\n    "+policy+"\n")
		r := runLine(t, "cleanup", "--enforce", "--json", file)
		var p action.PolicyResult
		if err := json.Unmarshal([]byte(r.out), &p); err != nil || r.code != ExitPartial || p.Outcome != action.Partial || p.MissingEntries != 15 ||
			!strings.Contains(r.errs, "app/t: partial: 10 files over the limit could not be removed (in_use=20)") {
			t.Errorf("%s: %+v, %v; want exit code 3 and 15 missing", kind, r, err)
		}
		if r := runLine(t, "cleanup", "--dry-run", file); r.code != ExitOK || !strings.Contains(r.out, "dry_run, 15 files more would have to go to reach the target size") {
			t.Errorf("%s: the dry run says %+v", kind, r)
		}
	}
}
