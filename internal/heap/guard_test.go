package heap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const otherUser = 54321 // has no name

// listenAs listens as another user, whose the socket is then.
func listenAs(t *testing.T, uid int) net.Listener {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("makes a socket of another user: run it as root")
	}
	type made struct {
		l   net.Listener
		err error
	}
	out := make(chan made, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with this goroutine
		err := unix.Setfsuid(uid)
		l, listenErr := net.Listen("tcp", "127.0.0.1:0")
		out <- made{l, errors.Join(err, listenErr)}
	}()
	m := <-out
	if m.err != nil {
		t.Fatal(m.err)
	}
	return m.l
}

// served answers as a service of every kind would, and counts the connections.
func served(t *testing.T, l net.Listener) (url, address string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	s := &httptest.Server{Listener: l, Config: &http.Server{
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/debug/pprof/heap":
				fmt.Fprint(w, "# runtime.MemStats\n# HeapAlloc = 1000\n# HeapSys = 2000\n# HeapReleased = 0\n")
			case "/json/list":
				fmt.Fprint(w, "[]")
			default:
				fmt.Fprint(w, `{"used": 1000}`)
			}
		}),
	}}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, l.Addr().String(), connections
}

// process starts a process that is a target's, with a file open.
func process(t *testing.T, mark string, file *os.File) proc.Member {
	t.Helper()
	cmd := exec.Command("/bin/sleep", mark)
	cmd.ExtraFiles = []*os.File{file}
	if err := errors.Join(cmd.Start(), unix.SetNonblock(int(file.Fd()), true)); err != nil { // what it passes on is made to block
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for _, m := range trackCommand(t, mark)() {
		if m.PID == cmd.Process.Pid {
			return m
		}
	}
	t.Fatal("the process was not found")
	return proc.Member{}
}

// TestStrangerAnswersForTheHeap: what another user has at the address of a heap is not even connected to, whatever
// the provider.
func TestStrangerAnswersForTheHeap(t *testing.T) {
	l := listenAs(t, otherUser)
	url, address, connections := served(t, l)
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	member, listener := process(t, "86399.25", null), process(t, "86399.75", socket)
	own := func() []proc.Member { return []proc.Member{member, listener} }
	f := func(cfg Config, members func() []proc.Member, refused bool) {
		t.Helper()
		before := connections.Load()
		c, err := newPool(t).Get(cfg, Target{Name: "svc", Members: members})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		u, err := c.Read(t.Context())
		said := errors.Is(err, fetch.ErrStranger) && strings.Contains(err.Error(), "a process of uid 54321 listens at "+address+", which is none of the target's")
		if asked := connections.Load() > before; refused && (!said || u.Used.OK || asked) || !refused && (!asked || errors.Is(err, fetch.ErrStranger)) {
			t.Errorf("%+v: %v, %v, connected %v, want it refused: %v", cfg, u, err, asked, refused)
		}
	}
	theirs := func() []proc.Member { return []proc.Member{member} }
	for _, cfg := range []Config{
		{Provider: ProviderGo, Address: address},
		{Provider: ProviderNode, Address: address},
		{Provider: ProviderJSON, URL: url, Map: Map{Used: "used"}},
		{Provider: ProviderPrometheus, URL: strings.Replace(url, "127.0.0.1", "localhost", 1), Map: Map{Used: "used"}},
	} {
		f(cfg, theirs, true)
		f(cfg, func() []proc.Member { return nil }, true) // the service is down
		f(cfg, own, false)
		f(cfg, nil, false) // it watches no processes
		cfg.Listener = ListenerAny
		f(cfg, theirs, false)
	}
}

// TestRootMayListen: a proxy of a container engine is root's, and no member.
func TestRootMayListen(t *testing.T) {
	_, address, _ := served(t, listenAs(t, 0))
	c, err := newPool(t).Get(Config{Provider: ProviderGo, Address: address}, Target{Name: "svc", Members: func() []proc.Member { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if u, err := c.Read(t.Context()); err != nil || u.Used != Some(1000) {
		t.Errorf("%v, %v", u, err)
	}
}

// TestListenerIsExchanged: who listens is asked again after the connection, and by socket: the stranger may have
// listened for that moment only.
func TestListenerIsExchanged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := func(name string, says string, answers ...[]proc.Socket) {
		t.Helper()
		of := &target{name: "svc"}
		of.now.Store(&Target{Members: func() []proc.Member { return []proc.Member{{PID: os.Getpid(), Start: time.Unix(1, 0)}} }})
		n := 0
		g := &guard{
			target: of, holders: make(map[uint64]machineKey), procfs: "/proc",
			at: func(netip.AddrPort) ([]proc.Socket, error) { n++; return answers[n-1], nil },
			holds: func(_ string, _ proc.Member, s proc.Socket) (bool, error) {
				if s.Inode == 7 {
					return false, fs.ErrPermission
				}
				return s.Inode < 5, nil
			},
		}
		conn, err := g.dial(context.Background(), &net.Dialer{}, "tcp", l.Addr().String())
		if conn != nil {
			conn.Close()
		}
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
	one := func(inode uint64, uid int) []proc.Socket { return []proc.Socket{{Inode: inode, UID: uint32(uid)}} }
	f("the same", "", one(1, otherUser), one(1, otherUser))
	f("among several", "", append(one(9, otherUser), one(1, otherUser)...), one(1, otherUser))
	f("another of the target", "another socket listens", one(1, otherUser), one(2, otherUser))
	f("a stranger's since", "a process of uid 54321 listens", one(1, otherUser), one(9, otherUser))
	f("no one's before", "another socket listens", nil, one(1, otherUser))
	f("no one's at all", "as where connections are redirected", nil, nil)
	f("its user has made it", "", one(7, os.Getuid()), one(7, os.Getuid()))
	f("another user has made it", "a process of", one(7, 12345), one(7, 12345))
}

// TestAgentFolder: the folder of a script's socket is the service's own, and no one else's.
func TestAgentFolder(t *testing.T) {
	dir := t.TempDir()
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	uid := os.Getuid()
	f := func(mode uint32, owner int, says string) {
		t.Helper()
		name := fmt.Sprintf("agent-%o-%d", mode, owner)
		err := errors.Join(os.Mkdir(dir+"/"+name, 0o700), unix.Chmod(dir+"/"+name, mode), os.Chown(dir+"/"+name, owner, -1))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkAgentFolder(root, name, uint32(uid)); says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
	f(0o700, uid, "")
	f(0o755, uid, "")
	f(0o770, uid, "can be written by others than")
	f(0o1777, uid, "can be written by others than")
	if uid == 0 {
		f(0o700, otherUser, "belongs to uid 54321 and not to root, the user of the process: remove it and restart the service")
	}
	if err := os.Symlink(dir, dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := checkAgentFolder(root, "link", uint32(uid)); err == nil {
		t.Error("a link was followed")
	}
}
