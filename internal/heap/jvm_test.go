package heap

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// compileJava compiles the target once for all tests and benchmarks.
var compileJava = sync.OnceValues(func() (dir string, err error) {
	javac, err := exec.LookPath("javac")
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "spillway-java"); err != nil {
		return "", err
	}
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
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("no JDK is installed: the virtual machine is tested against the real thing only")
	}
	classes, err := compileJava()
	if err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf("-Dspillway.mark=%d", time.Now().UnixNano())
	n := &node{t: t, lines: make(chan string, 100)}
	n.cmd = exec.Command("java", append(flags, mark, "-cp", classes, "Target")...)
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
	tracker, err := proc.New(proc.Options{Root: "/proc", Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Comm: "java", Cmdline: j.mark}}}}})
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
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "-XX:-UsePerfData") || !strings.Contains(err.Error(), "write another provider") {
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

// A stopped process is read all the same, and does not answer: whether it will collect when it goes
// on is not known.
func TestJVMStopped(t *testing.T) {
	j := startJava(t, nil, "-Xmx64m")
	c := jvmClient(t, newPool(t), j)
	if _, _, err := c.Collect(t.Context()); err != nil { // opens the socket
		t.Fatal(err)
	}
	if err := j.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
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
	b := c.shared.backend.(*jvm)
	if len(b.machines) != 0 {
		t.Errorf("%d files are held of processes that have ended", len(b.machines))
	}
	c.Close()
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// What is not there, or not as it should be, below the root of a process.
func TestJVMHostileFiles(t *testing.T) {
	root := t.TempDir()
	pid := os.Getpid()
	procfs := t.TempDir()
	own := filepath.Join(procfs, strconv.Itoa(pid))
	for _, err := range []error{
		os.Mkdir(own, 0o755), os.Symlink(root, filepath.Join(own, "root")),
		os.WriteFile(filepath.Join(own, "status"), fmt.Appendf(nil, "Name:\tjava\nUid:\t%d\t%d\t%d\t%d\nNSpid:\t%d\t7\n", os.Getuid(), os.Getuid(), os.Getuid(), os.Getuid(), pid), 0o644),
		os.MkdirAll(filepath.Join(root, "etc"), 0o755), os.WriteFile(filepath.Join(root, "etc/passwd"), fmt.Appendf(nil, "junk\nsvc:x:%d:1::/:/bin/sh\n", os.Getuid()), 0o644),
		os.MkdirAll(filepath.Join(root, "tmp/hsperfdata_svc"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(root, "tmp/hsperfdata_svc/7")
	read := func() error {
		j := &jvm{target: &target{}, procfs: procfs, machines: make(map[machineKey]*machine)}
		j.target.now.Store(&Target{Members: func() []proc.Member { return []proc.Member{{PID: pid}} }})
		defer j.close()
		_, err := j.Read(t.Context())
		return err
	}
	f := func(what string, make func() error, want string) {
		t.Helper()
		os.RemoveAll(file)
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if err := read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	f("nothing", func() error { return nil }, "has no /tmp/hsperfdata_svc/7")
	f("a link", func() error { return os.Symlink("/etc/passwd", file) }, "open /tmp/hsperfdata_svc/7: too many levels")
	f("a fifo", func() error { return syscall.Mkfifo(file, 0o600) }, "is not a file of its user")
	f("a folder", func() error { return os.Mkdir(file, 0o700) }, "is not a file of its user")
	f("text", func() error { return os.WriteFile(file, []byte("hello"), 0o600) }, "no hsperfdata file")
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
	}, "tells nothing about its heap")
	if os.Getuid() == 0 {
		f("another user's", func() error {
			return errors.Join(os.WriteFile(file, []byte("hello"), 0o600), os.Chown(file, 65534, 65534))
		}, "is not a file of its user")
	}
}

// A thousand processes that come and go leave no descriptor.
func TestJVMLeavesNothing(t *testing.T) {
	data, err := os.ReadFile("testdata/hsperfdata-g1")
	if err != nil {
		t.Fatal(err)
	}
	root, procfs := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "tmp", fmt.Sprintf("hsperfdata_%d", os.Getuid())), 0o755); err != nil {
		t.Fatal(err)
	}
	member := proc.Member{}
	j := &jvm{target: &target{}, procfs: procfs, machines: make(map[machineKey]*machine)}
	j.target.now.Store(&Target{Members: func() []proc.Member { return []proc.Member{member} }})
	before := openDescriptors(t)
	for pid := 1; pid <= 1000; pid++ {
		own := filepath.Join(procfs, strconv.Itoa(pid))
		file := filepath.Join(root, "tmp", fmt.Sprintf("hsperfdata_%d", os.Getuid()), strconv.Itoa(pid))
		status := fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", os.Getuid(), os.Getuid(), os.Getuid(), os.Getuid())
		if err := errors.Join(os.Mkdir(own, 0o755), os.Symlink(root, filepath.Join(own, "root")), os.WriteFile(filepath.Join(own, "status"), []byte(status), 0o644), os.WriteFile(file, data, 0o600)); err != nil {
			t.Fatal(err)
		}
		member = proc.Member{PID: pid}
		if u, err := j.Read(t.Context()); err != nil || u.Limit.Bytes != 256<<20 {
			t.Fatalf("%d: %v, %v", pid, u, err)
		}
	}
	if len(j.machines) != 1 {
		t.Errorf("%d files are held, want that of the last", len(j.machines))
	}
	j.close()
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
		err := judgeAttach([]byte(answer))
		if _, is := errors.AsType[*answerError](err); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || is != answered {
			t.Errorf("%q: %v, want %q", answer, err, want)
		}
	}
	f("0\nCommand executed successfully\n", "", false)
	f("", "without an answer", false)
	f("0", "without an answer", false)
	f("OK\n", `"OK", which is no status`, false)
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
