package control

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a connection, as the kernel says.
type Peer struct {
	PID int
	UID int
}

func (p Peer) String() string { return fmt.Sprintf("uid %d, pid %d", p.UID, p.PID) }

// callers is a listener for root and the user of this process, for a bounded number at once.
type callers struct {
	*net.UnixListener
	places chan struct{}
	logger *slog.Logger
}

// caller is an accepted connection.
type caller struct {
	*net.UnixConn
	peer  Peer
	leave func()
}

// Accept returns the next connection of a caller who may ask. Others are closed.
func (c *callers) Accept() (net.Conn, error) {
	for {
		c.places <- struct{}{}
		leave := sync.OnceFunc(func() { <-c.places })
		conn, err := c.AcceptUnix()
		if err != nil {
			leave()
			return nil, err
		}
		p, err := peerOf(conn)
		if err == nil && p.UID != 0 && p.UID != os.Geteuid() {
			err = errors.New("only root and the exporter's own user may ask")
		}
		if err == nil {
			return &caller{conn, p, leave}, nil
		}
		c.logger.Warn("a connection to the control socket was refused", "from", p.String(), "err", err)
		conn.Close()
		leave()
	}
}

// Close ends the connection and frees its place.
func (c *caller) Close() error {
	defer c.leave()
	return c.UnixConn.Close()
}

// peerOf asks the kernel who is at the other end of a unix socket.
func peerOf(c *net.UnixConn) (p Peer, err error) {
	conn, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	var cred *unix.Ucred
	if e := conn.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return p, e
	}
	if err != nil {
		return p, err
	}
	return Peer{PID: int(cred.Pid), UID: int(cred.Uid)}, nil
}
