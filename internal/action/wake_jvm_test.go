package action

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// startVM starts a real virtual machine and returns it as the heap's client finds it asleep.
func startVM(t *testing.T, flags ...string) (heap.Sleeper, *exec.Cmd) {
	t.Helper()
	for _, program := range []string{"java", "javac"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("no JDK is installed: the virtual machine is tested against the real thing only")
		}
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "Wait.java")
	if err := os.WriteFile(source, []byte(`public class Wait { public static void main(String[] a) throws Exception { System.out.println("ready"); System.in.read(); } }`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("javac", "-d", dir, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command("java", append(flags, "-Xmx32m", "-cp", dir, "Wait")...)
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
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return sleeperOf(t, "-cp "+dir+" Wait", nil), cmd
}

// sleeperOf finds the process with a command line. ready is whether its attach socket is there.
func sleeperOf(t *testing.T, cmdline string, ready func() bool) heap.Sleeper {
	t.Helper()
	tracker, err := proc.New(proc.Options{Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Cmdline: proc.Exprs{cmdline}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	// A child that was just forked has the command line of its parent until it runs its own program.
	var members []proc.Member
	for deadline := time.Now().Add(10 * time.Second); len(members) != 1; <-time.After(time.Millisecond) {
		if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if members = tracker.Members("t"); time.Now().After(deadline) {
			t.Fatalf("%d members, want the one that was started", len(members))
		}
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(root) })
	if ready == nil {
		socket := fmt.Sprintf("/tmp/.java_pid%d", members[0].PID)
		t.Cleanup(func() { os.Remove(socket) })
		ready = func() bool {
			c, err := net.Dial("unix", socket)
			if err == nil {
				c.Close()
			}
			return err == nil
		}
	}
	return heap.Sleeper{Member: members[0], UID: uint32(os.Getuid()), NSPID: members[0].PID, Root: root, Ready: ready}
}

func TestWakeJVM(t *testing.T) {
	s, cmd := startVM(t)
	if s.Ready() {
		t.Fatal("its attach socket is open already")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := WakeJVM(ctx, s); err != nil || !s.Ready() {
		t.Errorf("%v, ready %v", err, s.Ready())
	}
	if _, err := os.Lstat(fmt.Sprintf("/tmp/.attach_pid%d", s.NSPID)); !os.IsNotExist(err) {
		t.Errorf("the file that it was to find is still there: %v", err)
	}
	if cmd.ProcessState != nil {
		t.Error("it has ended")
	}
}

// One that does not handle the signal would be ended by it.
func TestWakeJVMWithoutItsHandler(t *testing.T) {
	s, cmd := startVM(t, "-Xrs")
	err := WakeJVM(t.Context(), s)
	if !errors.Is(err, proc.ErrNotHandled) || !strings.Contains(err.Error(), "without -Xrs") {
		t.Errorf("%v, want a refusal that says what to do", err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("it has ended: %v", err)
	}
	if _, err := os.Lstat(fmt.Sprintf("/tmp/.attach_pid%d", s.NSPID)); !os.IsNotExist(err) {
		t.Errorf("a file was made for nothing: %v", err)
	}
}

// A process that is another one by now gets nothing.
func TestWakeJVMThatIsGone(t *testing.T) {
	s, cmd := startVM(t)
	cmd.Process.Kill()
	cmd.Wait()
	if err := WakeJVM(t.Context(), s); !errors.Is(err, proc.ErrChanged) {
		t.Errorf("%v, want ErrChanged", err)
	}
}

// A program that is not a virtual machine has a meaning of its own for the signal.
func TestWakeJVMThatIsNone(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("bash", "-c", `trap 'echo quit >'"$0"'/got' QUIT; echo ready; while sleep 0.05; do :; done`, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	s := sleeperOf(t, dir, func() bool { return false })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := WakeJVM(ctx, s); !errors.Is(err, proc.ErrChanged) || !strings.Contains(err.Error(), "libjvm.so") {
		t.Errorf("%v, want a refusal", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "got")); !os.IsNotExist(err) {
		t.Errorf("it got the signal: %v", err)
	}
}

// One that is stopped would look for the file when it goes on, and print its stacks then.
func TestWakeJVMThatIsStopped(t *testing.T) {
	s, cmd := startVM(t)
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Signal(syscall.SIGCONT)
	h, err := proc.Hold(s.Member)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	deadline := time.Now().Add(10 * time.Second)
	for stopped := false; !stopped; <-time.After(time.Millisecond) {
		if stopped, err = h.Stopped(); err != nil || time.Now().After(deadline) {
			t.Fatalf("it does not stop: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := WakeJVM(ctx, s); !errors.Is(err, heap.ErrBusy) || !strings.Contains(err.Error(), "nothing was sent") {
		t.Errorf("%v, want ErrBusy", err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Member.PID))
	if err != nil || !strings.Contains(string(status), "ShdPnd:\t0000000000000000") {
		t.Errorf("a signal waits for it: %v", err)
	}
}
