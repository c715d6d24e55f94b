//go:build attack

package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stageOutput is what a process has printed.
type stageOutput struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *stageOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *stageOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// stageProcess is a program that is stopped with the test.
type stageProcess struct {
	cmd  *exec.Cmd
	out  stageOutput
	in   io.WriteCloser
	done chan struct{}
}

// start starts a program.
func (s *stage) start(env []string, argv ...string) *stageProcess {
	s.t.Helper()
	argv = append(slices.Clone(s.prefix), argv...)
	p := &stageProcess{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		s.t.Fatalf("%s: %v", argv[0], err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	s.t.Cleanup(p.stop)
	return p
}

func (p *stageProcess) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends the process, and its group when it does not within 20 s.
func (p *stageProcess) stop() {
	p.in.Close()
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.kill()
	}
}

func (p *stageProcess) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// stageAttacker is a process of another user that plays a role until it is stopped.
type stageAttacker struct {
	*stageProcess
	s *stage
}

// attack starts an attacker as the user. Its roles are in stageRoles; it is at work when attack returns.
func (s *stage) attack(uid int, role string, args ...string) *stageAttacker {
	s.t.Helper()
	program := s.dir + "/attacker"
	if _, err := os.Stat(program); err != nil {
		raw, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(program, raw, 0o755)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	raw, err := json.Marshal(append([]string{role}, args...))
	if err != nil {
		s.t.Fatal(err)
	}
	id := strconv.Itoa(uid)
	p := s.start([]string{stageEnv + "=" + string(raw), "GOMAXPROCS=1"}, "setpriv", "--reuid="+id, "--regid="+id, "--clear-groups",
		program, "-test.run=^TestStageAttacker$", "-test.v", "-test.timeout=0")
	s.await(20*time.Second, role+" is at work", func() error {
		if p.ended() {
			s.t.Fatalf("%s has ended: %s", role, p.out.String())
		}
		if !strings.Contains(p.out.String(), "at work\n") {
			return errors.New("not yet")
		}
		return nil
	})
	return &stageAttacker{p, s}
}

var (
	stageTries = regexp.MustCompile(`(?m)^tries=(\d+)$`)
	stageHarms = regexp.MustCompile(`(?m)^harm: (.*)$`)
)

// leave ends the attacker and counts what it tried and what it calls harm.
func (a *stageAttacker) leave() (tries int64) {
	a.s.t.Helper()
	a.in.Close()
	select {
	case <-a.done:
	case <-time.After(30 * time.Second):
		a.kill()
	}
	m := stageTries.FindStringSubmatch(a.out.String())
	if m == nil {
		a.s.t.Fatalf("the attacker has failed: %s", a.out.String())
	}
	tries, _ = strconv.ParseInt(m[1], 10, 64)
	a.s.tried(tries)
	for _, m := range stageHarms.FindAllStringSubmatch(a.out.String(), -1) {
		a.s.harmed("%s", m[1])
	}
	return tries
}

// stageRole is what an attacker does. It goes on while next returns true, and returns how often it tried.
type stageRole func(args []string, next func() bool) (tries int64, err error)

// TestStageAttacker is not a test: it is the attacker, in a process of its own.
func TestStageAttacker(t *testing.T) {
	var args []string
	if err := json.Unmarshal([]byte(os.Getenv(stageEnv)), &args); err != nil {
		t.Skip("runs in a process of its own")
	}
	left := make(chan struct{})
	go func() {
		bufio.NewReader(os.Stdin).ReadByte()
		close(left)
	}()
	fmt.Println("at work")
	tries, err := stageRoles[args[0]](args[1:], func() bool {
		select {
		case <-left:
			return false
		default:
			return true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\ntries=%d\n", tries)
}
