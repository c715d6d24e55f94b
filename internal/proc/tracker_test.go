package proc

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSelectors(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", exe: "/usr/bin/node", cmdline: "node src/server.js --port 1", uid: 1000})
	f.put(fakeProcess{pid: 11, comm: "node", exe: "/opt/node (deleted)", cmdline: "node src/other.js", uid: 1001})
	f.put(fakeProcess{pid: 12, comm: "MainThread", exe: "/usr/bin/node", cmdline: "node x.js"})
	f.put(fakeProcess{pid: 13, comm: "node-MainThread", cmdline: "node y.js"})
	f.put(fakeProcess{pid: 14, comm: "MainThread", cmdline: "/opt/bin/runtime z"}) // exe cannot be read
	f.put(fakeProcess{pid: 15, comm: "node", flags: kernelThread})
	f.put(fakeProcess{pid: 16, comm: "node", state: "Z"})
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"comm", Config{Match: Match{Comm: "node"}}, "10 11 12 13"},
		{"comm as the kernel has it", Config{Match: Match{Comm: "MainThread"}}, "12 14"},
		{"comm of a renamed main thread without exe", Config{Match: Match{Comm: "runtime"}}, "14"},
		{"exe path", Config{Match: Match{Exe: "/usr/bin/node"}}, "10 12"},
		{"exe name, replaced since", Config{Match: Match{Exe: "node"}}, "10 11 12"},
		{"exe of another name", Config{Match: Match{Exe: "nod"}}, ""},
		{"cmdline", Config{Match: Match{Cmdline: Exprs{`server\.js --port`}}}, "10"},
		{"user", Config{Match: Match{User: "1001"}}, "11"},
		{"all conditions together", Config{Match: Match{Comm: "node", User: "1000", Cmdline: Exprs{"other"}}}, ""},
		{"exclude", Config{Match: Match{Comm: "node"}, Exclude: &Match{Cmdline: Exprs{`server\.js`}}}, "11 12 13"},
		{"exclude that cannot be decided refuses", Config{Match: Match{Comm: "node"}, Exclude: &Match{Exe: "/bin/x"}}, "10 11 12"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", tt.config)}})
			w.tick(0)
			if got := w.pids("a"); got != tt.want {
				t.Errorf("members %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFirstTargetTakesTheProcess(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", cmdline: "node a.js"})
	f.put(fakeProcess{pid: 11, comm: "node", cmdline: "node b.js"})
	w := watch(t, Options{Root: f.dir, Targets: []Target{
		target("a", Config{Match: Match{Cmdline: Exprs{`a\.js`}}}),
		target("all", Config{Match: Match{Comm: "node"}}),
	}})
	w.tick(0)
	if a, all := w.pids("a"), w.pids("all"); a != "10" || all != "11" {
		t.Errorf("members %q and %q, want 10 and 11", a, all)
	}
}

func TestUsage(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "db", resident: 500, shared: 300, shmem: 400, swap: 16, start: 500})
	f.put(fakeProcess{pid: 11, comm: "db", resident: 350, shared: 310, shmem: 400, swap: 4, start: 700})
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("db", Config{Match: Match{Comm: "db"}})}})
	w.tick(0)
	page := int64(os.Getpagesize())
	want := Usage{
		Target: "db", Processes: 2, Expected: true, HasRestarts: true, Oldest: epoch.Add(-time.Hour + 5*time.Second), OldestTicks: 500,
		Resident: 850 * page, Anon: 240 * page, Used: (240 + 310) * page, Largest: 500 * page,
		CgroupV2: "/", Population: 2, HasStates: true,
	}
	want.States[Sleeping] = 2
	for f, v := range map[Figure]int64{
		FigureFile: 610*page - 800<<10, FigureShmem: 800 << 10, FigureSwap: 20 << 10, FigurePeak: 850 * page, FigureVirtual: (2*850 + 20) * page,
		FigureThreads: 2, FigureUserTime: 0, FigureSystemTime: 0, FigureMinorFaults: 0, FigureMajorFaults: 0,
	} {
		want.Figures.set(f, v)
	}
	if diff := cmp.Diff(want, w.usage("db"), cmp.AllowUnexported(Figures{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := w.Usage("other"); !errors.Is(err, ErrUnknownTarget) {
		t.Errorf("usage of an unknown target: %v, want ErrUnknownTarget", err)
	}
}

func TestStartsAndExits(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", resident: 10})
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	step := func(what string, processes int, starts, exits uint64) {
		t.Helper()
		w.tick(5 * time.Second)
		u := w.usage("a")
		if u.Processes != processes || u.Starts != starts || u.Exits != exits {
			t.Errorf("%s: %d processes, %d starts, %d exits, want %d, %d, %d", what, u.Processes, u.Starts, u.Exits, processes, starts, exits)
		}
	}
	step("there at the first listing", 1, 0, 0)
	f.put(fakeProcess{pid: 11, comm: "node", resident: 10})
	step("one more", 2, 1, 0)
	f.replace(fakeProcess{pid: 11, comm: "node", resident: 10, start: 9000})
	step("the pid was given out again", 2, 2, 1)
	f.replace(fakeProcess{pid: 11, comm: "node", resident: 10, start: 9000})
	step("another inode of the same process", 2, 2, 1)
	f.replace(fakeProcess{pid: 11, comm: "other", start: 9500})
	step("the pid was given out to a stranger", 1, 2, 2)
	f.put(fakeProcess{pid: 10, comm: "node", state: "Z"})
	step("a zombie", 0, 2, 3)
	step("still a zombie", 0, 2, 3)
	f.remove(10)
	step("reaped", 0, 2, 3)
}

func TestNamesOfYoungProcessesAreReadAgain(t *testing.T) {
	f := newFake(t)
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	w.tick(0)
	const young = 100 * 3600 // started at epoch
	f.put(fakeProcess{pid: 20, comm: "sh", start: young})
	w.tick(100 * time.Millisecond)
	f.put(fakeProcess{pid: 20, comm: "node", start: young, resident: 7})
	w.tick(100 * time.Millisecond)
	if got := w.pids("a"); got != "" {
		t.Errorf("members %q before the first look again, want none", got)
	}
	w.tick(time.Second)
	if got := w.pids("a"); got != "20" {
		t.Errorf("members %q a second later, want 20", got)
	}
	f.put(fakeProcess{pid: 20, comm: "other", start: young, resident: 7})
	w.tick(time.Second)
	if got := w.pids("a"); got != "" {
		t.Errorf("members %q after it became another program, want none", got)
	}
	f.put(fakeProcess{pid: 20, comm: "node", start: young, resident: 7})
	w.tick(time.Minute)
	if got := w.pids("a"); got != "20" {
		t.Errorf("members %q after it came back, want 20", got)
	}
	f.put(fakeProcess{pid: 20, comm: "other", start: young, resident: 7})
	w.tick(time.Minute)
	if got := w.pids("a"); got != "" {
		t.Errorf("members %q: the new name was not seen in a minute", got)
	}
}

func TestChildren(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 50, ppid: 1, comm: "node", start: 100})
	f.put(fakeProcess{pid: 60, ppid: 50, comm: "sh", start: 200})
	f.put(fakeProcess{pid: 10, ppid: 60, comm: "ffmpeg", start: 300}) // listed before its parent
	f.put(fakeProcess{pid: 61, ppid: 50, comm: "debug", start: 300})
	f.put(fakeProcess{pid: 62, ppid: 50, comm: "older", start: 50}) // its parent was another process 50
	f.put(fakeProcess{pid: 70, ppid: 1, comm: "stranger", start: 300})
	f.put(fakeProcess{pid: 80, ppid: 81, comm: "loop", start: 300})
	f.put(fakeProcess{pid: 81, ppid: 80, comm: "loop", start: 300})
	c := Config{Match: Match{Comm: "node"}, Children: true, Exclude: &Match{Comm: "debug"}}
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", c)}})
	w.tick(0)
	if got, want := w.pids("a"), "10* 50 60*"; got != want {
		t.Errorf("members %q, want %q", got, want)
	}
	f.remove(60)
	f.put(fakeProcess{pid: 10, ppid: 1, comm: "ffmpeg", start: 300}) // reparented
	w.tick(10 * time.Minute)
	if got, want := w.pids("a"), "10* 50"; got != want {
		t.Errorf("members %q after the parent ended, want %q", got, want)
	}
}

func TestChildrenOfALateMember(t *testing.T) {
	f := newFake(t)
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}, Children: true})}})
	w.tick(0)
	f.put(fakeProcess{pid: 20, comm: "sh", start: 370000})
	f.put(fakeProcess{pid: 22, comm: "sh", ppid: 20, start: 370005})
	f.put(fakeProcess{pid: 21, comm: "worker", ppid: 22, start: 370010})
	w.tick(100 * time.Millisecond)
	f.put(fakeProcess{pid: 23, comm: "late", ppid: 22, start: 370090})
	w.tick(900 * time.Millisecond)
	f.put(fakeProcess{pid: 20, comm: "node", start: 370000})
	w.tick(100 * time.Millisecond) // 23 itself is not due yet
	if got, want := w.pids("a"), "20 21* 22* 23*"; got != want {
		t.Errorf("members %q, want %q", got, want)
	}
}

func TestUnreadableIsAbsent(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", resident: 10})
	f.put(fakeProcess{pid: 11, comm: "node", resident: 10})
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	w.tick(0)
	f.write("11/statm", "20 what 1\n")
	w.tick(time.Second)
	if u := w.usage("a"); u.Processes != 2 || u.Err == nil || !strings.Contains(u.Err.Error(), "process 11") {
		t.Errorf("usage with a broken statm: %+v, want 2 processes and the error", u)
	}
	f.put(fakeProcess{pid: 11, comm: "node", resident: 10})
	f.write("11/status", "State:\tS\n")
	w.tick(time.Minute)
	if u := w.usage("a"); u.Err != nil || u.get(FigureFile) != -1 || u.get(FigurePeak) != -1 || u.Resident == 0 {
		t.Errorf("usage without RssFile: %+v, want the rest and no parts", u)
	}
	f.put(fakeProcess{pid: 12, comm: "node"})
	f.write("12/stat", "12 (node\n")
	w.tick(time.Second)
	if got, stats := w.pids("a"), w.Stats(); got != "10 11" || stats.Unreadable != 1 || stats.Listed != 3 {
		t.Errorf("members %q, %+v with a broken stat, want 10 11 and 1 of 3 unreadable", got, stats)
	}
	if err := os.Remove(f.path("10", "statm")); err != nil {
		t.Fatal(err)
	}
	f.remove(11)
	f.put(fakeProcess{pid: 13, comm: "node", resident: 5})
	w.tick(time.Second)
	if u := w.usage("a"); u.Processes != 2 || u.Err != nil {
		t.Errorf("usage %+v, want the 2 that are there", u)
	}
}

func TestRefreshFails(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", resident: 10})
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	w.tick(0)
	root := w.r.root
	w.r.root = -1
	if err := w.Refresh(t.Context(), w.now); err == nil {
		t.Error("a listing that cannot be read is not an error")
	}
	if u, err := w.Usage("a"); err == nil {
		t.Errorf("usage after a failed listing: %+v, want an error", u)
	}
	w.r.root = root
	w.tick(time.Second)
	if u := w.usage("a"); u.Processes != 1 || u.Exits != 0 {
		t.Errorf("usage %+v afterwards, want the process and no exit", u)
	}
	if _, err := New(Options{Root: f.path("nowhere")}); err == nil || !strings.Contains(err.Error(), "--path.procfs") {
		t.Errorf("a missing procfs: %v, want what to write", err)
	}
}

func TestHeldDescriptorsAreBounded(t *testing.T) {
	f := newFake(t)
	for pid := 10; pid < 15; pid++ {
		f.put(fakeProcess{pid: pid, comm: "node", resident: 10})
	}
	for _, most := range []int{-1, 2, 100} {
		before := openDescriptors(t)
		w := watch(t, Options{Root: f.dir, MaxHeld: most, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
		w.tick(0)
		w.tick(time.Second)
		if u := w.usage("a"); u.Resident != int64(50*os.Getpagesize()) || u.Err != nil {
			t.Errorf("MaxHeld %d: %+v, want all five", most, u)
		}
		if got, want := w.Stats().Held, min(max(most, 0), 5); got != want {
			t.Errorf("MaxHeld %d: %d held, want %d", most, got, want)
		}
		w.Close()
		if after := openDescriptors(t); after != before {
			t.Errorf("MaxHeld %d: %d descriptors open after Close, want %d", most, after, before)
		}
	}
}

func TestCgroupOfATarget(t *testing.T) {
	f := newFake(t)
	put := func(pid int, v2, v1 string) {
		f.put(fakeProcess{pid: pid, comm: "node", cgroup: "4:memory:" + v1 + "\n0::" + v2 + "\n"})
	}
	put(10, "/s/a/x", "/d/1")
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	want := func(v2, v1 string) {
		t.Helper()
		if u := w.usage("a"); u.CgroupV2 != v2 || u.CgroupV1 != v1 {
			t.Errorf("cgroups %q and %q, want %q and %q", u.CgroupV2, u.CgroupV1, v2, v1)
		}
	}
	w.tick(0)
	want("/s/a/x", "/d/1")
	put(11, "/s/ab", "/d/1")
	w.tick(time.Second)
	want("/s", "/d/1")
	put(11, "/s/a/x/y", "/e")
	w.tick(time.Minute) // moved: seen with the next look
	w.tick(time.Second)
	want("/s/a/x", "/")
	f.remove(10)
	w.tick(time.Second) // the pass that notices the exit
	w.tick(time.Second)
	want("/s/a/x/y", "/e")
}

func TestPopulation(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node"})
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	last := uint64(0)
	step := func(what string, d time.Duration, want bool) {
		t.Helper()
		w.tick(d)
		u := w.usage("a")
		if changed := u.Population != last; changed != want {
			t.Errorf("%s: changed = %v, want %v", what, changed, want)
		}
		last = u.Population
	}
	step("first", 0, true)
	f.put(fakeProcess{pid: 11, comm: "node"})
	step("a newcomer", 5*time.Second, false)
	f.remove(11)
	step("that leaves soon", 5*time.Second, false)
	f.put(fakeProcess{pid: 12, comm: "node"})
	step("another", 5*time.Second, false)
	step("that stays a minute", time.Minute, true)
	f.remove(12)
	step("and leaves", 5*time.Second, true)
	f.remove(10)
	step("the last leaves", 5*time.Second, true)
	f.put(fakeProcess{pid: 13, comm: "node"})
	step("the first of a restart", 5*time.Second, true)
}

func TestExporterItself(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "spillway_export", cmdline: "spillway_exporter --config.file=server.js.yml"})
	if err := os.Symlink("10", f.path("self")); err != nil {
		t.Fatal(err)
	}
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 5}, Targets: []Target{
		target("a", Config{Match: Match{Cmdline: Exprs{`server\.js`}}}),
	}})
	w.tick(0)
	if a, own := w.pids("a"), w.pids("spillway_export"); a != "" || own != "10" {
		t.Errorf("members %q and %q, want none and 10", a, own)
	}
	w = watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "spillway_export"}})}})
	w.tick(0)
	if got := w.pids("a"); got != "10" {
		t.Errorf("members %q by its name, want 10", got)
	}
}

func TestExplain(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 1, ppid: 0, comm: "init", start: 1})
	f.put(fakeProcess{pid: 10, comm: "node", exe: "/usr/bin/node", cmdline: "node a.js", uid: 4242})
	f.put(fakeProcess{pid: 11, ppid: 10, comm: "sh"})
	f.put(fakeProcess{pid: 12, ppid: 11, comm: "ffmpeg"})
	f.put(fakeProcess{pid: 13, comm: "kswapd0", flags: kernelThread})
	f.put(fakeProcess{pid: 14, comm: "cron"})
	tracker := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 1}, Targets: []Target{
		target("other", Config{Match: Match{Comm: "node", Cmdline: Exprs{"b"}}}),
		target("strict", Config{Match: Match{Comm: "ffmpeg"}, Exclude: &Match{User: "0"}}),
		target("a", Config{Match: Match{Comm: "node"}, Children: true}),
	}})
	check := func(pid int, target, reason string, refused ...Refusal) {
		t.Helper()
		e, err := tracker.Explain(pid)
		if err != nil || e.Target != target || e.Reason != reason {
			t.Errorf("Explain(%d) = %q, %q, %v, want %q, %q", pid, e.Target, e.Reason, err, target, reason)
		}
		if diff := cmp.Diff(refused, e.Refused); refused != nil && diff != "" {
			t.Errorf("Explain(%d) refused (-want +got):\n%s", pid, diff)
		}
	}
	check(10, "a", "all conditions of match hold",
		Refusal{"other", `cmdline is "node a.js" and does not match "b"`}, Refusal{"strict", `comm is "node", not "ffmpeg"`})
	check(12, "a", "no target matches it, and its nearest ancestor in one, process 11, is a member of this target, which has children: true",
		Refusal{"other", `comm is "ffmpeg", not "node"`}, Refusal{"strict", "all conditions of exclude hold"})
	check(13, "", "it is a kernel thread, which has no memory of its own")
	check(14, "", `no target matches it; discover counts it in the group "cron"`)
	if _, err := tracker.Explain(99); err == nil || !strings.Contains(err.Error(), "ps -e") {
		t.Errorf("Explain of no process: %v, want what to write", err)
	}
	tracker.tick(0)
	check(14, "cron", "no target matches it; its group is among the largest of discover")
	check(1, Overflow, "no target matches it, and its group is not among the 1 largest")
	f.remove(10)
	f.put(fakeProcess{pid: 11, ppid: 1, comm: "sh"})
	f.put(fakeProcess{pid: 12, ppid: 11, comm: "ffmpeg"})
	check(11, "a", "it became a member as a child of one that has ended since")
	if e, err := tracker.Explain(12); err != nil || e.User != "root" && e.User != "0" || e.PID != 12 || e.Name != "ffmpeg" {
		t.Errorf("Explain(12) = %+v, %v", e, err)
	}
}

func TestDiscover(t *testing.T) {
	f := newFake(t)
	put := func(pid int, comm string, pages int) {
		f.put(fakeProcess{pid: pid, comm: comm, resident: pages})
	}
	put(10, "big", 1000)
	put(11, "big", 1000)
	put(12, "mid", 500)
	put(13, "small", 10)
	put(14, "taken", 9000)
	put(15, "(sd pam)", 800)
	put(16, "mid", 0)
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 3}, Reserved: []string{"mid"}, Targets: []Target{
		target("taken", Config{Match: Match{Comm: "taken"}}),
	}})
	shown := func() string {
		t.Helper()
		us, err := w.Discovered(nil)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, u := range us {
			out = append(out, u.Target+"="+strconv.Itoa(u.Processes))
		}
		return strings.Join(out, " ")
	}
	expect := func(what, want string) {
		t.Helper()
		if got := shown(); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	w.tick(0)
	expect("first", "big=2 mid_2=2 sd_pam=1 _overflow=1")
	if got := w.usage("big").CgroupV2; got != "/" {
		t.Errorf("the cgroup of a group that has just come is %q, want /", got)
	}
	if got := w.pids(Overflow); got != "13" {
		t.Errorf("overflow holds %q, want 13", got)
	}
	put(13, "small", 5000)
	for range keepShown - 1 {
		w.tick(5 * time.Second)
	}
	expect("a larger one waits", "big=2 mid_2=2 sd_pam=1 _overflow=1")
	rest := w.usage(Overflow).Population
	w.tick(5 * time.Second)
	if got := w.usage(Overflow).Population; got != rest+2 {
		t.Errorf("the rest changed %d times when one group came and one went, want 2", got-rest)
	}
	expect("and is shown instead", "big=2 sd_pam=1 small=1 _overflow=2")
	f.remove(10)
	f.remove(11)
	w.tick(5 * time.Second)
	expect("a group whose processes ended stays shown", "big=0 sd_pam=1 small=1 _overflow=2")
	put(20, "big", 1000)
	w.tick(5 * time.Second)
	if u := w.usage("big"); u.Starts != 1 || u.Exits != 2 || u.Processes != 1 {
		t.Errorf("restarted group: %+v, want 1 start and 2 exits", u)
	}
	f.remove(20)
	for range keepShown {
		w.tick(5 * time.Second)
	}
	expect("and loses it in the end", "mid_2=2 sd_pam=1 small=1 _overflow=0")
	w.tick(5 * time.Second)
	if len(w.groups) != 3 || w.names["big"] {
		t.Errorf("%d groups in memory, want the 3 that live", len(w.groups))
	}
}

func TestDiscoverByUser(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "a", uid: 0, resident: 1})
	f.put(fakeProcess{pid: 11, comm: "b", uid: 0, resident: 1})
	f.put(fakeProcess{pid: 12, comm: "a", uid: 987654, resident: 1})
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByUser, Top: 5}})
	w.tick(0)
	if root, other := w.pids("root"), w.pids("987654"); root != "10 11" || other != "12" {
		t.Errorf("members %q and %q, want 10 11 and 12", root, other)
	}
}

// TestBlankArgumentsAmidAnExec: a member whose arguments are empty for a moment neither ends nor
// starts; one whose arguments stay empty does.
func TestBlankArgumentsAmidAnExec(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "sh", cmdline: "sh server.js", start: 359_950}) // half a second old
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Cmdline: Exprs{"server"}}})}})
	w.tick(0)
	f.write("10/cmdline", "")
	w.tick(time.Second)
	if u := w.usage("a"); u.Processes != 1 || u.Exits != 0 {
		t.Errorf("amid the exec: %d processes, %d exits, want 1 and none", u.Processes, u.Exits)
	}
	f.put(fakeProcess{pid: 10, comm: "node", cmdline: "node server.js", start: 359_950})
	w.tick(time.Second)
	w.tick(10 * time.Second)
	if u := w.usage("a"); u.Processes != 1 || u.Exits != 0 || u.Starts != 0 || w.Members("a")[0].Name != "node" {
		t.Errorf("after it: %+v, want the same process with its new name", u)
	}
	f.write("10/cmdline", "")
	w.tick(30 * time.Second)
	w.tick(time.Second)
	if u := w.usage("a"); u.Processes != 0 || u.Exits != 1 {
		t.Errorf("arguments that stay empty: %d processes, %d exits, want none and 1", u.Processes, u.Exits)
	}
}
