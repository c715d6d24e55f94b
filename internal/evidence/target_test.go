package evidence

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// scratch is the folder of what the tests compile, which their end removes.
var scratch string

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if scratch != "" {
			os.RemoveAll(scratch)
		}
		os.Exit(code)
	}))
}

// compiled are the services in Java and Go.
var compiled = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "spillway-evidence"); err != nil {
		return "", err
	}
	scratch = dir
	if out, err := exec.Command("go", "build", "-o", dir+"/goleak", "./testdata/goleak").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	if _, err := exec.LookPath("javac"); err != nil {
		return dir, nil
	}
	if out, err := exec.Command("javac", "-d", dir, "testdata/Service.java").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

// live is a service that runs, and the client of its heap.
type live struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string
	said   string // after ready
	client *heap.Client
	track  func() []proc.Member
}

// services start one of each kind. flags are those of the runtime.
var services = map[string]func(t testing.TB, flags ...string) *live{
	heap.ProviderNode: func(t testing.TB, flags ...string) *live {
		address := freeAddress(t)
		s := launch(t, append(append([]string{"node", "--inspect=" + address}, flags...), "testdata/server.js")...)
		return s.with(heap.Config{Provider: heap.ProviderNode, Address: address})
	},
	heap.ProviderAgent: func(t testing.TB, flags ...string) *live {
		script, err := filepath.Abs("../../deploy/node-agent/spillway-agent.cjs")
		if err != nil {
			t.Fatal(err)
		}
		s := launch(t, append(append([]string{"node", "--require=" + script}, flags...), "testdata/server.js")...)
		return s.with(heap.Config{Provider: heap.ProviderAgent})
	},
	heap.ProviderJVM: func(t testing.TB, flags ...string) *live {
		s := launch(t, append(append([]string{"java", "-cp", build(t)}, flags...), "Service")...)
		return s.with(heap.Config{Provider: heap.ProviderJVM})
	},
	heap.ProviderPython: func(t testing.TB, flags ...string) *live {
		modules, err := filepath.Abs("../../deploy/python-agent/python")
		if err != nil {
			t.Fatal(err)
		}
		s := launch(t, append(append([]string{"env", "PYTHONPATH=" + modules}, flags...), "python3", "testdata/server.py")...)
		return s.with(heap.Config{Provider: heap.ProviderPython})
	},
	heap.ProviderGo: func(t testing.TB, _ ...string) *live {
		s := launch(t, build(t)+"/goleak")
		return s.with(heap.Config{Provider: heap.ProviderGo, Address: s.said, Limit: 1 << 30})
	},
}

func build(t testing.TB) string {
	t.Helper()
	dir, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func launch(t testing.TB, args ...string) *live {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("%s is not installed: evidence is tested against the real thing only", args[0])
	}
	s := &live{t: t, cmd: exec.Command(args[0], args[1:]...), lines: make(chan string, 100)}
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			s.lines <- sc.Text()
		}
	}()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		for range s.lines {
		}
		s.cmd.Wait()
	})
	s.said = s.expect("ready")
	return s
}

// expect waits for a line that begins so, and returns the rest of it.
func (s *live) expect(prefix string) string {
	s.t.Helper()
	return s.expectWithin(30*time.Second, prefix)
}

func (s *live) expectWithin(limit time.Duration, prefix string) string {
	s.t.Helper()
	deadline := time.After(limit)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("the service ended before it wrote %q", prefix)
			}
			if rest, found := strings.CutPrefix(line, prefix); found {
				return strings.TrimSpace(rest)
			}
		case <-deadline:
			s.t.Fatalf("the service did not write %q in time", prefix)
		}
	}
}

func (s *live) do(command string, n int) {
	s.t.Helper()
	fmt.Fprintln(s.stdin, command, n)
	s.expect("end " + command)
}

// snapshot has the service write a full snapshot of its heap, as its runtime has one, and returns how long that took.
func (s *live) snapshot() time.Duration {
	s.t.Helper()
	fmt.Fprintln(s.stdin, "snapshot 0")
	s.expect("begin snapshot")
	start := time.Now()
	s.expectWithin(5*time.Minute, "end snapshot")
	return time.Since(start)
}

// with attaches a client to the service.
func (s *live) with(cfg heap.Config) *live {
	s.t.Helper()
	pidfile := filepath.Join(s.t.TempDir(), "pid")
	if err := os.WriteFile(pidfile, []byte(strconv.Itoa(s.cmd.Process.Pid)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	tracker, err := proc.New(proc.Options{Root: "/proc", Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Pidfile: pidfile}}}}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { tracker.Close() })
	var mu sync.Mutex
	s.track = func() []proc.Member {
		mu.Lock()
		defer mu.Unlock()
		tracker.Refresh(context.Background(), time.Now())
		return tracker.Members("t")
	}
	cfg.Validate(true, func(key, format string, args ...any) { s.t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	pool := heap.NewPool(heap.Options{Logger: slog.New(slog.DiscardHandler)})
	s.t.Cleanup(func() { pool.Close() })
	if s.client, err = pool.Get(cfg, heap.Target{Name: "t", Members: s.track, Sample: true, Wake: wake}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.client.Close() })
	deadline := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		_, err := s.client.Read(ctx)
		cancel()
		if err == nil {
			return s
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("no reading: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// process is what a capturer gets.
func (s *live) process() Process {
	return Process{Target: "t", Members: s.track(), Heap: s.client, ProcFS: "/proc"}
}

// capture takes one profile by the preferred rung.
func (s *live) capture() Profile {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	rungs := Of(s.client.Provider())
	r := rungs[0]
	p, err := r.Capturer.Capture(ctx, s.process())
	for i := 1; i < len(rungs) && errors.Is(err, ErrUnavailable); i++ {
		r = rungs[i]
		p, err = r.Capturer.Capture(ctx, s.process())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	p.Runtime, p.Rung, p.Kind, p.Time = r.Runtime, r.Name, r.Kind, time.Now()
	return p
}

// wake is what internal/action does, without its checks: this package must not be able to.
func wake(ctx context.Context, s heap.Sleeper) error {
	name := filepath.Join("/proc", strconv.Itoa(s.Member.PID), "root/tmp", fmt.Sprintf(".attach_pid%d", s.NSPID))
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		return err
	}
	defer os.Remove(name)
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
