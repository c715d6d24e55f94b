package heap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// maxAttachAnswer bounds what is read of an answer: that to GC.run has some 40 bytes.
const maxAttachAnswer = 64 << 10

// The requests of the attach mechanism: version, command, three arguments, each with a 0 after it.
var (
	attachCollect      = []byte("1\x00jcmd\x00GC.run\x00\x00\x00")       // a full collection
	attachHistogram    = []byte("1\x00inspectheap\x00-live\x00\x00\x00") // what lives, by class, after a full collection
	attachHistogramAll = []byte("1\x00inspectheap\x00-all\x00\x00\x00")  // garbage too
)

// Sleeper is a virtual machine whose attach socket is not open.
type Sleeper struct {
	Member proc.Member
	UID    uint32
	NSPID  int         // its pid as it knows it
	Root   int         // an open descriptor of its root
	Ready  func() bool // reports whether the socket is there
}

// collect implements backend: it asks the fullest of the target's machines.
func (j *jvm) collect(ctx context.Context, _ string) (before, after Usage, err error) {
	err = withLease(ctx, j.provider, func(all *machines) error {
		before, after, err = j.collectOf(ctx, all)
		return err
	})
	return before, after, err
}

func (j *jvm) collectOf(ctx context.Context, all *machines) (before, after Usage, err error) {
	before, m, err := all.fullest()
	if err != nil {
		return Usage{}, Usage{}, fmt.Errorf("before the collection, which was not asked for: %w", err)
	}
	if all.sealed(m) {
		return before, Usage{}, fmt.Errorf("process %d: %w: it runs with -XX:+DisableAttachMechanism: remove that flag, or write collect: {mode: off}", m.member.PID, ErrCannotCollect)
	}
	sent, err := j.ask(ctx, m)
	if _, answered := errors.AsType[*answerError](err); answered {
		return before, Usage{}, err
	}
	if err != nil {
		return before, Usage{}, unknownIf(sent, err)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	after, _, _ = all.read(m.member) // absent when it fails: the collection has ended all the same
	return before, after, nil
}

// sealed reports whether a machine lets no one attach. It would take the signal that opens the
// socket for a request to print its stacks.
func (j *machines) sealed(m *machine) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return m.sealed
}

// ask requests a collection and waits for its end. sent says whether the machine may have got it.
func (j *jvm) ask(ctx context.Context, m *machine) (sent bool, err error) {
	_, sent, err = j.request(ctx, m, "GC.run", attachCollect, maxAttachAnswer)
	return sent, err
}

// askText sends a request and returns what it is answered with.
func (j *jvm) askText(ctx context.Context, m *machine, request []byte) (text []byte, sent bool, err error) {
	return j.request(ctx, m, "inspectheap", request, maxProfileAnswer)
}

// request sends a request and waits for its answer, of so many bytes at most.
func (j *jvm) request(ctx context.Context, m *machine, what string, request []byte, most int64) (text []byte, sent bool, err error) {
	root, err := openRoot(j.procfs, m.member.PID)
	if err != nil {
		return nil, false, err
	}
	defer unix.Close(root)
	conn, err := m.dial(root)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		if err = j.wake(ctx, m, root); err == nil {
			conn, err = m.dial(root)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("process %d: attach: %w", m.member.PID, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if n, err := conn.Write(request); err != nil {
		return nil, n > 0, j.late(ctx, m, what, err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, most))
	if err != nil {
		return nil, true, j.late(ctx, m, what, err)
	}
	text, err = judgeAttach(what, answer)
	return text, true, err
}

func (j *jvm) late(ctx context.Context, m *machine, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("process %d: %w: no answer to %s in time", m.member.PID, ErrBusy, what)
	}
	return fmt.Errorf("process %d: attach: %w", m.member.PID, err)
}

// judgeAttach reads "0\nCommand executed successfully\n". Nothing at all is an end without an
// answer: the machine ended, or refused the peer.
func judgeAttach(what string, answer []byte) ([]byte, error) {
	line, text, ok := bytes.Cut(answer, []byte("\n"))
	if !ok {
		return nil, errors.New("it closed the attach socket without an answer: it has ended, or does not let this user attach")
	}
	status, err := strconv.Atoi(string(line))
	if err != nil {
		return nil, fmt.Errorf("it answered %q, which is not a status", clip(string(line)))
	}
	if status != 0 {
		return nil, &answerError{fmt.Errorf("it refused %s with status %d: %s", what, status, clip(string(text)))}
	}
	if bytes.Contains(text[:min(len(text), maxAttachAnswer)], []byte("no GC has been performed")) { // JDK 8 with -XX:+DisableExplicitGC
		return nil, &answerError{fmt.Errorf("%w: it says: %s", ErrCannotCollect, clip(string(text)))}
	}
	return text, nil
}

func (j *jvm) wake(ctx context.Context, m *machine, root int) error {
	wake := j.target.now.Load().Wake
	if wake == nil {
		return errors.New("its attach socket is not open, and nothing may be sent to it")
	}
	return wake(ctx, Sleeper{Member: m.member, UID: m.uid, NSPID: m.nspid, Root: root, Ready: func() bool {
		conn, err := m.dial(root)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}})
}

// dial connects to the attach socket of a machine.
func (m *machine) dial(root int) (*net.UnixConn, error) {
	return dialBelow(root, fmt.Sprintf("tmp/.java_pid%d", m.nspid), m.member.PID, m.uid)
}

// dialBelow connects to a socket below the root of a process, following no link: a socket of the
// process' user, at whose other end is that process.
func dialBelow(root int, name string, pid int, uid uint32) (*net.UnixConn, error) {
	fd, err := openBelow(root, name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || st.Uid != uid {
		return nil, fmt.Errorf("/%s is not a socket of its user", name)
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d", fd), Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := checkPeer(conn, pid, uid); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// checkPeer makes sure that a process, of a user, is at the other end of a socket.
func checkPeer(conn *net.UnixConn, pid int, uid uint32) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	if ctlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); ctlErr != nil {
		return ctlErr
	}
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if int(cred.Pid) != pid || cred.Uid != uid {
		return fmt.Errorf("process %d of user %d is at the other end, want %d of user %d: %w", cred.Pid, cred.Uid, pid, uid, syscall.EPERM)
	}
	return nil
}
