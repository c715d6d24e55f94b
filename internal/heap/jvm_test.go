package heap

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// javaClasses is the folder of the compiled target, which the tests' end removes.
var javaClasses string

// compileJava compiles the target once for all tests and benchmarks.
var compileJava = sync.OnceValues(func() (dir string, err error) {
	javac, err := exec.LookPath("javac")
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "spillway-java"); err != nil {
		return "", err
	}
	javaClasses = dir
	out, err := exec.Command(javac, "-d", dir, "testdata/Target.java").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, os.Chmod(dir, 0o755)
})

// javaProcess is a running target.
type javaProcess struct {
	*node
	mark string
}

func startJava(t testing.TB, attr *syscall.SysProcAttr, flags ...string) *javaProcess {
	t.Helper()
	return startJavaBy(t, nil, attr, flags...)
}

// contained is how a program starts as the first process of namespaces of its own, with a /tmp of
// its own, as in a container. What it needs of ours is there too.
func contained(t *testing.T, needs ...string) []string {
	t.Helper()
	own, err := os.MkdirTemp("/var/tmp", "spillway-root")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.Remove(own) })
	script := "mount -t tmpfs tmpfs " + own
	for _, dir := range needs {
		if rest, ok := strings.CutPrefix(dir, "/tmp/"); ok {
			script += fmt.Sprintf(" && mkdir -p %[1]s/%[2]s && mount --bind %[3]s %[1]s/%[2]s", own, rest, dir)
		}
	}
	script += " && mount --move " + own + ` /tmp && { cd "$PWD" || cd /; } 2>/dev/null && exec "$@"`
	by := []string{"unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "sh", "-c", script, "sh"}
	if out, err := exec.Command(by[0], append(by[1:len(by):len(by)], "true")...).CombinedOutput(); err != nil {
		t.Skipf("no namespaces can be made here: %v: %s", err, out)
	}
	return by
}

func startJavaBy(t testing.TB, by []string, attr *syscall.SysProcAttr, flags ...string) *javaProcess {
	t.Helper()
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("no JDK is installed: the virtual machine is tested against the real thing only")
	}
	classes, err := compileJava()
	if err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf("-Dspillway.mark=%d", time.Now().UnixNano())
	n := &node{t: t, lines: make(chan string, 100)}
	args := slices.Concat(by, []string{"java"}, flags, []string{mark, "Target"})
	n.cmd = exec.Command(args[0], args[1:]...)
	n.cmd.Env = append(os.Environ(), "CLASSPATH="+classes)
	n.cmd.SysProcAttr = attr
	n.cmd.Stderr = n
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(n.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			n.lines <- sc.Text()
		}
	}()
	t.Cleanup(func() {
		n.cmd.Process.Kill()
		for range n.lines {
		}
		n.cmd.Wait()
	})
	n.expect("ready")
	return &javaProcess{n, mark}
}

func (j *javaProcess) run(command string, n int) {
	j.t.Helper()
	j.do(command, n)
	j.expect("end " + command)
}

// wake is what internal/action does, without its checks: this package must not be able to.
func wake(ctx context.Context, s Sleeper) error {
	name := filepath.Join("/proc", strconv.Itoa(s.Member.PID), "root/tmp", fmt.Sprintf(".attach_pid%d", s.NSPID))
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		return err
	}
	defer os.Remove(name)
	if err := os.Chown(name, int(s.UID), -1); err != nil {
		return err
	}
	if err := syscall.Kill(s.Member.PID, syscall.SIGQUIT); err != nil {
		return err
	}
	for !s.Ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

func jvmClient(t testing.TB, p *Pool, j *javaProcess) *Client {
	t.Helper()
	tracker, err := proc.New(proc.Options{Root: "/proc", Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Comm: "java", Cmdline: proc.Exprs{j.mark}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracker.Close() })
	var mu sync.Mutex
	cfg := Config{Provider: ProviderJVM}
	cfg.Validate(true, func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	c, err := p.Get(cfg, Target{Name: "t", Wake: wake, Members: func() []proc.Member {
		mu.Lock()
		defer mu.Unlock()
		tracker.Refresh(context.Background(), time.Now())
		return tracker.Members("t")
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The four collectors: used follows what is kept, the limit is -Xmx, and a collection frees what is
// garbage and not what is held.
func TestJVMCollectors(t *testing.T) {
	for _, gc := range []string{"G1", "Parallel", "Serial", "Z"} {
		t.Run(gc, func(t *testing.T) {
			j := startJava(t, nil, "-XX:+Use"+gc+"GC", "-Xmx256m", "-Xms64m")
			c := jvmClient(t, newPool(t), j)
			if u, err := c.Read(t.Context()); err != nil || u.Limit.Bytes != 256<<20 || u.Used.OK && u.Used.Bytes == 0 {
				t.Errorf("before its first collection: %v, %v: nothing is not 0", u, err)
			}
			j.run("keep", 60)
			j.run("gc", 0)
			u, err := c.Read(t.Context())
			if err != nil || u.Limit.Bytes != 256<<20 || u.Used.Bytes < 58<<20 || u.Used.Bytes > 130<<20 || u.Committed.Bytes < u.Used.Bytes || u.Committed.Bytes > u.Limit.Bytes || c.Runtime() != "jvm" {
				t.Fatalf("%v committed %v, %v, want some 60 MiB of 256", u, u.Committed, err)
			}
			j.run("garbage", 90)
			j.run("keep", 20)
			j.run("drop", 0)
			before, after, err := c.Collect(t.Context())
			if err != nil || !before.Used.OK || after.Used.Bytes > 40<<20 || after.Used.Bytes >= u.Used.Bytes {
				t.Errorf("garbage: %v to %v, %v, want next to nothing", before, after, err)
			}
			j.run("keep", 100)
			before, after, err = c.Collect(t.Context())
			if err != nil || after.Used.Bytes < 95<<20 {
				t.Errorf("held: %v to %v, %v, want that it stays", before, after, err)
			}
		})
	}
}

// Figures of the file are those that the JDK's own tool reads from it.
func TestJVMAgreesWithJstat(t *testing.T) {
	jstat, err := exec.LookPath("jstat")
	if err != nil {
		t.Skip("jstat is not installed")
	}
	for _, gc := range []string{"G1", "Parallel", "Serial"} {
		j := startJava(t, nil, "-XX:+Use"+gc+"GC", "-Xmx128m")
		c := jvmClient(t, newPool(t), j)
		j.run("keep", 30)
		j.run("gc", 0)
		out, err := exec.Command(jstat, "-gc", strconv.Itoa(j.cmd.Process.Pid)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		names, values := strings.Fields(lines[0]), strings.Fields(lines[1])
		sum := 0.0
		for i, name := range names {
			if name == "S0U" || name == "S1U" || name == "EU" || name == "OU" {
				v, err := strconv.ParseFloat(values[i], 64)
				if err != nil {
					t.Fatal(err)
				}
				sum += v * 1024
			}
		}
		u, err := c.Read(t.Context())
		if diff := float64(u.Used.Bytes) - sum; err != nil || diff < -2<<20 || diff > 2<<20 {
			t.Errorf("%s: %v, %v, jstat says %.0f", gc, u.Used, err, sum)
		}
	}
}

func TestJVMWithoutItsFile(t *testing.T) {
	j := startJava(t, nil, "-XX:-UsePerfData")
	c := jvmClient(t, newPool(t), j)
	_, err := c.Read(t.Context())
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "keeps no counters: it runs with -XX:-UsePerfData") || !strings.Contains(err.Error(), "write another provider") {
		t.Errorf("%v, want the reason and what to do", err)
	}
	if _, _, err := c.Collect(t.Context()); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("collect: %v: nothing was asked for", err)
	}
}

func TestJVMOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may start a process of another user")
	}
	j := startJava(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, "-Xmx64m")
	c := jvmClient(t, newPool(t), j)
	if u, err := c.Read(t.Context()); err != nil || u.Limit.Bytes != 64<<20 {
		t.Errorf("%v, %v", u, err)
	}
	if _, after, err := c.Collect(t.Context()); err != nil || !after.Used.OK {
		t.Errorf("collect: %v, %v", after, err)
	}
}

// In a container the process is another number, and /tmp another folder.
func TestJVMInAContainer(t *testing.T) {
	classes, err := compileJava()
	if err != nil {
		t.Skip("no JDK is installed: the virtual machine is tested against the real thing only")
	}
	by := contained(t, classes)
	j := startJavaBy(t, by, nil, "-Xmx64m")
	c := jvmClient(t, newPool(t), j)
	u, err := c.Read(t.Context())
	if err != nil || u.Limit.Bytes != 64<<20 {
		t.Fatalf("%v, %v", u, err)
	}
	for _, m := range machinesOf(t, c).of {
		if m.nspid != 1 {
			t.Errorf("it is process %d to itself, want 1", m.nspid)
		}
	}
	if _, after, err := c.Collect(t.Context()); err != nil || !after.Used.OK {
		t.Errorf("collect: %v, %v", after, err)
	}
}

// A stopped process is read all the same, and does not answer: whether it will collect when it goes
// on is not known.
func TestJVMStopped(t *testing.T) {
	j := startJava(t, nil, "-Xmx64m")
	c := jvmClient(t, newPool(t), j)
	if _, _, err := c.Collect(t.Context()); err != nil { // opens the socket
		t.Fatal(err)
	}
	stop(t, j.cmd.Process)
	defer j.cmd.Process.Signal(syscall.SIGCONT)
	if u, err := c.Read(t.Context()); err != nil || !u.Used.OK {
		t.Errorf("stopped: %v, %v", u, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if before, after, err := c.Collect(ctx); !errors.Is(err, ErrUnknown) || !before.Used.OK || after.Used.OK {
		t.Errorf("collect of a stopped process: %v, %v, %v, want ErrUnknown", before, after, err)
	}
}

func TestJVMRestarts(t *testing.T) {
	p := newPool(t)
	j := startJava(t, nil, "-Xmx64m")
	c := jvmClient(t, p, j)
	if _, err := c.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	j.stdin.Close()
	j.cmd.Wait()
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrNoProcess) {
		t.Errorf("after its end: %v", err)
	}
	if held := machinesOf(t, c).of; len(held) != 0 {
		t.Errorf("%d files are held of processes that have ended", len(held))
	}
	startJava(t, nil, "-Xmx32m", j.mark)
	if u, err := c.Read(t.Context()); err != nil || u.Limit.Bytes != 32<<20 {
		t.Errorf("started anew with another limit: %v, %v, want 32MiB", u, err)
	}
	c.Close()
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// fakeProc is a procfs with processes whose root is a folder of the test.
type fakeProc struct {
	t            testing.TB
	procfs, root string
}

func newFakeProc(t testing.TB) *fakeProc {
	t.Helper()
	f := &fakeProc{t: t, procfs: t.TempDir(), root: t.TempDir()}
	f.must(os.MkdirAll(filepath.Join(f.root, "tmp/hsperfdata_svc"), 0o755))
	return f
}

func (f *fakeProc) must(errs ...error) {
	f.t.Helper()
	if err := errors.Join(errs...); err != nil {
		f.t.Fatal(err)
	}
}

// add makes a process of this user which has the files mapped.
func (f *fakeProc) add(pid int, mapped ...string) {
	f.t.Helper()
	own := filepath.Join(f.procfs, strconv.Itoa(pid))
	uid := os.Getuid()
	f.must(os.MkdirAll(own, 0o755), os.RemoveAll(filepath.Join(own, "root")), os.Symlink(f.root, filepath.Join(own, "root")),
		os.WriteFile(filepath.Join(own, "status"), fmt.Appendf(nil, "Name:\tjava\nUid:\t%d\t%d\t%d\t%d\nNSpid:\t%d\t7\n", uid, uid, uid, uid, pid), 0o600),
		os.WriteFile(filepath.Join(own, "statm"), []byte("100 10 1 1 0 1 0\n"), 0o600))
	f.maps(pid, mapped...)
}

func (f *fakeProc) maps(pid int, mapped ...string) {
	f.t.Helper()
	var b []byte
	for _, name := range mapped {
		b = fmt.Appendf(b, "7f50df000000-7f50df008000 rw-s 00000000 08:01 77      %s\n", name)
	}
	f.must(os.WriteFile(filepath.Join(f.procfs, strconv.Itoa(pid), "maps"), b, 0o600))
}

func (f *fakeProc) client(members func() []proc.Member, change ...func(*Options)) *Client {
	f.t.Helper()
	return locatedClient(f.t, newPool(f.t, append(change, func(o *Options) { o.ProcFS = f.procfs })...), Config{Provider: ProviderJVM}, Target{Members: members})
}

// machinesOf are the processes whose files a client holds open.
func machinesOf(t testing.TB, c *Client) (all *machines) {
	t.Helper()
	if err := withLease(t.Context(), c.shared.backend.(*jvm).provider, func(m *machines) error { all = m; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

const fakeCounters, fakeLibrary = "/tmp/hsperfdata_svc/7", "/usr/lib/jvm/lib/server/libjvm.so"

// What is not there, or not as it should be, below the root of a process.
func TestJVMHostileFiles(t *testing.T) {
	fake := newFakeProc(t)
	pid := os.Getpid()
	fake.add(pid, fakeLibrary, fakeCounters)
	file := filepath.Join(fake.root, fakeCounters)
	f := func(what string, make func() error, want string) {
		t.Helper()
		os.RemoveAll(file)
		fake.must(make())
		j := fake.client(func() []proc.Member { return []proc.Member{{PID: pid}} })
		defer j.Close()
		if _, err := j.Read(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	f("nothing", func() error { return nil }, "open /tmp/hsperfdata_svc/7: no such file")
	f("a link", func() error { return os.Symlink("/etc/passwd", file) }, "open /tmp/hsperfdata_svc/7: too many levels")
	f("a fifo", func() error { return syscall.Mkfifo(file, 0o600) }, "is not a file of its user")
	f("a folder", func() error { return os.Mkdir(file, 0o700) }, "is not a file of its user")
	f("text", func() error { return os.WriteFile(file, []byte("hello"), 0o600) }, "not an hsperfdata file")
	f("too large", func() error { return os.WriteFile(file, make([]byte, maxPerfData+1), 0o600) }, "with at most")
	f("not ready", func() error {
		b := make([]byte, 64)
		binary.BigEndian.PutUint32(b, perfMagic)
		b[4], b[5] = 1, 2
		return os.WriteFile(file, b, 0o600)
	}, "is starting")
	f("empty of a heap", func() error {
		b := make([]byte, 64)
		binary.BigEndian.PutUint32(b, perfMagic)
		b[4], b[5], b[7] = 1, 2, 1
		return os.WriteFile(file, b, 0o600)
	}, "says nothing about its heap")
	if os.Getuid() == 0 {
		f("another user's", func() error {
			return errors.Join(os.WriteFile(file, []byte("hello"), 0o600), os.Chown(file, 65534, 65534))
		}, "is not a file of its user")
	}
}

// The file that a process has mapped is the one that is read, and what it has mapped shows what it is.
func TestJVMIsKnownByWhatItMaps(t *testing.T) {
	data, err := os.ReadFile("testdata/hsperfdata-g1")
	if err != nil {
		t.Fatal(err)
	}
	fake := newFakeProc(t)
	fake.must(os.WriteFile(filepath.Join(fake.root, fakeCounters), data, 0o600))
	f := func(want string, mapped ...string) {
		t.Helper()
		fake.add(9, mapped...)
		j := fake.client(func() []proc.Member { return []proc.Member{{PID: 9}} })
		defer j.Close()
		u, err := j.Read(t.Context())
		if want == "" && (err != nil || u.Limit.Bytes != 256<<20) || want != "" && (!errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v, want %q", mapped, u, err, want)
		}
	}
	f("", fakeCounters, fakeLibrary)
	f("", "/srv/jail"+fakeCounters, fakeLibrary) // the kernel's path begins above the process' root
	f("it is not a Java virtual machine", "/usr/bin/sh")
	f("it is not a Java virtual machine", fakeCounters, "/opt/libjvm.so.d/x") // what jstat has mapped
	f("keeps no counters: it runs with -XX:-UsePerfData", fakeLibrary, "/tmp/hsperfdata_svc/7.txt", "/tmp/7")
	f("which someone has removed", fakeLibrary, fakeCounters+" (deleted)")
}

// A shell next to the virtual machine is not a failure, is not what an error is about, and is looked at
// again less and less often; it may become one all the same.
func TestJVMBesideAShell(t *testing.T) {
	data, err := os.ReadFile("testdata/hsperfdata-g1")
	if err != nil {
		t.Fatal(err)
	}
	fake := newFakeProc(t)
	fake.must(os.WriteFile(filepath.Join(fake.root, fakeCounters), data, 0o600))
	fake.add(1, "/usr/bin/sh")
	fake.add(2, fakeLibrary)
	members := []proc.Member{{PID: 1}, {PID: 2}}
	now := time.Unix(0, 0)
	j := fake.client(func() []proc.Member { return members }, func(o *Options) { o.Now = func() time.Time { return now } })
	defer j.Close()
	if _, err := j.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "process 2 keeps no counters") {
		t.Errorf("%v, want what is wrong with the virtual machine", err)
	}
	fake.maps(1, fakeLibrary, fakeCounters)
	if _, err := j.Read(t.Context()); err == nil {
		t.Error("it was looked at again at once")
	}
	now = now.Add(firstLookAgain)
	if u, err := j.Read(t.Context()); err != nil || u.Limit.Bytes != 256<<20 {
		t.Errorf("%v, %v, want the shell's heap, which is a virtual machine by now", u, err)
	}
	for range 20 {
		now = now.Add(lastLookAgain)
		j.Read(t.Context())
	}
	if wait := machinesOf(t, j).misses[machineKey{pid: 2}].wait; wait != lastLookAgain {
		t.Errorf("the next look is after %s, want %s", wait, lastLookAgain)
	}
	members = nil
	if _, err := j.Read(t.Context()); !errors.Is(err, ErrNoProcess) || len(machinesOf(t, j).misses)+len(machinesOf(t, j).of) != 0 {
		t.Errorf("%v, and processes are remembered that have ended", err)
	}
}

// Counters stay as they were when their process has ended: they are not read any more, even before
// the listing of processes shows it.
func TestJVMThatHasEndedIsNotRead(t *testing.T) {
	j := startJava(t, nil, "-XX:+UseSerialGC", "-Xmx64m")
	c := jvmClient(t, newPool(t), j)
	backend := c.shared.backend.(*jvm)
	members := backend.target.members()
	backend.target.now.Store(&Target{Members: func() []proc.Member { return members }})
	if u, err := c.Read(t.Context()); err != nil || !u.Limit.OK {
		t.Fatalf("%v, %v", u, err)
	}
	j.cmd.Process.Kill()
	for range j.lines { // ends with the process, which no one has waited for yet
	}
	if u, err := c.Read(t.Context()); !errors.Is(err, ErrUnreachable) || u != (Usage{}) {
		t.Errorf("killed: %v, %v, want no reading", u, err)
	}
	j.cmd.Wait()
	if u, err := c.Read(t.Context()); !errors.Is(err, ErrUnreachable) || u != (Usage{}) {
		t.Errorf("waited for: %v, %v, want no reading", u, err)
	}
	if _, _, err := c.Collect(t.Context()); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrUnknown) {
		t.Errorf("collect: %v, want that nothing was asked for", err)
	}
}

// A process that has the pid of a virtual machine that was killed is not taken for it: its counters
// would be those of the dead, and many programs end by the signal that opens an attach socket.
func TestJVMPidThatWasAnothers(t *testing.T) {
	data, err := os.ReadFile("testdata/hsperfdata-g1")
	if err != nil {
		t.Fatal(err)
	}
	user, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := "/tmp/hsperfdata_" + user.Username
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	stale := filepath.Join(dir, strconv.Itoa(cmd.Process.Pid))
	if err := os.WriteFile(stale, data, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(stale)
	woken := false
	c := locatedClient(t, newPool(t), Config{Provider: ProviderJVM}, Target{
		Members: func() []proc.Member { return []proc.Member{{PID: cmd.Process.Pid}} },
		Wake:    func(context.Context, Sleeper) error { woken = true; return errors.New("no") },
	})
	if u, err := c.Read(t.Context()); !errors.Is(err, errNoMachine) {
		t.Errorf("%v, %v, want that it is not a virtual machine", u, err)
	}
	if _, _, err := c.Collect(t.Context()); !errors.Is(err, errNoMachine) || woken {
		t.Errorf("collect: %v, sent a signal: %v", err, woken)
	}
}

// One that lets no one attach takes the signal for a request to print its stacks: it gets none.
func TestJVMThatLetsNobodyAttach(t *testing.T) {
	j := startJava(t, nil, "-XX:+DisableAttachMechanism", "-Xmx64m")
	woken := false
	c := jvmClient(t, newPool(t), j)
	of := *c.shared.of.now.Load()
	of.Wake = func(context.Context, Sleeper) error { woken = true; return errors.New("no") }
	c.shared.of.now.Store(&of)
	if u, err := c.Read(t.Context()); err != nil || u.Limit.Bytes != 64<<20 {
		t.Errorf("%v, %v, want that it is read all the same", u, err)
	}
	_, _, err := c.Collect(t.Context())
	if !errors.Is(err, ErrCannotCollect) || !strings.Contains(err.Error(), "-XX:+DisableAttachMechanism") || woken {
		t.Errorf("%v, sent a signal: %v", err, woken)
	}
}

// G1 counts each region of new objects as it fills, and not only when it collects.
func TestJVMG1BetweenCollections(t *testing.T) {
	j := startJava(t, nil, "-XX:+UseG1GC", "-Xmx256m", "-Xms256m", "-Xmn128m", "-XX:G1HeapRegionSize=4m")
	c := jvmClient(t, newPool(t), j)
	j.run("keep", 40)
	u, err := c.Read(t.Context())
	if err != nil || u.Used.Bytes < 32<<20 || u.Used.Bytes > 48<<20 {
		t.Errorf("%v, %v, want the 40 MiB to within two regions, without a collection", u, err)
	}
}

// A thousand processes that come and go leave no descriptor.
func TestJVMLeavesNothing(t *testing.T) {
	data, err := os.ReadFile("testdata/hsperfdata-g1")
	if err != nil {
		t.Fatal(err)
	}
	fake := newFakeProc(t)
	fake.must(os.WriteFile(filepath.Join(fake.root, fakeCounters), data, 0o600))
	member := proc.Member{}
	j := fake.client(func() []proc.Member { return []proc.Member{member} })
	before := openDescriptors(t)
	for pid := 1; pid <= 1000; pid++ {
		fake.add(pid, fakeLibrary, fakeCounters)
		member = proc.Member{PID: pid}
		if u, err := j.Read(t.Context()); err != nil || u.Limit.Bytes != 256<<20 {
			t.Fatalf("%d: %v, %v", pid, u, err)
		}
	}
	if held := machinesOf(t, j).of; len(held) != 1 {
		t.Errorf("the files of %d processes are held, want those of the last", len(held))
	}
	j.Close()
	if after := openDescriptors(t); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestJudgeAttach(t *testing.T) {
	f := func(answer, want string, answered bool) {
		t.Helper()
		_, err := judgeAttach("GC.run", []byte(answer))
		if _, is := errors.AsType[*answerError](err); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || is != answered {
			t.Errorf("%q: %v, want %q", answer, err, want)
		}
	}
	f("0\nCommand executed successfully\n", "", false)
	f("", "without an answer", false)
	f("0", "without an answer", false)
	f("OK\n", `"OK", which is not a status`, false)
	f("0\nExplicit GC is disabled, no GC has been performed.\n", "no collection can be asked for", true)
	f("101\nProtocol version not supported\n", "status 101: Protocol version", true)
	f("1\njava.lang.SecurityException\n", "refused GC.run with status 1", true)
}

func FuzzDecodePerfData(f *testing.F) {
	for _, name := range []string{"hsperfdata-g1", "hsperfdata-parallel", "hsperfdata-z"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var h perfHeap
		if decodePerfData(data, &h) != nil {
			return
		}
		if u, err := h.usage(); err == nil && (u.Used.Bytes < 0 || u.Limit.Bytes <= 0 || u.Committed.Bytes > u.Limit.Bytes) {
			t.Errorf("%+v", u)
		}
	})
}

// BenchmarkJVMRead is one reading of a running virtual machine, with its 99th percentile.
func BenchmarkJVMRead(b *testing.B) {
	j := startJava(b, nil, "-Xmx64m")
	tracked := jvmClient(b, newPool(b), j)
	backend := tracked.shared.backend.(*jvm)
	members := backend.target.members()
	backend.target.now.Store(&Target{Members: func() []proc.Member { return members }})
	b.ReportAllocs()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := tracked.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	reportPercentiles(b, took)
}
