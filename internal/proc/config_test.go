package proc

import (
	"fmt"
	"os/user"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfigValidate(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	f := func(c Config, want ...string) {
		t.Helper()
		var got []string
		c.Validate(func(key, format string, args ...any) {
			got = append(got, key+": "+fmt.Sprintf(format, args...))
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c, diff)
		}
	}
	f(Config{Match: Match{Comm: "node", Cmdline: `src/server\.js`, User: me.Username}, Children: true})
	f(Config{Match: Match{Exe: "/usr/bin/node", User: "12345"}, Exclude: &Match{Exe: "node"}})
	f(Config{},
		"match: has no condition and would take every process: write at least one of comm, exe, cmdline and user, such as {comm: node}")
	f(Config{Match: Match{Comm: "node"}, Exclude: &Match{}},
		"exclude: has no condition and would refuse every process: write at least one of comm, exe, cmdline and user, or remove the key")
	f(Config{Match: Match{Comm: "node"}, Exclude: &Match{Comm: "node"}},
		"exclude: has the same conditions as match, so nothing would be left: write a narrower exclude or remove it")
	f(Config{Match: Match{Comm: "video-orchestrator"}},
		`match.comm: "video-orchestrator" has 18 bytes and the kernel keeps 15, so it would never match: write "video-orchestra", or exe: video-orchestrator, or a cmdline`)
	f(Config{Match: Match{Comm: "/usr/bin/node"}},
		`match.comm: "/usr/bin/node" is a path and comm is a name: write exe: /usr/bin/node or comm: node`)
	f(Config{Match: Match{Exe: "bin/node"}},
		`match.exe: "bin/node" is a relative path: write the absolute path of the program or its base name, node`)
	f(Config{Match: Match{Exe: "/usr/bin/"}},
		`match.exe: "/usr/bin/" is a folder: write the absolute path of the program, such as /usr/bin/node`)
	f(Config{Match: Match{Comm: "a", Cmdline: "src/(server"}, Exclude: &Match{User: "no such user"}},
		`match.cmdline: missing closing ): `+"`src/(server`"+`: write a Go (RE2) regular expression, with \ before a character that is meant literally`,
		`exclude.user: no user "no such user" on this host: write the name of one that exists (getent passwd shows them) or its number`)
}

func TestDiscoverValidate(t *testing.T) {
	f := func(d, want Discover, message string) {
		t.Helper()
		got := ""
		d.Validate(func(key, format string, args ...any) { got += key + ": " + fmt.Sprintf(format, args...) })
		if got != message || message == "" && d != want {
			t.Errorf("got %+v and %q, want %+v and %q", d, got, want, message)
		}
	}
	f(Discover{}, Discover{By: ByComm, Top: 20}, "")
	f(Discover{By: "user", Top: 200}, Discover{By: ByUser, Top: 200}, "")
	f(Discover{By: "cgroup"}, Discover{}, `by: "cgroup" is not part of this version: write comm or user`)
	f(Discover{By: "pid"}, Discover{}, `by: "pid" is nothing to group by: write comm or user`)
	f(Discover{Top: 201}, Discover{}, `top: 201 groups cannot be shown: write a number from 1 to 200`)
	f(Discover{Top: -1}, Discover{}, `top: -1 groups cannot be shown: write a number from 1 to 200`)
}
