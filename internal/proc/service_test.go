package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sockets gives a process of the fake descriptors and a network namespace.
func (f *fakeProc) sockets(pid int, space string, inodes ...int) {
	f.t.Helper()
	for _, dir := range []string{"fd", "ns", "net"} {
		if err := os.MkdirAll(f.path(strconv.Itoa(pid), dir), 0o755); err != nil {
			f.t.Fatal(err)
		}
	}
	link := func(target, name string) {
		if err := os.Symlink(target, f.path(strconv.Itoa(pid), name)); err != nil {
			f.t.Fatal(err)
		}
	}
	link(space, "ns/net")
	link("/dev/null", "fd/0")
	for i, inode := range inodes {
		link(fmt.Sprintf("socket:[%d]", inode), fmt.Sprintf("fd/%d", i+3))
	}
}

const tcpHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func TestSelectByService(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	pidfile := filepath.Join(root, "run/app.pid")
	if err := os.WriteFile(pidfile, []byte("12\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(pidfile, epoch, epoch.Add(-30*time.Minute)); err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "a", cgroup: "0::/system.slice/web.service/worker\n"})
	f.put(fakeProcess{pid: 11, comm: "b", cgroup: "0::/system.slice/webserver.service\n"})
	f.put(fakeProcess{pid: 12, comm: "c", cgroup: "4:memory:/docker/abc\n1:name=systemd:/x\n"})
	f.put(fakeProcess{pid: 13, comm: "d", cgroup: "0::/\n"})
	f.sockets(10, "net:[1]", 500)
	f.sockets(11, "net:[1]", 501, 502)
	f.sockets(12, "net:[2]", 500)
	f.sockets(13, "net:[1]")
	host := tcpHead +
		"   0: 0100007F:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 500 1 0 100 0 0 10 0\n" +
		"   1: 0100007F:01BB 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 501 1 0 100 0 0 10 0\n"
	for _, pid := range []string{"10", "11", "13"} {
		f.write(pid+"/net/tcp", host)
		f.write(pid+"/net/tcp6", tcpHead+"   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 502 1\n")
	}
	f.write("12/net/tcp", tcpHead+"   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 500 1 0 100 0 0 10 0\n")
	tests := []struct {
		match Match
		want  string
	}{
		{Match{Cgroup: "/system.slice"}, "10 11"},
		{Match{Cgroup: "/system.slice/web.service"}, "10"},
		{Match{Cgroup: "/docker"}, "12"},
		{Match{Cgroup: "/system.slice/web"}, ""},
		{Match{SystemdUnit: "web"}, "10"},
		{Match{SystemdUnit: "webserver.service"}, "11"},
		{Match{SystemdUnit: "system.slice"}, "10 11"},
		{Match{Pidfile: "/run/app.pid"}, "12"},
		{Match{Pidfile: "/run/none.pid"}, ""},
		{Match{ListenPort: 443}, "10"},
		{Match{ListenPort: 8080}, "11"},
		{Match{ListenPort: 80}, "12"}, // in another network namespace
		{Match{ListenPort: 81}, ""},
		{Match{ListenPort: 443, Comm: "b"}, ""},
	}
	for _, tt := range tests {
		w := watch(t, Options{Root: f.dir, RootFS: root, Targets: []Target{target("a", Config{Match: tt.match})}})
		w.tick(0)
		if got := w.pids("a"); got != tt.want {
			t.Errorf("%+v takes %q, want %q", tt.match, got, tt.want)
		}
	}
	w := watch(t, Options{Root: f.dir, RootFS: root, Targets: []Target{
		target("all", Config{Match: Match{Cgroup: "/system.slice"}, Exclude: &Match{SystemdUnit: "web"}}),
	}})
	w.tick(0)
	if got := w.pids("all"); got != "11" {
		t.Errorf("with an exclude: %q, want 11", got)
	}
	for pid, want := range map[int]string{
		10: `exclude`, 12: `cgroup is "/docker/abc", not "/system.slice" or below it`, 13: `cgroup is "/", not "/system.slice"`,
	} {
		e, err := w.Explain(pid)
		if err != nil {
			t.Fatal(err)
		}
		if e.Target != "" || len(e.Refused) != 1 || !strings.Contains(e.Refused[0].Reason, want) {
			t.Errorf("explain %d: %+v, want a word about %q", pid, e, want)
		}
	}
}

func TestDiscoverByCgroup(t *testing.T) {
	for by, want := range map[string]string{
		ByUnit:   "db.scope none web.service",
		ByCgroup: "none system.slice_web.service user.slice_user-1.slice_db.scope",
	} {
		f := newFake(t)
		f.put(fakeProcess{pid: 10, comm: "a", cgroup: "0::/system.slice/web.service\n", resident: 10})
		f.put(fakeProcess{pid: 11, comm: "b", cgroup: "0::/system.slice/web.service\n", resident: 10})
		f.put(fakeProcess{pid: 12, comm: "c", cgroup: "0::/user.slice/user-1.slice/db.scope\n", resident: 5})
		f.put(fakeProcess{pid: 13, comm: "d", cgroup: "0::/\n", resident: 1})
		w := watch(t, Options{Root: f.dir, Discover: &Discover{By: by, Top: 10}})
		w.tick(0)
		var got []string
		usages, err := w.Discovered(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range usages {
			if u.Target != Overflow {
				got = append(got, u.Target)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("by %s: %q, want %q", by, strings.Join(got, " "), want)
		}
	}
}

// TestDiscoverOutsideNamespace: in a container a cgroup next to it is shown by a path that goes up.
func TestDiscoverOutsideNamespace(t *testing.T) {
	for by, want := range map[string]string{ByUnit: "containerd.service", ByCgroup: "system.slice_containerd.service"} {
		f := newFake(t)
		f.put(fakeProcess{pid: 10, comm: "a", cgroup: "0::/../../../../system.slice/containerd.service\n", resident: 10})
		w := watch(t, Options{Root: f.dir, Discover: &Discover{By: by, Top: 10}})
		w.tick(0)
		usages, err := w.Discovered(nil)
		if err != nil || len(usages) != 2 || usages[0].Target != want {
			t.Errorf("by %s: %+v, %v, want %s", by, usages, err, want)
		}
	}
}
