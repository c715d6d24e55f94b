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
	f(Config{Match: Match{Comm: "node", Cmdline: Exprs{`src/server\.js`}, User: me.Username}, Children: true})
	f(Config{Match: Match{Exe: "/usr/bin/node", User: "12345"}, Exclude: &Match{Exe: "node"}})
	f(Config{},
		"match: has no condition and would take every process: write at least one of comm, exe, argv0, cmdline, user, cgroup, systemd_unit, container, pod, namespace, image, pidfile, listen_port and any_of, such as {comm: node}")
	f(Config{Match: Match{Comm: "node"}, Exclude: &Match{}},
		"exclude: has no condition and would refuse every process: write at least one of comm, exe, argv0, cmdline, user, cgroup, systemd_unit, container, pod, namespace, image, pidfile, listen_port and any_of, or remove the key")
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
	f(Config{Match: Match{Comm: "a", Cmdline: Exprs{"src/(server"}}, Exclude: &Match{User: "no such user"}},
		`match.cmdline: missing closing ): `+"`src/(server`"+`: write a Go (RE2) regular expression, with \ before a character that is meant literally`,
		`exclude.user: no user "no such user" on this host: write the name of one that exists (getent passwd shows them) or its number`)
}

func TestMatchServiceValidate(t *testing.T) {
	f := func(m Match, want ...string) {
		t.Helper()
		var got []string
		c := Config{Match: m}
		c.Validate(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", m, diff)
		}
	}
	f(Match{Cgroup: "/system.slice"})
	f(Match{SystemdUnit: "nginx"})
	f(Match{Pidfile: "/run/nginx.pid"})
	f(Match{ListenPort: 443})
	f(Match{Container: "web", Pod: "orchestrator-*", Namespace: "sh?p", Image: "ghcr.io/*"})
	f(Match{Pod: "web-[0-9]"}, `match.pod: "web-[0-9]" has a character that means nothing here: write a name with * for any characters and ? for one`)
	f(Match{Cgroup: "/"}, `match.cgroup: "/" is the cgroup of every process: write the path of one below it, such as /system.slice`)
	f(Match{Cgroup: "system.slice/"}, `match.cgroup: "system.slice/" is not the path of a cgroup: write "/system.slice", as the last field in /proc/PID/cgroup shows it`)
	f(Match{SystemdUnit: "/system.slice/nginx.service"}, `match.systemd_unit: "/system.slice/nginx.service" is not the name of one unit: write it as systemctl status shows it, such as nginx.service`)
	f(Match{Pidfile: "nginx.pid"}, `match.pidfile: "nginx.pid" is a relative path: write the absolute path of the file, such as /run/nginx.pid`)
	f(Match{ListenPort: 70000}, `match.listen_port: 70000 is not a TCP port: write a number from 1 to 65535`)
	f(Match{ListenPort: -1}, `match.listen_port: -1 is not a TCP port: write a number from 1 to 65535`)
	if w := (&Match{Pidfile: "/run/none.pid"}).Warnings(t.TempDir()); len(w) != 1 || w[0] != "pidfile /run/none.pid cannot be read yet: no process is matched before it can" {
		t.Errorf("warnings %q", w)
	}
}

func TestDiscoverValidate(t *testing.T) {
	f := func(d, want Discover, message string) {
		t.Helper()
		got := ""
		d.Validate(func(key, format string, args ...any) { got += key + ": " + fmt.Sprintf(format, args...) })
		if got != message || message == "" && !cmp.Equal(d, want) {
			t.Errorf("got %+v and %q, want %+v and %q", d, got, want, message)
		}
	}
	f(Discover{}, Discover{By: ByComm, Top: 20}, "")
	f(Discover{By: "user", Top: 200}, Discover{By: ByUser, Top: 200}, "")
	f(Discover{By: "cgroup"}, Discover{By: ByCgroup, Top: 20}, "")
	f(Discover{By: "systemd_unit", Top: 3}, Discover{By: ByUnit, Top: 3}, "")
	f(Discover{By: "pid"}, Discover{}, `by: "pid" is nothing to group by: write comm, systemd_unit, container, pod, cgroup or user`)
	f(Discover{Top: 201}, Discover{}, `top: 201 groups cannot be shown: write a number from 1 to 200`)
	f(Discover{Top: -1}, Discover{}, `top: -1 groups cannot be shown: write a number from 1 to 200`)
}
