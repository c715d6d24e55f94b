package heap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// What a process in a container knows by other names, or under other addresses, than this host does.

// insideUID returns a user of this host as a process knows it, the same where that is not known.
func insideUID(procfs string, pid int, uid uint32) uint32 {
	if inside, mapped, err := proc.InsideUID(procfs, pid, uid); err == nil && mapped {
		return inside
	}
	return uid
}

// newInsideClient returns a client that reaches the loopback of a process in a network namespace of its
// own.
func newInsideClient(procfs string, m proc.Member) *http.Client {
	t := newTransport(nil)
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !loopback.Address(address) {
			return nil, fmt.Errorf("%s is not a loopback address", address)
		}
		return dialInside(ctx, procfs, m, network, address)
	}
	return newHTTPClient(t)
}

// dialInside connects from inside the network namespace of a process, which takes CAP_SYS_ADMIN. One
// thread enters it, for as long as the connection is made.
func dialInside(ctx context.Context, procfs string, m proc.Member, network, address string) (net.Conn, error) {
	space, err := os.Open(filepath.Join(procfs, strconv.Itoa(m.PID), "ns/net"))
	if err != nil {
		return nil, noEntry(m, err)
	}
	defer space.Close()
	held, err := proc.Hold(m) // the namespace is that of the member, not of one that has its pid since
	if err != nil {
		return nil, err
	}
	held.Close()
	type dialed struct {
		conn net.Conn
		err  error
	}
	out := make(chan dialed, 1)
	go func() {
		runtime.LockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			out <- dialed{err: err}
			return
		}
		defer own.Close()
		if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			out <- dialed{err: noEntry(m, err)}
			return
		}
		conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // else the thread ends with this goroutine
		}
		out <- dialed{conn, err}
	}()
	d := <-out
	if tcp, ok := d.conn.(*net.TCPConn); ok && d.err == nil {
		return &quickConn{TCPConn: tcp}, nil
	}
	return d.conn, d.err
}

// noEntry says what to do where a network namespace cannot be entered.
func noEntry(m proc.Member, err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("process %d: its network namespace: %w", m.PID, err)
	}
	return fmt.Errorf("process %d: %w, and to enter it takes CAP_SYS_ADMIN (in the unit RestrictNamespaces=net too): start node with --require=/usr/share/spillway/spillway-agent.cjs and write provider: %s", m.PID, proc.ErrOtherNetwork, ProviderAgent)
}
