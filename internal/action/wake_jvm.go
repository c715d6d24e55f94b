package action

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

const (
	wakeSignal = "SIGQUIT"
	wakePoll   = 10 * time.Millisecond
)

// WakeJVM makes a Java virtual machine open its attach socket: it looks for a file of a certain
// name in /tmp when it gets SIGQUIT, and prints a stack dump where there is none. So the file is
// made first, and the signal goes out through a pidfd, to the process that was meant, if it handles
// it (a virtual machine started with -Xrs does not). It returns when ready reports that the socket
// is there, or with the context's error.
func WakeJVM(ctx context.Context, w heap.Sleeper) (err error) {
	h, err := proc.Hold(w.Member)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := mayWake(h, w.Member.PID); err != nil {
		return err
	}
	tmp, err := dirscan.OpenIn(w.Root, "tmp", unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("process %d: open its /tmp: %w", w.Member.PID, err)
	}
	defer unix.Close(tmp)
	trigger, err := safefs.PlaceTrigger(tmp, fmt.Sprintf(".attach_pid%d", w.NSPID), int(w.UID))
	if err != nil {
		return fmt.Errorf("process %d: %w", w.Member.PID, err)
	}
	defer func() { err = errors.Join(err, trigger.Remove()) }()
	if err := h.Signal(wakeSignal); err != nil {
		return err
	}
	tick := time.NewTicker(wakePoll)
	defer tick.Stop()
	for !w.Ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d was sent %s and opened no attach socket: %w", w.Member.PID, wakeSignal, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// mayWake refuses a process that would do something else on the signal: a Go program that handles it
// ends, a web server stops serving, and a virtual machine that is stopped would look for the file
// when it goes on, which is gone by then, and print its stacks.
func mayWake(h *proc.Handle, pid int) error {
	is, err := h.Maps(heap.LibJVM)
	if err == nil && !is {
		err = fmt.Errorf("process %d: %w: it has no %s mapped", pid, proc.ErrChanged, heap.LibJVM)
	}
	if err != nil {
		return err
	}
	number, err := proc.SignalNumber(wakeSignal)
	if err != nil {
		return err
	}
	handled, err := h.Handles(number)
	if err == nil && !handled {
		err = fmt.Errorf("process %d: %w %s: start it without -Xrs", pid, proc.ErrNotHandled, wakeSignal)
	}
	if err != nil {
		return err
	}
	stopped, err := h.Stopped()
	if err == nil && stopped {
		err = fmt.Errorf("process %d: %w: it is stopped, and nothing was sent to it", pid, heap.ErrBusy)
	}
	return err
}
