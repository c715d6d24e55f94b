package proc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// cgroupOf returns a random cgroup path: names of which one is the beginning of another.
func cgroupOf(rng *rand.Rand) string {
	path := ""
	for range rng.IntN(4) {
		path += "/" + []string{"a", "ab", "a.slice", "b"}[rng.IntN(4)]
	}
	return path + strings.Repeat("/", max(0, 1-len(path)))
}

// TestCgroupPathsByParts: what contains what is decided part by part; a common beginning of names is none of
// paths.
func TestCgroupPathsByParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	parts := func(path string) []string { return strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) }
	for range 5000 {
		a, b := cgroupOf(rng), cgroupOf(rng)
		var common []string
		for i, part := range parts(a) {
			if p := parts(b); i >= len(p) || p[i] != part {
				break
			}
			common = append(common, part)
		}
		want := "/" + strings.Join(common, "/")
		if got := commonCgroup(a, b); got != want {
			t.Fatalf("commonCgroup(%q, %q) = %q, want %q", a, b, got, want)
		}
		if got, other := commonCgroup(a, b), commonCgroup(b, a); got != other {
			t.Fatalf("%q and %q have %q or %q in common", a, b, got, other)
		}
		if b == "/" {
			continue // not accepted as a condition: everything is within
		}
		if got, want := within(a, b), len(common) == len(parts(b)); got != want {
			t.Fatalf("within(%q, %q) = %v", a, b, got)
		}
	}
	if commonCgroup("", "/a") != "" || commonCgroup("/a", "") != "" {
		t.Error("a path that is not known has a part in common")
	}
}

// TestUnits: the names that people write, and where the unit stands in a path.
func TestUnits(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "nginx": "nginx.service", "nginx.service": "nginx.service", "user.slice": "user.slice", "run-1.scope": "run-1.scope", "my.app": "my.app.service", "a@1": "a@1.service", "x.socket": "x.socket", "tmp.mount": "tmp.mount", "s.swap": "s.swap",
	} {
		if got := unitName(in); got != want {
			t.Errorf("unitName(%q) = %q, want %q", in, got, want)
		}
	}
	for path, want := range map[string]string{
		"": "", "/": "", "/user.slice": "", "/system.slice/nginx.service": "nginx.service", "/system.slice/docker.service/abc": "docker.service", "/user.slice/user@1.service/app.slice/run-2.scope/leaf": "run-2.scope", "/system.slice/_cpu.service": "cpu.service", "/a.service.d/b": "",
	} {
		if got := unitOf(path); got != want {
			t.Errorf("unitOf(%q) = %q, want %q", path, got, want)
		}
		if want != "" && (!hasUnit(path, want, true) || hasUnit(path, "x"+want, true) || hasUnit(path, want[1:], true)) {
			t.Errorf("%q: hasUnit is not exact about %q", path, want)
		}
	}
	for path, want := range map[string]string{
		"": "", "/user.slice": "", "/system.slice/app.service": "app.service", "/system.slice/app.service/worker": "app.service", "/system.slice/_cpu.service": "cpu.service",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/app.service": "user@1000.service", "/user.slice/user-1000.slice/session-2.scope": "session-2.scope",
		"/machine.slice/libpod-1.scope/container/system.slice/app.service": "libpod-1.scope", "/system.slice/evil.service/app.service": "evil.service",
	} {
		if v2, v1 := SystemUnit(path, ""), SystemUnit("", path); v2 != want || v1 != want {
			t.Errorf("SystemUnit(%q) = %q and %q, want %q", path, v2, v1, want)
		}
	}
	if !hasUnit("/system.slice/a.service", "system.slice", false) || hasUnit("/system.slicer/a.service", "system.slice", false) {
		t.Error("a slice contains its services, and nothing else")
	}
	const spoof = "/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service"
	if hasUnit(spoof, "nginx.service", false) || !hasUnit(spoof, "nginx.service", true) || !hasUnit(spoof, "user@1000.service", false) {
		t.Error("a unit of a user's own passes for one of the system, or is not found where the user is named")
	}
}

// TestExplainEveryCondition: each condition that does not hold has words of its own, with what is there and
// what was meant.
func TestExplainEveryCondition(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 20, comm: "app", exe: "/srv/app", cmdline: "app serve", uid: 4294967294, cgroup: "0::/system.slice/app.service\n"})
	f.sockets(20, "4026531840")
	reason := func(c Config) string {
		t.Helper()
		w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", c)}})
		e, err := w.Explain(20)
		if err != nil {
			t.Fatal(err)
		}
		if e.Target != "" {
			return e.Target + ": " + e.Reason
		}
		if len(e.Refused) != 1 || e.Refused[0].Target != "a" {
			t.Fatalf("%+v", e)
		}
		return e.Refused[0].Reason
	}
	want := func(want string, m Match, exclude *Match) {
		t.Helper()
		if got := reason(Config{Match: m, Exclude: exclude}); got != want {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
	want("a: all conditions of match hold", Match{Comm: "app", Exe: "app", User: "4294967294", SystemdUnit: "app"}, nil)
	want(`comm is "app", not "other"`, Match{Comm: "other"}, nil)
	want(`exe is "/srv/app", not "/usr/bin/app"`, Match{Exe: "/usr/bin/app"}, nil)
	want(`exe is "/srv/app", not "ap"`, Match{Exe: "ap"}, nil)
	want(`cmdline is "app serve" and does not match "^serve"`, Match{Cmdline: Exprs{"^serve"}}, nil)
	want("the effective user is 4294967294, not 0", Match{User: "0"}, nil)
	want(`cgroup is "/system.slice/app.service", not "/system.slice/app" or below it`, Match{Cgroup: "/system.slice/app"}, nil)
	want(`cgroup is "/system.slice/app.service", which is not that of the unit ap.service`, Match{SystemdUnit: "ap"}, nil)
	want("the pidfile /none.pid does not exist", Match{Pidfile: "/none.pid"}, nil)
	want("it does not listen on TCP port 80", Match{ListenPort: 80}, nil)
	want("all conditions of exclude hold", Match{Comm: "app"}, &Match{User: "4294967294"})
	want("a: all conditions of match hold", Match{Comm: "app"}, &Match{User: "0"})
	if err := os.Remove(f.path("20", "exe")); err != nil {
		t.Fatal(err)
	}
	if got := reason(Config{Match: Match{Exe: "app"}}); !strings.HasPrefix(got, "exe cannot be read: ") {
		t.Errorf("%q", got)
	}
	if got := reason(Config{Match: Match{Comm: "app"}, Exclude: &Match{Exe: "app"}}); !strings.HasPrefix(got, "exe cannot be read (") || !strings.HasSuffix(got, "), so exclude cannot be ruled out") {
		t.Errorf("%q", got)
	}
}

// TestExplainGroups: what no target matches is counted in its group, whatever makes one.
func TestExplainGroups(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 20, comm: "app", uid: 4294967294, cgroup: "4:memory:/old\n0::/system.slice/app.service/x\n"})
	f.put(fakeProcess{pid: 21, comm: "bare"})
	f.put(fakeProcess{pid: 22, comm: "dead", state: "Z"})
	f.put(fakeProcess{pid: 23, comm: "kworker", flags: kernelThread})
	for by, want := range map[string][2]string{
		ByComm: {"app", "bare"}, ByUser: {"4294967294", ""}, ByUnit: {"app.service", noUnit}, ByCgroup: {"system.slice/app.service/x", noUnit},
	} {
		w := watch(t, Options{Root: f.dir, Discover: &Discover{By: by, Top: 5}})
		for i, group := range want {
			e, err := w.Explain(20 + i)
			if err != nil || group != "" && e.Reason != fmt.Sprintf("no target matches it; discover counts it in the group %q", group) || e.Target != "" {
				t.Errorf("by %s: %+v, %v, want group %q", by, e, err, group)
			}
		}
		for pid, says := range map[int]string{22: "zombie", 23: "kernel thread"} {
			if e, err := w.Explain(pid); err != nil || !strings.Contains(e.Reason, says) || e.Target != "" {
				t.Errorf("by %s: %+v, %v, want a word about %q", by, e, err, says)
			}
		}
		if _, err := w.Explain(99); err == nil || err.Error() != "no process 99 in "+f.dir+": write the number of one that runs (ps -e shows them)" {
			t.Errorf("%v", err)
		}
	}
	f.write("20/stat", "nonsense")
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 5}})
	if _, err := w.Explain(20); !errors.Is(err, errFormat) || !strings.HasPrefix(err.Error(), "process 20 cannot be read: ") {
		t.Errorf("%v", err)
	}
}

// TestTargetsThatCannotBe: a Tracker is refused for each mistake that the configuration would have found.
func TestTargetsThatCannotBe(t *testing.T) {
	f := newFake(t)
	for want, c := range map[string]Config{
		`target "a": match has no condition`:                                         {},
		"target \"a\": match: cmdline: error parsing regexp: missing closing ): `(`": {Match: Match{Cmdline: Exprs{"("}}},
		`target "a": exclude: no user "no such user" on this host`:                   {Match: Match{Comm: "x"}, Exclude: &Match{User: "no such user"}},
	} {
		tracker, err := New(Options{Root: f.dir, Targets: []Target{target("a", c)}})
		if err == nil {
			tracker.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestAllMembers: what the kernel's events are followed for: the members of targets, with whether their
// children count, and no discovered group.
func TestAllMembers(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "app", resident: 5})
	f.put(fakeProcess{pid: 11, ppid: 10, comm: "helper", resident: 5})
	f.put(fakeProcess{pid: 12, comm: "lone", resident: 5})
	f.put(fakeProcess{pid: 13, comm: "other", resident: 5})
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 5}, Targets: []Target{
		target("parent", Config{Match: Match{Comm: "app"}, Children: true}), target("lone", Config{Match: Match{Comm: "lone"}}),
	}})
	w.tick(0)
	got := make(map[MemberOf]bool)
	for _, m := range w.AllMembers(nil) {
		got[m] = true
	}
	want := []MemberOf{{PID: 10, Target: "parent", Children: true}, {PID: 11, Target: "parent", Children: true}, {PID: 12, Target: "lone"}}
	for _, m := range want {
		if !got[m] {
			t.Errorf("%+v is missing in %v", m, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
