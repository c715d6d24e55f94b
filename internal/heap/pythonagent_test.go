package heap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// python is a running service with the preload modules.
type python struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
	err   bytes.Buffer
}

// startPython starts the service of the tests, and returns what lists its members.
func startPython(t testing.TB, env ...string) (*python, func() []proc.Member) {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: the modules are tested with the real thing only")
	}
	modules, err := filepath.Abs("../../deploy/python-agent/python")
	if err != nil {
		t.Fatal(err)
	}
	p := &python{t: t, cmd: exec.Command(path, "-W", "default", "testdata/target.py"), lines: make(chan string, 100)}
	p.cmd.Env = append(append(os.Environ(), "PYTHONPATH="+modules), env...)
	p.cmd.Stderr = &p.err
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go readLines(out, p.lines)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		for range p.lines {
		}
		p.cmd.Wait()
		os.Remove(p.socket())
	})
	p.expect("ready")
	tracker, err := proc.New(proc.Options{Root: "/proc", Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Pidfile: pidfile(t, p.cmd.Process.Pid)}, Children: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracker.Close() })
	return p, func() []proc.Member {
		agentMarks.Lock()
		defer agentMarks.Unlock()
		tracker.Refresh(context.Background(), time.Now())
		return tracker.Members("t")
	}
}

func readLines(out io.Reader, lines chan<- string) {
	defer close(lines)
	data := make([]byte, 0, 1<<10)
	for buf := make([]byte, 1<<10); ; {
		n, err := out.Read(buf)
		data = append(data, buf[:n]...)
		for {
			line, rest, ok := bytes.Cut(data, []byte("\n"))
			if !ok {
				break
			}
			lines <- string(line)
			data = rest
		}
		if err != nil {
			return
		}
	}
}

func (p *python) socket() string {
	return fmt.Sprintf("/tmp/spillway-python-%d/%d.sock", os.Getuid(), p.cmd.Process.Pid)
}

func (p *python) expect(prefix string) string {
	p.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the service ended before it wrote %q: %s", prefix, p.err.String())
			}
			if rest, found := strings.CutPrefix(line, prefix); found {
				return strings.TrimSpace(rest)
			}
		case <-deadline:
			p.t.Fatalf("the service did not write %q in time", prefix)
		}
	}
}

func (p *python) do(command string, n int) {
	p.t.Helper()
	fmt.Fprintln(p.stdin, command, n)
	p.expect("end " + command)
}

// ended closes the service's stdin, waits for its end and returns what it wrote to stderr.
func (p *python) ended() string {
	p.t.Helper()
	p.stdin.Close()
	for range p.lines {
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it ended with %v", err)
	}
	return p.err.String()
}

func pythonClient(t testing.TB, members func() []proc.Member, cfg Config) *Client {
	t.Helper()
	cfg.Provider = ProviderPython
	return locatedClient(t, newPool(t), cfg, Target{Members: members})
}

// What is kept is in use, what refers to itself is collected, and the service notices nothing.
func TestPythonReadsAndCollects(t *testing.T) {
	p, members := startPython(t)
	c := pythonClient(t, members, Config{})
	first := readSoon(t, c)
	p.do("keep", 50)
	p.do("sessions", 20_000) // some 20 MiB, of Python's own allocator
	p.do("threads", 3)
	p.do("garbage", 8)
	before, after, err := c.Collect(t.Context())
	grown := after.Used.Bytes - first.Used.Bytes
	if err != nil || grown < 65<<20 || grown > 90<<20 || before.Used.Bytes-after.Used.Bytes < 3<<20 || after.Committed.Bytes < after.Used.Bytes {
		t.Errorf("%v, then %v, %v after the collection, %v", first, before, after, err)
	}
	if c.Runtime() != "python" || after.Limit.OK && after.Limit.Bytes < after.Used.Bytes {
		t.Errorf("%s of %v", c.Runtime(), after)
	}
	st, err := os.Stat(p.socket())
	dir, dirErr := os.Stat(filepath.Dir(p.socket()))
	if err != nil || dirErr != nil || st.Mode().Perm() != 0o666 || dir.Mode().Perm() != 0o700 {
		t.Errorf("its socket %v, its folder %v, %v, %v, want modes 0666 and 0700: the folder says who may connect", st, dir, err, dirErr)
	}
	if text := p.ended(); text != "" {
		t.Errorf("it wrote %q", text)
	}
	if _, err := os.Lstat(p.socket()); !os.IsNotExist(err) {
		t.Errorf("its socket stays: %v", err)
	}
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrNoProcess) {
		t.Errorf("afterwards %v, want ErrNoProcess", err)
	}
}

// Without another allocator and without Python's own, what is in use is the same.
func TestPythonAllocators(t *testing.T) {
	for _, allocator := range []string{"pymalloc", "malloc", "debug"} {
		p, members := startPython(t, "PYTHONMALLOC="+allocator)
		c := pythonClient(t, members, Config{})
		first := readSoon(t, c)
		p.do("sessions", 20_000)
		_, after, err := c.Collect(t.Context())
		if grown := after.Used.Bytes - first.Used.Bytes; err != nil || grown < 17<<20 || grown > 40<<20 {
			t.Errorf("%s: %v to %v, %v", allocator, first, after, err)
		}
	}
}

// A limit of the process is where its allocations fail: what is in use and the room up to it.
func TestPythonLimits(t *testing.T) {
	p, members := startPython(t)
	c := pythonClient(t, members, Config{Limit: 1 << 30})
	if u := readSoon(t, c); u.Limit.Bytes > 1<<30 {
		t.Errorf("%v, want at most the limit of the config", u)
	}
	limit := func(resource string, size int64) {
		if out, err := exec.Command("prlimit", fmt.Sprintf("--pid=%d", p.cmd.Process.Pid), fmt.Sprintf("--%s=%d", resource, size)).CombinedOutput(); err != nil {
			t.Skipf("prlimit: %v: %s", err, out)
		}
	}
	limit("as", 700<<20)
	p.do("keep", 20)
	u := readSoon(t, c)
	if u.Limit.Bytes < 300<<20 || u.Limit.Bytes > 700<<20 {
		t.Errorf("%v of 700 MiB of addresses", u)
	}
	limit("data", 200<<20)
	if with := readSoon(t, c); with.Limit.Bytes >= u.Limit.Bytes || with.Limit.Bytes > 200<<20 {
		t.Errorf("%v of 200 MiB of data", with)
	}
}

// Each process has a socket of its own, and the fullest counts. A program that is started has none.
func TestPythonForks(t *testing.T) {
	p, members := startPython(t)
	c := pythonClient(t, members, Config{})
	readSoon(t, c)
	fmt.Fprintln(p.stdin, "fork", 2)
	p.expect("end fork")
	deadline := time.Now().Add(20 * time.Second)
	for {
		u, err := c.Read(t.Context())
		if err == nil && u.Used.Bytes > 64<<20 { // a child's
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, %v, want the heap of a child", u, err)
		}
		<-time.After(20 * time.Millisecond)
	}
	for _, m := range members() {
		if proc, err := os.FindProcess(m.PID); err == nil && m.PID != p.cmd.Process.Pid {
			proc.Kill()
		}
	}
	if text := p.ended(); text != "" {
		t.Errorf("it wrote %q", text)
	}
}

// A service that holds the global lock is busy, and a process that ends meanwhile is gone.
func TestPythonBusyAndGone(t *testing.T) {
	p, members := startPython(t)
	c := pythonClient(t, members, Config{})
	readSoon(t, c)
	stop(t, p.cmd.Process)
	if _, err := readWithin(c, 100*time.Millisecond); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	p.cmd.Process.Signal(syscall.SIGCONT)
	if u := readSoon(t, c); !u.Used.OK {
		t.Errorf("after it: %v", u)
	}
	p.cmd.Process.Kill()
	for range p.lines {
	}
	p.cmd.Wait()
	if _, err := c.Read(t.Context()); err == nil {
		t.Error("a process that was killed is read")
	}
	os.Remove(p.socket())
}

// A service may close descriptors that it has not opened, and open others of the same numbers: its connections are its own.
func TestPythonLeavesForeignDescriptors(t *testing.T) {
	p, members := startPython(t)
	c := pythonClient(t, members, Config{})
	readSoon(t, c)
	fmt.Fprintln(p.stdin, "foreign", 1)
	ports := strings.Fields(p.expect("listening"))
	p.expect("end foreign")
	readWithin(c, 200*time.Millisecond)
	for _, port := range ports {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	p.do("accept", 1)
	if text := p.ended(); text != "" {
		t.Errorf("it wrote %q", text)
	}
}

// A census has the types of the service with what they hold, and a trace its lines, where tracemalloc is on.
func TestPythonProfiles(t *testing.T) {
	p, members := startPython(t)
	c := pythonClient(t, members, Config{})
	readSoon(t, c)
	p.do("sessions", 20_000)
	if _, err := c.Profile(t.Context(), false); !errors.Is(err, ErrNoProfile) || !strings.Contains(err.Error(), "PYTHONTRACEMALLOC=1") {
		t.Errorf("%v, want what turns it on", err)
	}
	s, err := c.Profile(t.Context(), true)
	if err != nil || !bytes.Contains(s.Data, []byte(`["__main__.Session", "", 0, `)) || !s.Used.OK || s.Epoch == "" {
		t.Errorf("%.300q, %v", s.Data, err)
	}
	p, members = startPython(t, "PYTHONTRACEMALLOC=1")
	c = pythonClient(t, members, Config{})
	readSoon(t, c)
	p.do("sessions", 20_000)
	s, err = c.Profile(t.Context(), false)
	if err != nil || !bytes.Contains(s.Data, []byte(`["Session.__init__", "testdata/target.py", `)) && !bytes.Contains(s.Data, []byte(`target.py", 13, `)) {
		t.Errorf("%.300q, %v", s.Data, err)
	}
}

// The sitecustomize that a service has of its own is imported as without the agent's, and the agent only once.
func TestPythonChainsToTheServicesOwn(t *testing.T) {
	own := t.TempDir()
	if err := os.WriteFile(filepath.Join(own, "sitecustomize.py"), []byte("import builtins\nbuiltins.mine = __name__\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs("../../deploy/python-agent/python")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", "import sys, sitecustomize; print(mine, sitecustomize.__file__, 'spillway_agent' in sys.modules)")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+modules+":"+own)
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("sitecustomize %s/sitecustomize.py True\n", own); err != nil || string(out) != want {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
}

// A line in site-packages loads the agent where PYTHONPATH cannot be set; and a child that only starts another program has no
// socket, also where Python code runs between the fork and it.
func TestPythonIsLoadedByAPthFile(t *testing.T) {
	modules, err := filepath.Abs("../../deploy/python-agent/python")
	if err != nil {
		t.Fatal(err)
	}
	packages := t.TempDir()
	if err := os.WriteFile(filepath.Join(packages, "spillway.pth"), []byte(modules+"\nimport spillway_agent\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", `if True:
		import os, site, subprocess, sys, time
		site.addsitedir(sys.argv[1])
		folder = '/tmp/spillway-python-%d' % os.geteuid()
		children = [subprocess.Popen(['sleep', '0.6'], preexec_fn=lambda: None) for _ in range(3)]
		until = time.monotonic() + 10
		while not os.path.exists('%s/%d.sock' % (folder, os.getpid())) and time.monotonic() < until:
			time.sleep(0.02)
		for c in children:
			c.wait()
		print(os.path.exists('%s/%d.sock' % (folder, os.getpid())), [c.pid for c in children if os.path.exists('%s/%d.sock' % (folder, c.pid))])
	`, packages)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "True []\n" {
		t.Errorf("%q, %v, want a socket of its own and none of the children", out, err)
	}
}

// A folder that others can write to, or that another user has made, is not trusted, on either side.
func TestPythonOfAForeignFolder(t *testing.T) {
	dir := t.TempDir()
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	name, uid := "spillway-python-1", uint32(os.Getuid())
	if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := checkAgentFolder(root, name, uid); err != nil {
		t.Error(err)
	}
	if err := checkAgentFolder(root, name, uid+1); err == nil || !strings.Contains(err.Error(), "belongs to") {
		t.Errorf("of another user: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, name), 0o770); err != nil {
		t.Fatal(err)
	}
	if err := checkAgentFolder(root, name, uid); err == nil || !strings.Contains(err.Error(), "can be written by others") {
		t.Errorf("open to its group: %v", err)
	}
	foreign := fmt.Sprintf("/tmp/spillway-python-%d", 4_000_000_000+os.Getpid()%1_000_000)
	defer os.RemoveAll(foreign)
	out, err := exec.Command("env", "PYTHONPATH=../../deploy/python-agent/python", "python3", "-c",
		"import os, sys, spillway_agent; os.geteuid = lambda: int(sys.argv[1]); print(spillway_agent._listen())", strings.TrimPrefix(foreign, "/tmp/spillway-python-")).CombinedOutput()
	if entries, _ := os.ReadDir(foreign); err != nil || string(out) != "None\n" || len(entries) != 0 {
		t.Errorf("a service listens in the folder of another user: %q, %v, %v", out, err, entries)
	}
}

func TestDecodePython(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		if u, err := decodePython([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want %q", line, u, err, want)
		}
	}
	f("OK", `answered "OK"`)
	f(`{"error":"MemoryError: "}`, "its script refused: MemoryError")
	f(`{"used":1,"committed":2}`, "does not say by what")
	f(`{"by":"allocator","committed":2}`, "used is missing")
	f(`{"by":"allocator","used":-1,"committed":2}`, "used = -1")
	f(`{"by":"resident","used":1,"committed":2,"limit":1e300}`, "limit = 1e+300")
	u, err := decodePython([]byte(`{"by":"resident","used":1,"committed":2,"limit":null}`))
	if err != nil || u.Limit.OK || u.Used != Some(1) {
		t.Errorf("%+v, %v", u, err)
	}
}

func FuzzDecodePython(f *testing.F) {
	f.Add([]byte(`{"by":"allocator","used":1,"committed":2,"limit":null}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if u, err := decodePython(line); err == nil && (!u.Used.OK || u.Used.Bytes < 0 || u.Limit.Bytes < 0) {
			t.Errorf("%q: %+v", line, u)
		}
	})
}

// BenchmarkPythonRead is one reading through the socket of the modules.
func BenchmarkPythonRead(b *testing.B) {
	_, members := startPython(b)
	list := members()
	c := pythonClient(b, func() []proc.Member { return list }, Config{})
	readSoon(b, c)
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

// stop stops a child, and returns when it stands still: until then it may answer.
func stop(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v, %v, want it stopped", status, err)
	}
}
