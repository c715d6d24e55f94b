package action

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// This file is the only place of the project that executes a program.

// Child is a program that was started to run beside this one. It is told to end by closing its
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
