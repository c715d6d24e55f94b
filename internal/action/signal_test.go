package action

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

var marks atomic.Int64

// handler is a process that says when it gets a signal that it handles.
type handler struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
}

// startHandler starts a shell with a trap, and returns it with what lists the members of a target
// that matches it.
func startHandler(t *testing.T, traps string) (*handler, func() []proc.Member) {
	t.Helper()
	mark := fmt.Sprintf("mark-%d-%d", time.Now().UnixNano(), marks.Add(1))
	h := &handler{cmd: exec.Command("/bin/sh", "-c", traps+"; echo ready; while :; do sleep 0.02; done", mark)}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
	})
	h.lines = bufio.NewReader(out)
	if got := h.next(t); got != "ready" {
		t.Fatalf("it said %q", got)
	}
	tracker, err := proc.New(proc.Options{Targets: []proc.Target{{Name: "svc", Config: proc.Config{Match: proc.Match{Cmdline: proc.Exprs{mark}}, Children: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracker.Close() })
	return h, func() []proc.Member {
		if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
		return tracker.Members("svc")
	}
}

func (h *handler) next(t *testing.T) string {
	t.Helper()
	line, err := h.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("it ended: %v", err)
	}
	return strings.TrimSpace(line)
}

func signalRequest(name string) Request {
	req := commandRequest()
	req.Settings = &SignalSettings{Signal: name}
	return req
}

func TestSignalReachesItsHandler(t *testing.T) {
	h, members := startHandler(t, "trap 'echo got it' USR2")
	a := NewSignal(SignalOptions{Members: members, Logger: quiet})
	res, err := a.Run(t.Context(), signalRequest("SIGUSR2"))
	if err != nil || res.Outcome != Done || res.Detail != "sent SIGUSR2 to 1 of 1 processes" {
		t.Fatalf("%+v, %v", res, err)
	}
	if got := h.next(t); got != "got it" {
		t.Errorf("it said %q", got)
	}
}

// A signal that the process does not handle would end it: it is not sent.
func TestSignalWithoutAHandlerIsNotSent(t *testing.T) {
	h, members := startHandler(t, "trap 'echo alive' USR1; trap '' HUP")
	a := NewSignal(SignalOptions{Members: members, Logger: quiet})
	for _, name := range []string{"SIGUSR2", "SIGTERM", "SIGHUP"} {
		res, err := a.Run(t.Context(), signalRequest(name))
		if res.Outcome != Failed || err == nil || !strings.Contains(err.Error(), "no handler for the signal "+name) || res.Skipped["not_handled"] != 1 {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
	if res, err := a.Run(t.Context(), signalRequest("SIGKILL")); res.Outcome != Failed || err == nil {
		t.Errorf("SIGKILL: %+v, %v", res, err)
	}
	if _, err := a.Run(t.Context(), signalRequest("SIGUSR1")); err != nil {
		t.Fatal(err)
	}
	if got := h.next(t); got != "alive" {
		t.Errorf("it said %q", got)
	}
}

// A member that has ended since the listing is not signalled, whoever has its pid now.
func TestSignalToAProcessThatEnded(t *testing.T) {
	h, members := startHandler(t, "trap 'echo got it' USR2")
	before := members()
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
	a := NewSignal(SignalOptions{Members: func() []proc.Member { return before }, Logger: quiet})
	res, err := a.Run(t.Context(), signalRequest("SIGUSR2"))
	if res.Outcome != Failed || err == nil || res.Skipped["changed"] != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	// The same, with another process behind the pid: a member made of this process' own pid and
	// another's start.
	begun := time.Now() // a start is known to a hundredth of a second
	eventually(t, "the clock has moved on", func() bool { return time.Since(begun) > 50*time.Millisecond })
	other, _ := startHandler(t, "trap 'echo got it' USR2")
	before[0].PID = other.cmd.Process.Pid
	res, err = a.Run(t.Context(), signalRequest("SIGUSR2"))
	if res.Outcome != Failed || err == nil || !strings.Contains(err.Error(), "not the same process") {
		t.Errorf("another process: %+v, %v", res, err)
	}
	if err := other.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	if got := other.next(t); got != "got it" { // the first that it got
		t.Errorf("it said %q", got)
	}
}

func TestSignalRecipients(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	members := []proc.Member{
		{PID: 5, Start: at.Add(time.Hour)}, {PID: 3, Start: at.Add(-time.Hour), Child: true}, {PID: 9, Start: at}, {PID: 12, Start: at.Add(2 * time.Hour)},
	}
	if got := recipients(members, false); len(got) != 1 || got[0].PID != 9 {
		t.Errorf("the oldest: %+v", got)
	}
	if got := recipients(members, true); len(got) != 3 {
		t.Errorf("all: %+v", got)
	}
}
