package proc

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProgramConditions(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"usr/bin", "etc/alternatives", "usr/lib/jvm/bin"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"usr/bin/java": "/etc/alternatives/java", "etc/alternatives/java": "../../usr/lib/jvm/bin/java", "usr/bin/python3": "python3.11"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"usr/lib/jvm/bin/java", "usr/bin/python3.11"} {
		if err := os.WriteFile(filepath.Join(root, file), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "java", exe: "/usr/lib/jvm/bin/java", cmdline: "/usr/bin/java -Dapp=a -jar server.jar"})
	f.put(fakeProcess{pid: 11, comm: "java", exe: "/opt/java", cmdline: "java -Dapp=b -jar server.jar"})
	f.put(fakeProcess{pid: 12, comm: "python3.11", exe: "/usr/bin/python3.11", cmdline: "python3 x.py"})
	f.put(fakeProcess{pid: 13, comm: "silent"})
	f.write("13/cmdline", "")
	f.put(fakeProcess{pid: 14, comm: "nameless"})
	f.write("14/cmdline", "\x00\x00")
	f.put(fakeProcess{pid: 15, comm: "mine", cmdline: "mine", uid: 1000, cgroup: "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n"})
	tests := []struct {
		name  string
		match Match
		want  string
	}{
		{"exe by a chain of links", Match{Exe: "/usr/bin/java"}, "10"},
		{"exe by the file", Match{Exe: "/usr/lib/jvm/bin/java"}, "10"},
		{"exe that does not exist", Match{Exe: "/usr/bin/jav"}, ""},
		{"argv0 in full", Match{Argv0: "/usr/bin/java"}, "10"},
		{"argv0 by its base name", Match{Argv0: "java"}, "10 11"},
		{"argv0 that is a part", Match{Argv0: "jav"}, ""},
		{"argv0 that is empty", Match{Argv0: "."}, "14"},
		{"all expressions", Match{Cmdline: Exprs{"-Dapp=a", `server\.jar`}}, "10"},
		{"one of the expressions", Match{Cmdline: Exprs{"-Dapp=c", `server\.jar`}}, ""},
		{"any of two", Match{AnyOf: []Match{{Comm: "silent"}, {Cmdline: Exprs{"-Dapp=b"}}}}, "11 13"},
		{"any of two and one more", Match{Comm: "java", AnyOf: []Match{{Comm: "silent"}, {Cmdline: Exprs{"-Dapp=b"}}}}, "11"},
		{"a user's unit in any_of, of no user", Match{AnyOf: []Match{{SystemdUnit: "web"}, {Comm: "silent"}}}, "13"},
		{"a user's unit in any_of of a user", Match{User: "1000", AnyOf: []Match{{SystemdUnit: "web"}, {Comm: "silent"}}}, "15"},
		{"any of any of", Match{AnyOf: []Match{{AnyOf: []Match{{Comm: "silent"}, {Comm: "nameless"}}}, {Argv0: "java", Cmdline: Exprs{"-Dapp=b"}}}}, "11 13 14"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := watch(t, Options{Root: f.dir, RootFS: root, Targets: []Target{target("a", Config{Match: tt.match})}})
			w.tick(0)
			if got := w.pids("a"); got != tt.want {
				t.Errorf("members %q, want %q", got, tt.want)
			}
			for _, pid := range []int{10, 11, 12, 13, 14} { // explain says the same, and why
				e, err := w.Explain(pid)
				if member := strings.Contains(" "+tt.want+" ", " "+strconv.Itoa(pid)+" "); err != nil || (e.Target == "a") != member || !member && len(e.Refused) == 0 {
					t.Errorf("Explain(%d) = %+v, %v", pid, e, err)
				}
			}
		})
	}
	advice := func(exe string, want ...string) {
		t.Helper()
		w := watch(t, Options{Root: f.dir, RootFS: root, Targets: []Target{target("a", Config{Match: Match{AnyOf: []Match{{Exe: exe}}}})}})
		w.tick(0)
		if diff := cmp.Diff(want, w.Advice("a")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", exe, diff)
		}
	}
	advice("/usr/bin/java", "match.any_of[0].exe: /usr/bin/java is a link to /usr/lib/jvm/bin/java: processes of either match")
	advice("/usr/lib/jvm/bin/java")
	advice("/usr/bin/jav", "match.any_of[0].exe: /usr/bin/jav does not exist on this host, so that only a process in a container can match")
	advice("python3", "match.any_of[0].exe: /usr/bin/python3 is a link to /usr/bin/python3.11, and the program of a process is the file behind it: write exe: /usr/bin/python3 or, for what was started by this name, argv0: python3")
	advice("python3.11")
	advice("none")
}

func TestGroupsByName(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "web", cmdline: "/usr/bin/web --site=a", resident: 10})
	f.put(fakeProcess{pid: 11, comm: "web", cmdline: "/usr/bin/web --site=b", resident: 20})
	f.put(fakeProcess{pid: 12, ppid: 11, comm: "sh", cmdline: "sh", resident: 1})
	f.put(fakeProcess{pid: 13, comm: "db", cmdline: "db", uid: 4242, resident: 5})
	f.put(fakeProcess{pid: 14, comm: "other", cmdline: "other", resident: 5})
	f.put(fakeProcess{pid: 15, ppid: 13, comm: "gzip", cmdline: "gzip", resident: 5})
	f.put(fakeProcess{pid: 16, comm: "ctl", cmdline: "db ctl", resident: 5})
	d := &Discover{Top: 3, Children: true, JoinTargets: true, Groups: []Group{
		{Name: "{{.Comm}}/{{.Matches.Site}} {{.ExeBase}}", Match: Match{Cmdline: Exprs{"--site=(?P<Site>.)"}}},
		{Name: "{{.Username}}", Match: Match{Comm: "db"}},
		{Name: "db", Match: Match{Comm: "ctl"}},
	}}
	w := watch(t, Options{Root: f.dir, Discover: d, Targets: []Target{target("db", Config{Match: Match{Comm: "db", User: "0"}})}})
	w.tick(0)
	for name, want := range map[string]string{"web/a_web": "10", "web/b_web": "11 12*", "4242": "13 15*", "db": "16", Overflow: ""} {
		if got := w.pids(name); got != want {
			t.Errorf("%s: members %q, want %q", name, got, want)
		}
	}
	for pid, want := range map[int]string{10: "web/a_web", 12: "web/b_web", 15: "4242", 16: "db", 14: ""} {
		if e, err := watch(t, Options{Root: f.dir, Discover: d, Targets: w.opts.Targets}).Explain(pid); err != nil || e.Target != want {
			t.Errorf("Explain(%d) = %+v, %v, want %q", pid, e, err, want)
		}
	}
	f.remove(10)
	for range 2 * keepShown {
		w.tick(nameCheck)
	}
	if u := w.usage("web/a_web"); u.Processes != 0 || u.Expected {
		t.Errorf("%+v: a group that has ended stays, and no one expects it", u)
	}
	f.put(fakeProcess{pid: 20, comm: "web", cmdline: "web --site=c", resident: 30})
	for range 2 * keepShown {
		w.tick(nameCheck)
	}
	if _, err := w.Usage("web/a_web"); err == nil {
		t.Error("a group that has ended keeps the place of one that has not")
	}
	if got := w.pids("web/c_web"); got != "20" {
		t.Errorf("members %q, want 20", got)
	}
}

func TestNotRequired(t *testing.T) {
	f := newFake(t)
	w := watch(t, Options{Root: f.dir, Targets: []Target{
		target("may", Config{Match: Match{Comm: "a"}, Required: new(bool)}), target("must", Config{Match: Match{Comm: "a"}, Required: new(true)}),
	}})
	expected := func(when string, may, must bool) {
		t.Helper()
		w.tick(nameCheck)
		if a, b := w.usage("may").Expected, w.usage("must").Expected; a != may || b != must {
			t.Errorf("%s: expected %t and %t, want %t and %t", when, a, b, may, must)
		}
	}
	expected("before its first process", false, true)
	f.put(fakeProcess{pid: 10, comm: "a"})
	expected("with one", true, true)
	f.remove(10)
	expected("after it", true, true)
}
