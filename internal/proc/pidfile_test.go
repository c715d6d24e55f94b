package proc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPidfileOfAnotherTime: a number that was given out again is not the service, neither is
// anything that the file does not name.
func TestPidfileOfAnotherTime(t *testing.T) {
	root := t.TempDir()
	f := newFake(t)
	f.put(fakeProcess{pid: 12, comm: "other", start: 100 * 1800}) // half an hour after the boot
	name := filepath.Join(root, "app.pid")
	c := Config{Match: Match{Pidfile: "/app.pid"}}
	reason := func(text string, written time.Time) string {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, written, written); err != nil {
			t.Fatal(err)
		}
		w := watch(t, Options{Root: f.dir, RootFS: root, Targets: []Target{target("a", c)}})
		w.tick(0)
		if w.pids("a") != "" {
			return "taken"
		}
		e, err := w.Explain(12)
		if err != nil {
			t.Fatal(err)
		}
		return e.Refused[0].Reason
	}
	f2 := func(text string, written time.Time, want string) {
		t.Helper()
		if got := reason(text, written); !strings.Contains(got, want) {
			t.Errorf("pidfile %q: %q, want a word about %q", text, got, want)
		}
	}
	f2("12", epoch.Add(-29*time.Minute), "taken")
	f2(" 12 \nmore", epoch.Add(-29*time.Minute), "taken")
	f2("12", epoch.Add(-40*time.Minute), "given out again")
	f2("13", epoch, "names process 13")
	f2("", epoch, "is empty")
	f2("-1", epoch, `holds "-1"`)
	f2("twelve", epoch, `holds "twelve"`)
	f2(strings.Repeat("9", 100), epoch, "where the number of a process belongs")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
	w := watch(t, Options{Root: f.dir, RootFS: root, Targets: []Target{target("a", c)}})
	w.tick(0)
	if e, err := w.Explain(12); err != nil || !strings.Contains(e.Refused[0].Reason, "not a regular file") {
		t.Errorf("a folder as a pidfile: %+v, %v", e, err)
	}
}
