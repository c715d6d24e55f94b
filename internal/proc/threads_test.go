package proc

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// task writes the name of a thread.
func (f *fakeProc) task(pid, tid int, name string) {
	f.t.Helper()
	dir := fmt.Sprintf("%d/task/%d", pid, tid)
	if err := os.MkdirAll(f.path(dir), 0o755); err != nil {
		f.t.Fatal(err)
	}
	f.write(dir+"/comm", name+"\n")
}

// TestThreadsByName: threads are counted by their names without numbers, for a target that asks, and a
// process that makes up names has no more series than another.
func TestThreadsByName(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node"})
	f.put(fakeProcess{pid: 11, comm: "node"})
	for i := range 4 {
		f.task(10, 10+i, fmt.Sprintf("worker-%d", i+8))
	}
	f.task(11, 11, "node")
	f.task(11, 30, "\x1b[2J")
	config := Config{Match: Match{Comm: "node"}, ThreadNames: true}
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", config)}})
	expect := func(what, want string) {
		t.Helper()
		var got []string
		for _, c := range w.usage("a").Threads {
			got = append(got, fmt.Sprintf("%s=%d", c.Name, c.Threads))
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", what, text, want)
		}
	}
	w.tick(0)
	expect("at first", "[NJ=1 node=1 worker-N=4")
	for i := range 200 {
		f.task(11, 100+i, strings.Repeat(string(rune('a'+i%26)), 1+i/26))
	}
	w.tick(threadsEvery)
	if n := len(w.usage("a").Threads); n > mostLabels+1 {
		t.Errorf("%d names", n)
	}
	total := 0
	for _, c := range w.usage("a").Threads {
		total += c.Threads
	}
	if total != 206 {
		t.Errorf("%d threads by name, want all 206", total)
	}
	if err := os.RemoveAll(f.path("11", "task")); err != nil {
		t.Fatal(err)
	}
	w.tick(threadsEvery + time.Second)
	expect("one of the processes cannot be read", "")
	config.ThreadNames = false
	w = watch(t, Options{Root: f.dir, Targets: []Target{target("a", config)}})
	w.tick(0)
	expect("not asked for", "")
}
