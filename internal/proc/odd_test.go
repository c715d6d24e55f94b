package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOddLinesOfStat: the start of all processes depends on one line of /proc/stat, whatever the
// others hold.
func TestOddLinesOfStat(t *testing.T) {
	btime := fmt.Sprintf("btime %d\n", epoch.Add(-time.Hour).Unix())
	f := func(name, text string, want time.Time) {
		t.Helper()
		fake := newFake(t)
		fake.put(fakeProcess{pid: 10, comm: "node", start: 500})
		fake.write("stat", text)
		w := watch(t, Options{Root: fake.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
		w.tick(0)
		if problem := w.Stats().Problem; (problem != nil) != want.IsZero() || problem != nil && !strings.Contains(problem.Error(), "btime") {
			t.Errorf("%s: %v is reported", name, problem)
		}
		if u := w.usage("a"); !u.Oldest.Equal(want) || u.Processes != 1 {
			t.Errorf("%s: %d processes, the oldest of %v, want one of %v", name, u.Processes, u.Oldest, want)
		}
	}
	start := epoch.Add(-time.Hour + 5*time.Second)
	f("a counter that wrapped", "cpu  1 2 3\n"+btime+"processes -2045677862\n", start)
	f("the same before it", "processes -2045677862\n"+btime, start)
	f("a blank line", "cpu  1 2 3\n\n"+btime, start)
	f("a line of a name only", "cpu\nintr\n"+btime+"softirq", start)
	f("a line of 2 MB", "cpu  1 2 3\nintr 99"+strings.Repeat(" 0", 1<<20)+"\n"+btime, start)
	f("without a newline at the end", "cpu  1 2 3\n"+strings.TrimSuffix(btime, "\n"), start)
	f("no time of the boot", "cpu  1 2 3\nprocesses 7\n", time.Time{})
	f("a time of the boot that is not a number", "btime soon\n", time.Time{})
	f("a time of the boot of 0", "btime 0\n", time.Time{})
	f("a time of the boot below 0", "btime -5\n", time.Time{})
}

// TestPidfileWithoutTheTimeOfTheBoot: a guard against numbers that were given out again refuses while it
// cannot know when a process started.
func TestPidfileWithoutTheTimeOfTheBoot(t *testing.T) {
	root := t.TempDir()
	f := newFake(t)
	f.put(fakeProcess{pid: 12, comm: "other", start: 100 * 1800}) // half an hour after the boot
	name := filepath.Join(root, "app.pid")
	if err := os.WriteFile(name, []byte("12\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	written := epoch.Add(-40 * time.Minute) // ten minutes before the process
	if err := os.Chtimes(name, written, written); err != nil {
		t.Fatal(err)
	}
	f.write("stat", "cpu  1 2 3\nprocesses 7\n")
	w := watch(t, Options{Root: f.dir, RootFS: root, Targets: []Target{target("a", Config{Match: Match{Pidfile: "/app.pid"}})}})
	w.tick(0)
	if got := w.pids("a"); got != "" {
		t.Errorf("members %q, want none: it is not known whether the process is older than the pidfile", got)
	}
	if e, err := w.Explain(12); err != nil || !strings.Contains(e.Refused[0].Reason, "start time") {
		t.Errorf("%+v, %v, want that the start time is not known", e, err)
	}
	f.write("stat", fmt.Sprintf("btime %d\n", epoch.Add(-time.Hour).Unix()))
	w.tick(bootRetry)
	if s := w.Stats(); s.Problem != nil {
		t.Errorf("%v is reported although the file is readable again", s.Problem)
	}
}

func FuzzParseBoot(f *testing.F) {
	f.Add([]byte("cpu  1 2 3\nbtime 1700000000\nprocesses -2045677862\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseBoot(bytes.NewReader(b)); err == nil && (n <= 0 || n > latestBoot) || err != nil && n != 0 {
			t.Errorf("%q gives %d, %v", b, n, err)
		}
	})
}
