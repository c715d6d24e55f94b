package proc

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// openEvents skips where the kernel does not report exits: no root, or another namespace.
func openEvents(t *testing.T) *Events {
	t.Helper()
	e, err := OpenEvents()
	if err != nil {
		if !errors.Is(err, ErrNoEvents) {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// TestEvents: children that live for milliseconds are counted with how they ended and with their
// peak, those of others are not.
func TestEvents(t *testing.T) {
	e := openEvents(t)
	e.Follow([]MemberOf{{PID: os.Getpid(), Target: "me", Children: true}})
	run := func(script string) {
		cmd := exec.Command("sh", "-c", script)
		_ = cmd.Run() // how it ends is what is looked at
	}
	run("exit 0")
	run("exit 3")
	run("kill -SEGV $$")
	run("kill -KILL $$")
	run(`head -c 60000000 /dev/zero | tail -c 60000000 >/dev/null`) // tail holds 60 MB for a moment
	var peak int64
	var exits map[ExitKey]uint64
	eventually(t, "the events", func() bool {
		var peaks map[string]int64
		exits, peaks, _ = e.Take()
		peak = max(peak, peaks["me"])
		return exits[ExitKey{"me", "exit_0"}] >= 4 && exits[ExitKey{"me", "exit_error"}] >= 1 &&
			exits[ExitKey{"me", "SIGSEGV"}] >= 1 && exits[ExitKey{"me", "SIGKILL"}] >= 1 && peak >= 50<<20
	})
	for k := range exits {
		if k.Target != "me" {
			t.Errorf("counted for another: %+v", k)
		}
	}
	told := marker(t, e)
	e.Follow([]MemberOf{told.member})
	before, _, _ := e.Take()
	run("exit 3")
	run("exit 0")
	told.all()
	e.Follow([]MemberOf{{PID: os.Getpid(), Target: "other"}, told.member}) // without children
	run("exit 4")
	told.all()
	e.Follow([]MemberOf{{PID: os.Getpid(), Target: "last", Children: true}, told.member})
	run("exit 0")
	told.all()
	exits, _, _ = e.Take()
	if got := exits[ExitKey{"last", "exit_0"}]; got != 1 {
		t.Errorf("the last: %d exits, want 1", got)
	}
	if exits[ExitKey{"me", "exit_error"}] != before[ExitKey{"me", "exit_error"}] || exits[ExitKey{"other", "exit_error"}] != 0 {
		t.Errorf("exits of children that are not members were counted: %v, before %v", exits, before)
	}
}

// told is a shell whose children end on demand. The kernel reports exits in their order, so that
// all earlier ones have been read once one of these is counted.
type told struct {
	member MemberOf
	all    func()
}

func marker(t *testing.T, e *Events) told {
	t.Helper()
	cmd := exec.Command("sh", "-c", "while read -r line; do (exit 7); done")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	key, ends := ExitKey{"marker", "exit_error"}, uint64(0)
	return told{MemberOf{PID: cmd.Process.Pid, Target: key.Target, Children: true}, func() {
		t.Helper()
		ends++
		if _, err := in.Write([]byte("end one\n")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the marker", func() bool {
			exits, _, _ := e.Take()
			return exits[key] == ends
		})
	}}
}

func TestExitReason(t *testing.T) {
	for status, want := range map[unix.WaitStatus]string{0: "exit_0", 1 << 8: "exit_error", 9: "SIGKILL", 11 | 0x80: "SIGSEGV", 45: "signal_45"} {
		if got := exitReason(status); got != want {
			t.Errorf("status %#x: %q, want %q", uint32(status), got, want)
		}
	}
}

// FuzzEvents feeds what could come over the sockets.
func FuzzEvents(f *testing.F) {
	exit := make([]byte, connectorHead+eventHead+24)
	binary.NativeEndian.PutUint32(exit[connectorHead:], eventExit)
	f.Add(message(0, 0, exit))
	f.Add(request(20, 0, 1, 1, statsAggregate, "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := &Events{known: map[int32]origin{0: {target: "a", children: true}}, exits: make(map[ExitKey]uint64), peaks: make(map[string]int64)}
		eachMessage(b, e.takeEvent)
		eachMessage(b, e.takeStats)
		for target, peak := range e.peaks {
			if target != "a" || peak <= 0 {
				t.Errorf("%q: %d", target, peak)
			}
		}
	})
}
