package action

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// This file is the only place of the project that executes a program.

// Child is a program that was started to run alongside this one. It is asked to end by closing its
// standard input, which also happens when this process dies in whatever way; it is never
// signalled.
type Child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{}
	err   error
	first string
}

// StartChild starts argv[0], an absolute path, in a process group of its own and waits for the
// first line that it prints, which is its word that it is ready. What it prints after that, and
// on standard error, goes to output.
func StartChild(ctx context.Context, argv []string, output io.Writer) (*Child, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(os.Environ(), "GOGC=off")
	cmd.Stderr = output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %q: %w", argv[0], err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %q: %w", argv[0], err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %q: %w", argv[0], err)
	}
	c := &Child{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	ready := make(chan string, 1)
	go func() {
		defer close(c.ended)
		lines := bufio.NewReader(stdout)
		line, _ := lines.ReadString('\n')
		ready <- line
		_, copyErr := io.Copy(output, lines)
		c.err = errors.Join(copyErr, cmd.Wait())
	}()
	select {
	case c.first = <-ready:
	case <-ctx.Done():
		stdin.Close()
		<-c.ended
		return nil, ctx.Err()
	}
	if c.first == "" {
		stdin.Close()
		<-c.ended
		return nil, fmt.Errorf("start %q: it ended at once: %w", argv[0], c.err)
	}
	return c, nil
}

// FirstLine returns the line by which the child said that it is ready.
func (c *Child) FirstLine() string { return c.first }

// PID returns the child's process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Stop closes the child's standard input and waits for its end, at most until ctx is done.
func (c *Child) Stop(ctx context.Context) error {
	closeErr := c.stdin.Close()
	select {
	case <-c.ended:
		return errors.Join(closeErr, c.err)
	case <-ctx.Done():
		return fmt.Errorf("the child %d did not end when its input was closed: %w", c.PID(), ctx.Err())
	}
}

const (
	killGrace   = 5 * time.Second // a killed child has to be gone by then
	outputGrace = 2 * time.Second // for the output of children that outlive the command
)

// execution is a program that is to run to its end.
type execution struct {
	argv   []string
	env    []string
	lookup string // the PATH in env
	stdin  []byte
	out    io.Writer
}

// ending is how a program ended.
type ending struct {
	started bool
	seen    bool // its end was seen
	killed  bool // by us, since ctx was done
	code    int  // exit status; -1 when a signal ended it
	signal  string
	err     error // why it was not started, or what else went wrong
}

// execute runs a program in a process group of its own, with stdin and a working directory of /,
// and kills the whole group when ctx is done first. The program dies with this process. One that other users can
// change is not started. It is started by its path and not by the descriptor that was looked at, so that a program and
// a script know their own names; what stands under that path only root and the user of this process can change.
func execute(ctx context.Context, e execution) ending {
	// The kernel sends Pdeathsig when the thread that started the child ends, so it has to live as
	// long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(e.argv[0], e.argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Env, cmd.Dir = e.env, "/"
	cmd.Stdin = bytes.NewReader(e.stdin)
	cmd.Stdout, cmd.Stderr = e.out, e.out
	cmd.WaitDelay = outputGrace
	if err := checkOwners(e.argv, e.lookup); err != nil {
		return ending{err: err}
	}
	if err := cmd.Start(); err != nil {
		return ending{err: err}
	}
	end := ending{started: true, code: -1}
	ended := make(chan struct{})
	go func() {
		awaitEnd(cmd.Process.Pid)
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		end.killed = true
		end.err = proc.KillGroup(cmd.Process.Pid) // not reaped yet: the number is still its own
		grace := time.NewTimer(killGrace)
		defer grace.Stop()
		select {
		case <-ended:
		case <-grace.C: // in the kernel, and will be reaped once it comes out
			go cmd.Wait() //nolint:errcheck // no one is left to hear it
			return end
		}
	}
	end.seen = true
	err := cmd.Wait()
	if state := cmd.ProcessState; state != nil {
		end.code = state.ExitCode()
		if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			end.signal = unix.SignalName(ws.Signal())
		}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) && !errors.Is(err, syscall.EPIPE) {
		end.err = errors.Join(end.err, err)
	}
	return end
}

// awaitEnd waits until a child has ended, and leaves it to be reaped.
func awaitEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
