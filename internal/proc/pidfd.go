package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

var (
	// ErrChanged says that a process is not, or no more, the one that was meant. Nothing was sent.
	ErrChanged = errors.New("it is not the same process any more")
	// ErrNotHandled says that a process has no handler for a signal, which would end it, stop it
	// or do nothing. Nothing was sent.
	ErrNotHandled = errors.New("it has no handler for the signal")
	// ErrNoSuchSignal says that a name is not that of a signal that may be sent.
	ErrNoSuchSignal = errors.New("not a signal that may be sent")
)

// sendable are the signals that a program can have a meaning for. Those that no program can
// handle, that report a fault, or that a terminal or a parent sends, are not among them.
var sendable = map[string]unix.Signal{
	"SIGHUP": unix.SIGHUP, "SIGINT": unix.SIGINT, "SIGQUIT": unix.SIGQUIT, "SIGTERM": unix.SIGTERM,
	"SIGUSR1": unix.SIGUSR1, "SIGUSR2": unix.SIGUSR2, "SIGWINCH": unix.SIGWINCH, "SIGURG": unix.SIGURG, "SIGIO": unix.SIGIO,
}

// SignalNames returns the names of the signals that may be sent, sorted.
func SignalNames() []string {
	var out []string
	for name := range sendable {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// SignalNumber returns the number of a signal that may be sent; the error is an ErrNoSuchSignal.
func SignalNumber(name string) (int, error) {
	sig, ok := sendable[name]
	if !ok {
		return 0, fmt.Errorf("%.40q is %w: write one of %s", name, ErrNoSuchSignal, strings.Join(SignalNames(), ", "))
	}
	return int(sig), nil
}

// Handle is a pidfd that is held open of one process, so that what is sent through it reaches that
// process or no one. It belongs to one goroutine.
type Handle struct {
	member Member
	fd     int
	exe    string
	r      *reader
}

// Hold opens a pidfd for a member of a target and makes sure that it is the process that was
// meant: the start time is that of the member. It looks at the /proc of this process' own pid
// namespace, whatever the Tracker reads, because that is where a pid means what the kernel
// signals. The error is an ErrChanged when it is not the same process.
func Hold(m Member) (*Handle, error) {
	if err := Signals(); err != nil {
		return nil, fmt.Errorf("process %d: %w", m.PID, err)
	}
	fd, err := pidfdOf(m.PID)
	if err != nil {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("process %d: %w: it has ended", m.PID, ErrChanged)
		}
		return nil, fmt.Errorf("process %d: open a pidfd: %w", m.PID, err)
	}
	r, err := newReader("/proc")
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	h := &Handle{member: m, fd: fd, r: r}
	if h.exe, err = h.identify(); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Verify reports whether a pid still means the member: what was read by it before is then the member's,
// since no pid is given out twice at the same time. It looks at procfs, of the namespace that the pid is
// of. The error is an ErrChanged when it is not the same process.
func Verify(procfs string, m Member) error {
	r, err := newReader(procfs)
	if err != nil {
		return err
	}
	defer r.close()
	return verify(r, m)
}

func verify(r *reader, m Member) error {
	s, err := r.stat(int32(m.PID))
	switch {
	case err != nil && gone(err):
		return fmt.Errorf("process %d: %w: it has ended", m.PID, ErrChanged)
	case err != nil:
		return fmt.Errorf("process %d: %w", m.PID, err)
	case m.startTicks == 0 || s.start != m.startTicks:
		return fmt.Errorf("process %d: %w: it started at another time", m.PID, ErrChanged)
	}
	return nil
}

// pidfdOf returns a descriptor of a process that signals can be sent through: by pidfd_open(2), since
// Linux 5.3, or of its folder in /proc, which pidfd_send_signal(2) takes as well and which follows
// the process as a pidfd does.
func pidfdOf(pid int) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ENOSYS || err == unix.EPERM { // EPERM: the filter of a container
		return unix.Open("/proc/"+strconv.Itoa(pid), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	return fd, err
}

// Signals returns nil where this process can send signals to processes that are held, else an error
// that says what to do. Nothing stands in for pidfd_send_signal(2): kill(2) takes a number, which may be
// another process' by then.
func Signals() error { return signalsRefused() }

// signalsRefused asks once, with the signal 0 to this process, which does nothing.
var signalsRefused = sync.OnceValue(func() error {
	fd, err := pidfdOf(os.Getpid())
	if err != nil {
		return nil //nolint:nilerr // Hold says it of the process that is meant
	}
	defer unix.Close(fd)
	switch err := unix.PidfdSendSignal(fd, 0, nil, 0); err {
	case unix.ENOSYS, unix.EPERM:
		return fmt.Errorf("pidfd_send_signal: %w: no process is signalled, because a signal to a number may hit another one: use Linux 5.1, or let the call pass (a newer seccomp profile)", err)
	}
	return nil
})

// identify reads who the process is now and compares it with the member.
func (h *Handle) identify() (exe string, err error) {
	pid := int32(h.member.PID)
	if err := verify(h.r, h.member); err != nil {
		return "", err
	}
	path, err := h.r.exe(pid)
	if err != nil {
		return "", fmt.Errorf("process %d: its program cannot be read: %w", pid, err)
	}
	return string(path), nil
}

// Exe returns the program file as it was at Hold.
func (h *Handle) Exe() string { return h.exe }

// Handles reports whether the process has a handler for a signal, by SigCgt of its status.
func (h *Handle) Handles(signal int) (bool, error) {
	b, err := h.r.file(int32(h.member.PID), "status", longest)
	if err != nil {
		return false, fmt.Errorf("process %d: %w", h.member.PID, err)
	}
	for line := range strings.Lines(string(b)) {
		text, ok := strings.CutPrefix(line, "SigCgt:")
		if !ok {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		if err != nil {
			return false, fmt.Errorf("process %d: SigCgt %q: %w", h.member.PID, strings.TrimSpace(text), err)
		}
		return signal > 0 && signal <= 64 && mask&(1<<(signal-1)) != 0, nil
	}
	return false, fmt.Errorf("process %d: its status has no SigCgt", h.member.PID)
}

// Signal sends a signal that may be sent, after looking again: the start time and the program are
// those of Hold, and the process handles the signal. What goes out goes through the pidfd,
// so a pid that was given out again in between cannot be hit. Errors are ErrNoSuchSignal,
// ErrChanged, ErrNotHandled or the kernel's.
func (h *Handle) Signal(name string) error {
	number, err := SignalNumber(name)
	if err != nil {
		return err
	}
	exe, err := h.identify()
	if err != nil {
		return err
	}
	if exe != h.exe {
		return fmt.Errorf("process %d: %w: it runs %s, was %s", h.member.PID, ErrChanged, exe, h.exe)
	}
	handled, err := h.Handles(number)
	if err != nil {
		return err
	}
	if !handled {
		return fmt.Errorf("process %d (%s): %w %s", h.member.PID, exe, ErrNotHandled, name)
	}
	switch err := unix.PidfdSendSignal(h.fd, sendable[name], nil, 0); {
	case errors.Is(err, unix.ESRCH):
		return fmt.Errorf("process %d: %w: it has ended", h.member.PID, ErrChanged)
	case err != nil:
		return fmt.Errorf("process %d: send %s: %w", h.member.PID, name, err)
	}
	return nil
}

// Close gives the pidfd back.
func (h *Handle) Close() {
	_ = unix.Close(h.fd)
	h.r.close()
}

// KillGroup kills a child of this process and the process group that was made for it, whose number
// is that of the child. The caller must not have reaped the child yet: only that keeps the number
// from being given out again.
func KillGroup(leader int) error {
	if leader <= 1 || leader == os.Getpid() || leader == unix.Getpgrp() {
		return fmt.Errorf("process group %d is not one of a child", leader)
	}
	var errs []error
	for _, whom := range []int{-leader, leader} { // the child may have left its group
		if err := unix.Kill(whom, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("kill %d: %w", whom, err))
		}
	}
	return errors.Join(errs...)
}
