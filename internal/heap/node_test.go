package heap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if javaClasses != "" {
			os.RemoveAll(javaClasses)
		}
		os.Exit(code)
	}))
}

// node is a running target of the tests.
type node struct {
	t       testing.TB
	address string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	lines   chan string

	mu     sync.Mutex
	stderr bytes.Buffer
}

func (n *node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stderr.Write(p)
}

func (n *node) errText() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stderr.String()
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

func startNode(t testing.TB, address string, flags ...string) *node {
	t.Helper()
	return startNodeBy(t, nil, address, flags...)
}

// startNodeBy lets another program start it.
func startNodeBy(t testing.TB, by []string, address string, flags ...string) *node {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the inspector is tested against the real thing only")
	}
	n := &node{t: t, address: address, lines: make(chan string, 100)}
	if address != "" {
		flags = append([]string{"--inspect=" + address}, flags...)
	}
	args := slices.Concat(by, []string{path}, flags, []string{"testdata/target.js"})
	n.cmd = exec.Command(args[0], args[1:]...)
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
	return n
}

// expect waits for a line of stdout that begins so, and returns what follows.
func (n *node) expect(prefix string) string {
	n.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-n.lines:
			if !ok {
				n.t.Fatalf("target ended before it wrote %q; stderr:\n%s", prefix, n.errText())
			}
			if rest, found := strings.CutPrefix(line, prefix); found {
				return strings.TrimSpace(rest)
			}
		case <-deadline:
			n.t.Fatalf("target did not write %q in time", prefix)
		}
	}
}

func (n *node) do(command string, arg int) {
	n.t.Helper()
	if _, err := fmt.Fprintln(n.stdin, command, arg); err != nil {
		n.t.Fatal(err)
	}
}

func newPool(t testing.TB, change ...func(*Options)) *Pool {
	t.Helper()
	o := Options{Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	p := NewPool(o)
	t.Cleanup(func() { p.Close() })
	return p
}

func newClient(t testing.TB, p *Pool, cfg Config) *Client {
	t.Helper()
	cfg.Validate(false, func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	c, err := p.Get(cfg, Target{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func nodeConfig(address string) Config { return Config{Provider: ProviderNode, Address: address} }

func readWithin(c Reader, d time.Duration) (Usage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return c.Read(ctx)
}

// readSoon reads until it works: a target that was just started, or freed, may need a moment.
func readSoon(t testing.TB, c Reader) Usage {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		u, err := readWithin(c, 500*time.Millisecond)
		if err == nil {
			return u
		}
		if time.Now().After(deadline) {
			t.Fatalf("no reading: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestNodeReadsUsedAgainstTheTrueLimit(t *testing.T) {
	n := startNode(t, freeAddress(t), "--max-old-space-size=300")
	c := newClient(t, newPool(t), nodeConfig(n.address))
	small := readSoon(t, c)
	if small.Limit.Bytes < 300<<20 || small.Limit.Bytes > 400<<20 {
		t.Errorf("limit = %v, want about 300MiB as given to node", small.Limit)
	}
	if !small.Committed.OK || small.Committed.Bytes >= small.Limit.Bytes || small.Used.Bytes <= 0 || small.Used.Bytes > small.Committed.Bytes {
		t.Errorf("used %v, committed %v, limit %v: want used <= committed < limit", small.Used, small.Committed, small.Limit)
	}
	n.do("keep", 64)
	n.expect("end keep")
	big := readSoon(t, c)
	if grown := big.Used.Bytes - small.Used.Bytes; grown < 60<<20 || grown > 80<<20 {
		t.Errorf("64 MiB kept, used grew by %s", grown)
	}
	if big.Limit != small.Limit {
		t.Errorf("limit went from %v to %v", small.Limit, big.Limit)
	}
}

func TestNodeCollects(t *testing.T) {
	for _, session := range []string{SessionHeld, SessionPerSample} {
		t.Run(session, func(t *testing.T) {
			n := startNode(t, freeAddress(t), "--max-semi-space-size=256", "--min-semi-space-size=256")
			c := newClient(t, newPool(t), Config{Provider: ProviderNode, Address: n.address, Session: session})
			n.do("keep", 20)
			n.do("garbage", 60)
			n.expect("end garbage")
			before, after, err := c.Collect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if freed := before.Used.Bytes - after.Used.Bytes; freed < 50<<20 || after.Used.Bytes < 20<<20 {
				t.Errorf("before %v, after %v: want some 60MiB less, and the 20MiB that are kept still there", before, after)
			}
		})
	}
}

// V8 serves the inspector from its interrupts, so that a loop that never yields is answered all
// the same; what leaves JavaScript, or is stopped, is not.
func TestNodeBusyLoopIsRead(t *testing.T) {
	n := startNode(t, freeAddress(t))
	c := newClient(t, newPool(t), nodeConfig(n.address))
	readSoon(t, c)
	n.do("busy", 1000)
	n.expect("begin busy")
	if _, err := readWithin(c, 500*time.Millisecond); err != nil {
		t.Errorf("a loop that never yields: %v, want a reading", err)
	}
}

func TestNodeBlockedIsStaleNotBroken(t *testing.T) {
	for _, how := range []string{"block", "stop"} {
		t.Run(how, func(t *testing.T) {
			n := startNode(t, freeAddress(t))
			c := newClient(t, newPool(t), nodeConfig(n.address))
			readSoon(t, c)
			if how == "stop" {
				stop(t, n.cmd.Process)
			} else {
				n.do(how, 1500)
				n.expect("begin " + how)
			}
			deadline := time.Now().Add(time.Second)
			for busy := 0; busy < maxUnanswered+3; { // the call begins a moment after its line
				start := time.Now()
				_, err := readWithin(c, 30*time.Millisecond)
				if errors.Is(err, ErrBusy) {
					busy++
				} else if err != nil || busy > 0 || time.Now().After(deadline) {
					t.Fatalf("a target that cannot answer gives %v after %d times busy, want ErrBusy", err, busy)
				}
				if took := time.Since(start); took > 500*time.Millisecond {
					t.Fatalf("a reading with a deadline of 30ms took %s", took)
				}
			}
			if how == "stop" {
				n.cmd.Process.Signal(syscall.SIGCONT)
			} else {
				n.expect("end " + how)
			}
			readSoon(t, c)
			if got := strings.Count(n.errText(), "Debugger attached"); got != 1 {
				t.Errorf("attached %d times, want once:\n%s", got, n.errText())
			}
		})
	}
}

func TestNodeThatWasNeverReadIsStopped(t *testing.T) {
	n := startNode(t, freeAddress(t))
	stop(t, n.cmd.Process)
	c := newClient(t, newPool(t), nodeConfig(n.address))
	_, _, err := c.Collect(deadline(t, 100*time.Millisecond))
	if !errors.Is(err, ErrBusy) || errors.Is(err, ErrUnknown) {
		t.Errorf("a stopped target: %v, want busy and nothing asked for", err)
	}
	n.cmd.Process.Signal(syscall.SIGCONT)
	readSoon(t, c)
	if got := strings.Count(n.errText(), "Debugger attached"); got != 1 {
		t.Errorf("attached %d times, want once:\n%s", got, n.errText())
	}
}

func deadline(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestNodeMayExitWhileAttached(t *testing.T) {
	best := time.Hour
	for range 3 {
		n := startNode(t, freeAddress(t))
		c := newClient(t, newPool(t), nodeConfig(n.address))
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
		if _, err := readWithin(c, time.Second); !errors.Is(err, ErrUnreachable) {
			t.Errorf("after the target's end: %v, want ErrUnreachable", err)
		}
	}
	t.Logf("from the exit event to the end of the process: %s", best)
	if best > 50*time.Millisecond {
		t.Errorf("the exit took %s, want at most 50ms", best)
	}
}

func TestNodeMayBeTerminatedWhileAttached(t *testing.T) {
	n := startNode(t, freeAddress(t))
	c := newClient(t, newPool(t), nodeConfig(n.address))
	readSoon(t, c)
	start := time.Now()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range n.lines {
	}
	n.cmd.Wait()
	if took := time.Since(start); took > time.Second {
		t.Errorf("SIGTERM took %s to end the target", took)
	}
	if _, err := readWithin(c, time.Second); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "--inspect="+n.address) {
		t.Errorf("after the target's end: %v, want ErrUnreachable with the hint", err)
	}
}

func TestNodeIsAttachedToOncePerStart(t *testing.T) {
	address := freeAddress(t)
	c := newClient(t, newPool(t), nodeConfig(address))
	for start := range 2 {
		n := startNode(t, address)
		for range 20 {
			readSoon(t, c)
		}
		if got := strings.Count(n.errText(), "Debugger attached"); got != 1 {
			t.Errorf("start %d: attached %d times, want once:\n%s", start, got, n.errText())
		}
		n.cmd.Process.Kill()
		for range n.lines {
		}
		n.cmd.Wait()
	}
}

func TestNodeSessionOutlivesAReload(t *testing.T) {
	n := startNode(t, freeAddress(t))
	p := newPool(t)
	before := newClient(t, p, nodeConfig(n.address))
	readSoon(t, before)
	after := newClient(t, p, nodeConfig(n.address))
	before.Close()
	readSoon(t, after)
	if _, err := readWithin(before, time.Second); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed client answers %v, want ErrClosed", err)
	}
	if got := strings.Count(n.errText(), "Debugger attached"); got != 1 {
		t.Errorf("attached %d times, want once:\n%s", got, n.errText())
	}
	after.Close()
	if left := len(p.Stats()); left != 0 {
		t.Errorf("%d providers are left after the last user closed", left)
	}
}

// Whoever debugs the target may hold it at a breakpoint for hours.
func TestNodePausedInADebuggerIsRead(t *testing.T) {
	n := startNode(t, freeAddress(t))
	c := newClient(t, newPool(t), nodeConfig(n.address))
	readSoon(t, c)
	client := c.shared.backend.(*inspector)
	target, err := client.find(t.Context(), client.client, client.address)
	if err != nil {
		t.Fatal(err)
	}
	debugger, err := attach(t.Context(), n.address, target)
	if err != nil {
		t.Fatal(err)
	}
	defer debugger.close()
	for _, method := range []string{"Debugger.enable", "Debugger.pause"} {
		if _, _, err := debugger.call(deadline(t, 10*time.Second), method, nil); err != nil {
			t.Fatal(err)
		}
	}
	n.do("busy", 1) // its first statement pauses
	for range 5 {
		if _, err := readWithin(c, 2*time.Second); err != nil {
			t.Errorf("a paused target: %v, want a reading", err)
		}
	}
	if _, _, err := debugger.call(deadline(t, 10*time.Second), "Debugger.disable", nil); err != nil {
		t.Fatal(err)
	}
	n.expect("end busy")
}

func TestNodeRunsOutOfHeap(t *testing.T) {
	n := startNode(t, freeAddress(t), "--max-old-space-size=48")
	c := newClient(t, newPool(t), nodeConfig(n.address))
	readSoon(t, c)
	n.do("objects", 500)
	end := time.Now().Add(20 * time.Second)
	highest := 0.0
	for {
		u, err := readWithin(c, 200*time.Millisecond)
		if errors.Is(err, ErrUnreachable) {
			break
		}
		if err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, errLost) {
			t.Fatalf("a dying target: %v, want busy and then unreachable", err)
		}
		if r, ok := u.Ratio(); ok {
			highest = max(highest, r)
		}
		if time.Now().After(end) {
			t.Fatalf("the target did not die; last error %v", err)
		}
		<-time.After(2 * time.Millisecond)
	}
	t.Logf("highest ratio seen: %.0f%%", highest*100)
	if got := strings.Count(n.errText(), "Debugger attached"); got != 1 {
		t.Errorf("attached %d times, want once:\n%s", got, n.errText())
	}
}

// BenchmarkNodeRead reports the latency of one reading, and what it costs this process.
func BenchmarkNodeRead(b *testing.B) {
	for _, session := range []string{SessionHeld, SessionPerSample} {
		b.Run(session, func(b *testing.B) {
			n := startNode(b, freeAddress(b))
			c := newClient(b, newPool(b), Config{Provider: ProviderNode, Address: n.address, Session: session})
			readSoon(b, c)
			var took []time.Duration
			cpu := cpuTime(b)
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				if _, err := readWithin(c, 2*time.Second); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
			reportPercentiles(b, took)
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
