package proc

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// trapper starts a shell that ends with 7 on SIGUSR1 and has no handler for anything else, and returns it
// once its trap is set.
func trapper(t *testing.T) (*exec.Cmd, Member) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `trap "exit 7" USR1; echo ready; while :; do sleep 0.05; done`)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd, memberOf(t, cmd.Process.Pid)
}

// memberOf returns a process as a Tracker has it.
func memberOf(t *testing.T, pid int) Member {
	t.Helper()
	r, err := newReader("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	s, err := r.stat(int32(pid))
	if err != nil {
		t.Fatal(err)
	}
	return Member{PID: pid, startTicks: s.start}
}

// TestSignalReachesItsHandler: a signal that the process handles arrives; any other is refused, and the
// process lives on.
func TestSignalReachesItsHandler(t *testing.T) {
	cmd, m := trapper(t)
	h, err := Hold(m)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if !strings.HasPrefix(h.Exe(), "/") {
		t.Errorf("program %q", h.Exe())
	}
	for _, name := range SignalNames() {
		number, err := SignalNumber(name)
		if err != nil || unix.SignalName(unix.Signal(number)) != name {
			t.Errorf("%s is %d, %v", name, number, err)
		}
		handled, err := h.Handles(number)
		if err != nil || handled && name != "SIGUSR1" && name != "SIGINT" && name != "SIGQUIT" && name != "SIGTERM" {
			t.Errorf("%s: handled %v, %v", name, handled, err)
		}
		if name == "SIGUSR1" || handled {
			continue
		}
		if err := h.Signal(name); !errors.Is(err, ErrNotHandled) || !strings.HasSuffix(err.Error(), " "+name) {
			t.Errorf("%s: %v, want ErrNotHandled", name, err)
		}
	}
	for _, number := range []int{0, -1, 65, 1000} {
		if handled, err := h.Handles(number); handled || err != nil {
			t.Errorf("signal %d: handled %v, %v", number, handled, err)
		}
	}
	if err := h.Signal("SIGUSR1"); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("the process ended with %v, want 7 of its handler", err)
	}
	if err := h.Signal("SIGUSR1"); !errors.Is(err, ErrChanged) || !strings.HasSuffix(err.Error(), "it has ended") {
		t.Errorf("to a process that has ended: %v", err)
	}
	if _, err := h.Handles(10); err == nil {
		t.Error("a process that has ended handles signals")
	}
}

// TestSignalsThatAreNeverSent: those that no program handles, that a fault raises or that stop it are not to be
// had, however they are written.
func TestSignalsThatAreNeverSent(t *testing.T) {
	h := &Handle{fd: -1} // nothing of it may be looked at
	for _, name := range []string{"SIGKILL", "SIGSTOP", "SIGTSTP", "SIGCONT", "SIGSEGV", "SIGCHLD", "SIGPIPE", "SIGALRM", "HUP", "sighup", "1", "", "SIGRTMIN", strings.Repeat("x", 100)} {
		err := h.Signal(name)
		if !errors.Is(err, ErrNoSuchSignal) || !strings.HasSuffix(err.Error(), ": write one of SIGHUP, SIGINT, SIGIO, SIGQUIT, SIGTERM, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH") || len(err.Error()) > 200 {
			t.Errorf("%q: %v", name, err)
		}
	}
	if names := SignalNames(); !slices.IsSorted(names) || len(names) != len(sendable) {
		t.Errorf("%q", names)
	}
}

// TestHoldRefusesAnother: a process with another start time is not the one that was meant, one without
// is never known, and a number that no process has is none.
func TestHoldRefusesAnother(t *testing.T) {
	_, m := trapper(t)
	before := openDescriptors(t)
	f := func(m Member, says string) {
		t.Helper()
		h, err := Hold(m)
		if err == nil {
			h.Close()
		}
		if !errors.Is(err, ErrChanged) || !strings.HasSuffix(err.Error(), says) {
			t.Errorf("%+v: %v, want ErrChanged, %s", m, err, says)
		}
	}
	f(Member{PID: m.PID, startTicks: m.startTicks + 1}, "it started at another time")
	f(Member{PID: m.PID}, "it started at another time")
	f(Member{PID: 1<<22 + 1, startTicks: 1}, "it has ended")
	f(Member{PID: -1, startTicks: 1}, "it has ended")
	f(Member{PID: 0, startTicks: 1}, "it has ended")
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

// TestKillGroupRefuses: what is not a child's group is never killed: not this process, not its group, not
// all processes.
func TestKillGroupRefuses(t *testing.T) {
	for _, leader := range []int{-1, 0, 1, os.Getpid(), unix.Getpgrp(), -unix.Getpgrp()} {
		if err := KillGroup(leader); err == nil || err.Error() != "process group "+strconv.Itoa(leader)+" is not one of a child" {
			t.Errorf("%d: %v, want it refused", leader, err)
		}
	}
}

// TestKillGroup: a child and what it has started in its group end, and a child that has ended is not an error.
func TestKillGroup(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 1000 & echo $!; wait")
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stdout)
	line, err := r.ReadString('\n')
	if pid, convErr := strconv.Atoi(strings.TrimSpace(line)); err != nil || convErr != nil || unix.Kill(pid, 0) != nil {
		t.Errorf("%q, %v, %v: no grandchild", line, err, convErr)
	}
	if err := KillGroup(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	if _, err := r.ReadString('\n'); err == nil { // the end comes when all writers are gone, the grandchild too
		t.Error("a member of the group lives on")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended well, want it killed")
	}
}
