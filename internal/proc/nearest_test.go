package proc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestNearestAncestor: what a target matches is its member, and no child of an earlier target; what
// none matches goes with its nearest ancestor in one.
func TestNearestAncestor(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "pm2", start: 100})
	f.put(fakeProcess{pid: 11, ppid: 10, comm: "worker", start: 200})
	f.put(fakeProcess{pid: 12, ppid: 11, comm: "ffmpeg", start: 300})
	f.put(fakeProcess{pid: 13, ppid: 10, comm: "sh", start: 300})
	f.put(fakeProcess{pid: 14, ppid: 11, comm: "node", start: 300}) // of a target without children
	f.put(fakeProcess{pid: 15, ppid: 14, comm: "gzip", start: 400})
	w := watch(t, Options{Root: f.dir, Targets: []Target{
		target("daemon", Config{Match: Match{Comm: "pm2"}, Children: true}),
		target("leaf", Config{Match: Match{Comm: "node"}}),
		target("worker", Config{Match: Match{Comm: "worker"}, Children: true, Exclude: &Match{Comm: "debug"}}),
	}})
	same := func(when, daemon, leaf, worker string) {
		t.Helper()
		got := []string{w.pids("daemon"), w.pids("leaf"), w.pids("worker")}
		if diff := cmp.Diff([]string{daemon, leaf, worker}, got); diff != "" {
			t.Errorf("%s: members (-want +got):\n%s", when, diff)
		}
	}
	w.tick(0)
	same("at first", "10 13*", "14", "11 12* 15*")

	f.put(fakeProcess{pid: 20, ppid: 11, comm: "debug", start: 500})
	w.tick(10 * time.Second)
	same("refused by its nearest", "10 13* 20*", "14", "11 12* 15*")

	f.remove(11)
	f.put(fakeProcess{pid: 12, ppid: 10, comm: "ffmpeg", start: 300}) // a reaper of another target takes it over
	w.tick(10 * time.Second)
	w.tick(5 * time.Minute)
	same("orphans keep their target", "10 13* 20*", "14", "12* 15*")
}

// TestChildrenFollowALateMember: a shell becomes the service of another target when it has children.
func TestChildrenFollowALateMember(t *testing.T) {
	f := newFake(t)
	const young = 100 * 3600
	f.put(fakeProcess{pid: 10, comm: "supervisor", start: young})
	f.put(fakeProcess{pid: 11, ppid: 10, comm: "sh", start: young})
	f.put(fakeProcess{pid: 12, ppid: 11, comm: "tail", start: young})
	w := watch(t, Options{Root: f.dir, Targets: []Target{
		target("supervisor", Config{Match: Match{Comm: "supervisor"}, Children: true}),
		target("app", Config{Match: Match{Comm: "app"}, Children: true}),
	}})
	w.tick(0)
	if got := w.pids("supervisor"); got != "10 11* 12*" {
		t.Fatalf("members %q at first", got)
	}
	f.put(fakeProcess{pid: 11, ppid: 10, comm: "app", start: young})
	w.tick(time.Second)
	w.tick(time.Second)
	if got, app := w.pids("supervisor"), w.pids("app"); got != "10" || app != "11 12*" {
		t.Errorf("members %q and %q, want 10 and 11 12*", got, app)
	}
}

// TestLateName: a process that takes its name in its first ten minutes is found within a minute, later
// within five.
func TestLateName(t *testing.T) {
	for age, most := range map[time.Duration]time.Duration{50 * time.Second: time.Minute, 9 * time.Minute: time.Minute, time.Hour: 5 * time.Minute} {
		f := newFake(t)
		w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
		w.tick(0)
		const young = 100 * 3600 // started at epoch
		f.put(fakeProcess{pid: 20, comm: "sh", start: young})
		for range age / (10 * time.Second) {
			w.tick(10 * time.Second)
		}
		f.put(fakeProcess{pid: 20, comm: "node", start: young})
		waited := time.Duration(0)
		for ; w.pids("a") == "" && waited < 10*time.Minute; waited += 5 * time.Second {
			w.tick(5 * time.Second)
		}
		if waited > most {
			t.Errorf("a process that took its name at %s was found after %s", age, waited)
		}
	}
}

func TestOverlaps(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", cmdline: "node a.js"})
	f.put(fakeProcess{pid: 11, comm: "node", cmdline: "node b.js"})
	f.put(fakeProcess{pid: 12, ppid: 11, comm: "sh", cmdline: "sh -c b.js"})
	f.put(fakeProcess{pid: 13, comm: "node", cmdline: "node b.js --debug"})
	w := watch(t, Options{Root: f.dir, Targets: []Target{
		target("a", Config{Match: Match{Cmdline: Exprs{`a\.js`}}}),
		target("all", Config{Match: Match{Comm: "node"}, Children: true}),
		target("b", Config{Match: Match{Comm: "node", Cmdline: Exprs{`b\.js`}}, Exclude: &Match{Cmdline: Exprs{"debug"}}}),
	}})
	w.tick(0)
	want := []Overlap{{Target: "a", Also: "all", Processes: 1, PID: 10, Name: "node"}, {Target: "all", Also: "b", Processes: 1, PID: 11, Name: "node"}}
	if diff := cmp.Diff(want, w.Overlaps()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAmidExec: for a moment the arguments of a process that becomes another program are empty. It stays
// a member of the target that matches them, be its ancestor a member of another.
func TestAmidExec(t *testing.T) {
	f := newFake(t)
	const young = 100 * 3600
	f.put(fakeProcess{pid: 10, comm: "pm2", start: young})
	f.put(fakeProcess{pid: 11, ppid: 10, comm: "node", cmdline: "node worker.js", start: young})
	w := watch(t, Options{Root: f.dir, Targets: []Target{
		target("daemon", Config{Match: Match{Comm: "pm2"}, Children: true}),
		target("worker", Config{Match: Match{Cmdline: Exprs{`worker\.js`}}}),
	}})
	w.tick(0)
	f.write("11/cmdline", "")
	w.tick(time.Second)
	if got := w.pids("worker"); got != "11" {
		t.Errorf("members %q amid the exec, want 11", got)
	}
	w.tick(time.Second)
	if got := w.pids("daemon"); got != "10 11*" {
		t.Errorf("members %q when it stays without arguments, want 10 and its child", got)
	}
}
