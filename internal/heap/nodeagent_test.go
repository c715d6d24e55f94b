package heap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

var agentMarks sync.Mutex

// startAgent starts Node.js with the preload script, and returns what lists its members.
func startAgent(t testing.TB, flags ...string) (*node, func() []proc.Member) {
	t.Helper()
	return startAgentBy(t, nil, flags...)
}

func startAgentBy(t testing.TB, by []string, flags ...string) (*node, func() []proc.Member) {
	t.Helper()
	script, err := filepath.Abs("../../deploy/node-agent/spillway-agent.cjs")
	if err != nil {
		t.Fatal(err)
	}
	agentMarks.Lock()
	mark := fmt.Sprintf("--title=mark%d", time.Now().UnixNano())
	agentMarks.Unlock()
	n := startNodeBy(t, by, "", append([]string{"--require=" + script, mark}, flags...)...)
	tracker, err := proc.New(proc.Options{Root: "/proc", Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Pidfile: pidfile(t, n.cmd.Process.Pid)}, Children: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracker.Close() })
	var mu sync.Mutex
	return n, func() []proc.Member {
		mu.Lock()
		defer mu.Unlock()
		tracker.Refresh(context.Background(), time.Now())
		return tracker.Members("t")
	}
}

func pidfile(t testing.TB, pid int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(name, []byte(strconv.Itoa(pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func agentClient(t testing.TB, p *Pool, members func() []proc.Member) *Client {
	t.Helper()
	return locatedClient(t, p, Config{Provider: ProviderAgent}, Target{Members: members})
}

func TestAgentReadsAndCollects(t *testing.T) {
	n, members := startAgent(t, "--max-old-space-size=256", "--max-semi-space-size=1")
	c := agentClient(t, newPool(t), members)
	u := readSoon(t, c)
	if u.Limit.Bytes < 256<<20 || u.Limit.Bytes > 270<<20 || u.Used.Bytes <= 0 || u.Committed.Bytes < u.Used.Bytes || c.Runtime() != "node" {
		t.Errorf("%v committed %v as %s", u, u.Committed, c.Runtime())
	}
	n.do("keep", 50)
	n.expect("end")
	n.do("garbage", 3)
	n.expect("end")
	before, after, err := c.Collect(t.Context())
	if err != nil || before.Used.Bytes < 50<<20 || after.Used.Bytes < 50<<20 || after.Used.Bytes > before.Used.Bytes {
		t.Errorf("%v to %v, %v, want that what is held stays", before, after, err)
	}
	socket := agentSocket(n)
	st, err := os.Stat(socket)
	if err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("its socket: %v, %v, want mode 0666: its folder says who may connect", st, err)
	}
	if dir, err := os.Stat(filepath.Dir(socket)); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v, %v, want mode 0700", dir, err)
	}
	if text := n.errText(); text != "" {
		t.Errorf("the target wrote %q", text)
	}
}

// agentsOf are the processes that a client asks.
func agentsOf(t testing.TB, c *Client) (all *agents) {
	t.Helper()
	if err := withLease(t.Context(), c.shared.backend.(*scriptAgent).provider, func(n *agents) error { all = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// agentDir is the folder in which the script of this user puts its socket.
func agentDir(t testing.TB) string {
	t.Helper()
	dir := fmt.Sprintf("/tmp/spillway-agent-%d", os.Getuid())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func agentSocket(n *node) string {
	return fmt.Sprintf("/tmp/spillway-agent-%d/%d.sock", os.Getuid(), n.cmd.Process.Pid)
}

// In a container the process is another number, and /tmp another folder. The program that made the
// container stands next to it and has no script.
func TestAgentInAContainer(t *testing.T) {
	sources, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	_, members := startAgentBy(t, contained(t, sources), "--max-old-space-size=64", "--max-semi-space-size=1")
	c := agentClient(t, newPool(t), members)
	if u := readSoon(t, c); u.Limit.Bytes < 64<<20 || u.Limit.Bytes > 70<<20 {
		t.Errorf("%v", u)
	}
	if before, after, err := c.Collect(t.Context()); err != nil || after.Used.Bytes > before.Used.Bytes {
		t.Errorf("collect: %v to %v, %v", before, after, err)
	}
}

// With a connection open the target ends as it would without, and takes its socket with it.
func TestAgentLetsTheTargetExit(t *testing.T) {
	for _, end := range []string{"naturally", "SIGTERM"} {
		n, members := startAgent(t)
		c := agentClient(t, newPool(t), members)
		readSoon(t, c)
		if end == "naturally" {
			n.stdin.Close()
		} else if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- n.cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it does not end while its socket is connected", end)
		}
		if _, err := c.Read(t.Context()); !errors.Is(err, ErrNoProcess) {
			t.Errorf("%s: afterwards %v", end, err)
		}
		if _, err := os.Lstat(agentSocket(n)); end == "naturally" && !os.IsNotExist(err) {
			t.Errorf("its socket stays: %v", err)
		}
		os.Remove(agentSocket(n))
	}
}

// A busy loop does not answer: that is busy, and the next answer is not taken for this one's.
func TestAgentBusyTarget(t *testing.T) {
	n, members := startAgent(t)
	c := agentClient(t, newPool(t), members)
	readSoon(t, c)
	n.do("busy", 800)
	n.expect("begin")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Read(ctx); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	n.expect("end")
	if u := readSoon(t, c); !u.Used.OK {
		t.Errorf("after it: %v", u)
	}
	n.do("busy", 800)
	n.expect("begin")
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := c.Collect(ctx); !errors.Is(err, ErrBusy) || errors.Is(err, ErrUnknown) {
		t.Errorf("collect: %v, want that nothing was asked for", err)
	}
}

// A target that is busy for long has one request waiting and one connection, however often it is
// asked: the script closes what is more than four, and would close the one that counts.
func TestAgentBusyForLong(t *testing.T) {
	n, members := startAgent(t)
	c := agentClient(t, newPool(t), members)
	readSoon(t, c)
	var connection net.Conn
	for _, a := range agentsOf(t, c).of {
		connection = a.conn
	}
	n.do("busy", 1500)
	n.expect("begin")
	for range 12 {
		start := time.Now()
		if _, err := readWithin(c, 50*time.Millisecond); !errors.Is(err, ErrBusy) {
			t.Fatalf("%v, want ErrBusy", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("a reading with a deadline of 50ms took %s", took)
		}
	}
	n.expect("end")
	if u, err := readWithin(c, 5*time.Second); err != nil || !u.Used.OK {
		t.Errorf("at once after it: %v, %v", u, err)
	}
	for _, a := range agentsOf(t, c).of {
		if a.conn != connection || a.owes {
			t.Errorf("it was connected to again, or an answer is owed: %v", a.owes)
		}
	}
}

// A reading does not wait for a collection beyond its own deadline.
func TestAgentReadDuringACollection(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	c := fakeAgent(t, func(conn net.Conn) {
		fmt.Fprintln(conn, `{"used": 1, "committed": 2, "limit": 3}`)
		if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil && line == agentCollect {
			close(asked)
			<-release
		}
	})
	collected := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, _, err := c.Collect(ctx)
		collected <- err
	}()
	<-asked
	start := time.Now()
	if _, err := readWithin(c, 50*time.Millisecond); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a reading with a deadline of 50ms took %s", took)
	}
	cancel()
	if err := <-collected; !errors.Is(err, ErrUnknown) {
		t.Errorf("a collection that was given up: %v, want ErrUnknown", err)
	}
	close(release)
}

// One of several that does not answer takes no time from the others.
func TestAgentOneOfSeveralIsBusy(t *testing.T) {
	release := make(chan struct{})
	c := fakeAgent(t, func(net.Conn) { <-release })
	defer close(release)
	_, real := startAgent(t)
	of := *c.shared.of.now.Load()
	hangs := of.Members()
	of.Members = func() []proc.Member { return append(slices.Clone(hangs), real()...) }
	c.shared.of.now.Store(&of)
	deadline := time.Now().Add(20 * time.Second)
	for {
		u, err := readWithin(c, 500*time.Millisecond)
		if err == nil && u.Limit.Bytes > 1<<20 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, %v, want the heap of the one that answers", u, err)
		}
	}
}

// Sockets of processes that were killed go when the next one starts, and no other: a socket that
// someone listens on may be of a process in another pid namespace.
func TestAgentRemovesWhatTheKilledLeft(t *testing.T) {
	dir := agentDir(t)
	ended := func() int {
		cmd := exec.Command("true")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		return cmd.Process.Pid
	}
	listen := func(name string) (*net.UnixListener, string) {
		file := filepath.Join(dir, name)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: file, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(file) })
		return l, file
	}
	stale, staleFile := listen(fmt.Sprintf("%d.sock", ended()))
	stale.SetUnlinkOnClose(false)
	stale.Close()
	live, liveFile := listen(fmt.Sprintf("%d.sock", ended()))
	defer live.Close()
	other, otherFile := listen("other.sock")
	other.SetUnlinkOnClose(false)
	other.Close()
	startAgent(t)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err := os.Lstat(staleFile); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the socket of a process that was killed stays")
		}
		<-time.After(10 * time.Millisecond)
	}
	startAgent(t) // by now whatever the first wanted to remove is gone
	for _, file := range []string{liveFile, otherFile} {
		if _, err := os.Lstat(file); err != nil {
			t.Errorf("what is not its own is gone: %v", err)
		}
	}
}

// A target that ends by itself while it is connected ends as soon as it would without.
func TestAgentDoesNotDelayTheExit(t *testing.T) {
	best := time.Hour
	for range 3 {
		n, members := startAgent(t)
		c := agentClient(t, newPool(t), members)
		readSoon(t, c)
		n.stdin.Close()
		at, err := strconv.ParseInt(n.expect("exit"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for range n.lines { // ends with the process
		}
		n.cmd.Wait()
		best = min(best, time.Since(time.UnixMilli(at)))
	}
	t.Logf("from the exit event to the end of the process: %s", best)
	if best > 50*time.Millisecond {
		t.Errorf("the exit took %s, want at most 50ms", best)
	}
}

func TestAgentThatIsNotThere(t *testing.T) {
	n := startNode(t, "")
	members := []proc.Member{{PID: n.cmd.Process.Pid}}
	c := agentClient(t, newPool(t), func() []proc.Member { return members })
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "--require=") {
		t.Errorf("%v, want how to start it", err)
	}
}

// Workers of a cluster have sockets of their own, and children inherit the script by NODE_OPTIONS.
func TestAgentOfACluster(t *testing.T) {
	script, err := filepath.Abs("../../deploy/node-agent/spillway-agent.cjs")
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the script is tested with the real thing only")
	}
	server := filepath.Join(t.TempDir(), "server.js")
	if err := os.WriteFile(server, []byte(`
		const cluster = require('node:cluster');
		if (cluster.isPrimary) { cluster.fork(); cluster.on('online', () => console.log('ready')); process.stdin.on('end', () => process.exit()).resume(); }
		else { globalThis.kept = new Array(8e6).fill(1.5); setInterval(() => {}, 1000); }`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, server)
	cmd.Env = append(os.Environ(), "NODE_OPTIONS=--require="+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); cmd.Process.Kill(); cmd.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	tracker, err := proc.New(proc.Options{Root: "/proc", Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Pidfile: pidfile(t, cmd.Process.Pid)}, Children: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	c := agentClient(t, newPool(t), func() []proc.Member {
		tracker.Refresh(context.Background(), time.Now())
		return tracker.Members("t")
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		u, err := c.Read(t.Context())
		asked := len(agentsOf(t, c).of)
		if err == nil && asked == 2 && u.Used.Bytes > 60<<20 { // the worker's, which is the fuller one
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, %v of %d processes, want the worker's heap", u, err, asked)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// fakeAgent serves what a hostile or broken script might.
func fakeAgent(t *testing.T, serve func(net.Conn)) *Client {
	t.Helper()
	dir := agentDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, fmt.Sprintf("%d.sock", os.Getpid())))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
				serve(conn)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	members := []proc.Member{{PID: os.Getpid()}}
	return agentClient(t, newPool(t), func() []proc.Member { return members })
}

func TestAgentHostileAnswers(t *testing.T) {
	f := func(answer, want string) {
		t.Helper()
		t.Run(want, func(t *testing.T) {
			c := fakeAgent(t, func(conn net.Conn) { fmt.Fprint(conn, answer) })
			if u, err := c.Read(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%.40q: %v, %v, want %q", answer, u, err, want)
			}
		})
	}
	f("", "unreachable")
	f("OK\n", `answered "OK`)
	f(`{"used": NaN}`+"\n", "answered")
	f(`{"used": 1, "committed": 2}`+"\n", "limit")
	f(`{"used": -1, "committed": 2, "limit": 3}`+"\n", "used")
	f(`{"used": "12MB", "committed": 2, "limit": 3}`+"\n", "answered")
	f(`{"error": "no"}`+"\n", "its script refused: no")
	f(strings.Repeat("x", 10<<20), "longer than 4096 bytes")
}

// A socket that someone else serves is not asked.
func TestAgentOfAnotherProcess(t *testing.T) {
	dir := agentDir(t)
	n := startNode(t, "")
	name := filepath.Join(dir, fmt.Sprintf("%d.sock", n.cmd.Process.Pid))
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	members := []proc.Member{{PID: n.cmd.Process.Pid}}
	c := agentClient(t, newPool(t), func() []proc.Member { return members })
	if _, err := c.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "is at the other end") {
		t.Errorf("%v, want a refusal", err)
	}
	l.Close()
	if err := os.Symlink("/tmp/x.sock", name); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(name)
	if _, err := c.Read(t.Context()); err == nil || errors.Is(err, ErrUnreachable) {
		t.Errorf("a link: %v, want a refusal", err)
	}
}

// The script answers two requests and nothing else, of bounded length.
func TestAgentScriptRefuses(t *testing.T) {
	n, members := startAgent(t)
	readSoon(t, agentClient(t, newPool(t), members))
	f := func(request, want string) {
		t.Helper()
		conn, err := net.Dial("unix", agentSocket(n))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, request)
		if got, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(got, want) || want == "" && err == nil {
			t.Errorf("%.20q: %q, %v, want %q", request, got, err, want)
		}
	}
	f("process.exit()\n", "write heap, gc, sample or profile")
	f("\n", "write heap, gc, sample or profile")
	f("heap\n", `"used":`)
	f(strings.Repeat("x", 100), "")
	f(strings.Repeat("heap\n", 10), "")
	n.do("garbage", 1) // it goes on
	n.expect("end")
}

// A thousand services that come and go leave neither goroutines nor descriptors.
func TestAgentRestarts(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	before := openDescriptors(t)
	start := time.Unix(0, 0)
	c := agentClient(t, newPool(t), func() []proc.Member { return []proc.Member{{PID: os.Getpid(), Start: start}} })
	dir := agentDir(t)
	for i := range 1000 {
		l, err := net.Listen("unix", filepath.Join(dir, fmt.Sprintf("%d.sock", os.Getpid())))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if conn, err := l.Accept(); err == nil {
				fmt.Fprintln(conn, `{"used": 1, "committed": 2, "limit": 3}`)
				bufio.NewReader(conn).ReadString(0) // until the other side leaves
				conn.Close()
			}
		}()
		start = time.Unix(int64(i), 0)
		if u, err := c.Read(t.Context()); err != nil || u.Limit.Bytes != 3 {
			t.Fatalf("%d: %v, %v", i, u, err)
		}
		l.Close()
		agentsOf(t, c).keep(nil)
		<-done
	}
	c.Close()
	if after := openDescriptors(t); after > before+2 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func FuzzDecodeAgent(f *testing.F) {
	f.Add([]byte(`{"used":1,"committed":2,"limit":3}`))
	f.Add([]byte(`{"error":"no"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if u, err := decodeAgent(line); err == nil && (!u.Used.OK || u.Used.Bytes < 0 || !u.Limit.OK || u.Limit.Bytes < 0) {
			t.Errorf("%q: %+v", line, u)
		}
	})
}

// BenchmarkAgentRead is one reading through the script's socket.
func BenchmarkAgentRead(b *testing.B) {
	_, members := startAgent(b)
	list := members()
	c := agentClient(b, newPool(b), func() []proc.Member { return list })
	readSoon(b, c)
	b.ReportAllocs()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := c.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	reportPercentiles(b, took)
}
