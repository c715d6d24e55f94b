package heap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os/user"
	"strconv"
	"sync"
	"syscall"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// ListenerAny believes whoever listens at the address.
const ListenerAny = "any"

const mostHolders = 16 // sockets that are remembered: a target listens on few

// guard lets a client connect to sockets of its target alone: one of another user who listens at the address
// first could answer for the target's heap, and be sent what is meant for the target. Root's sockets are let in, since
// root needs no such way: a proxy of a container engine is root's.
type guard struct {
	target *target
	procfs string
	at     func(netip.AddrPort) ([]proc.Socket, error)
	holds  func(procfs string, m proc.Member, s proc.Socket) (bool, error)

	mu      sync.Mutex
	holders map[uint64]machineKey // of sockets that were found, the process
	reached proc.Socket           // to which was connected last
	asked   uint64                // the socket of which the two below say who has it
	peer    machineKey
	found   bool
}

// reader returns the process of the target to which was connected last; ok is false where it is not known.
func (g *guard) reader() (key machineKey, ok bool) {
	if g == nil || g.target.now.Load().Members == nil {
		return machineKey{}, false
	}
	g.mu.Lock()
	s, same := g.reached, g.reached.Inode == g.asked
	key, ok = g.peer, g.found
	g.mu.Unlock()
	if same && ok { // of one that was not found another member may be the process: its list may have been late
		return key, ok
	}
	key, ok = machineKey{}, false
	members := g.target.members()
	for _, m := range members[:min(len(members), maxAskedMembers)] {
		if held, err := g.holds(g.procfs, m, s); err == nil && held {
			key, ok = keyOf(m), true
			break
		}
	}
	g.mu.Lock()
	g.asked, g.peer, g.found = s.Inode, key, ok
	g.mu.Unlock()
	return key, ok
}

// guarded returns the guard of a client, nil when whoever listens is believed, and when the address is found among
// those on which the target's processes listen.
func guarded(p *Pool, cfg Config, of *target) *guard {
	if cfg.Listener == ListenerAny || cfg.byProcess() {
		return nil
	}
	return &guard{target: of, procfs: p.opts.ProcFS, at: proc.ListenersAt, holds: proc.HoldsSocket, holders: make(map[uint64]machineKey)}
}

// whose ends the name of a client that connects to a target's own sockets alone, or to whatever listens.
func whose(cfg Config, of *target) string {
	switch {
	case cfg.Listener == ListenerAny:
		return " of any listener"
	case of.now.Load().Members != nil:
		return " of " + of.name
	}
	return ""
}

// dial connects with d. It asks before the connection who listens, so that a stranger sees none, and again after it:
// the socket that had listened before and still listens is the one that was reached.
func (g *guard) dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	if g == nil || g.target.now.Load().Members == nil { // it watches no processes
		return d.DialContext(ctx, network, address)
	}
	var mu sync.Mutex
	before := make(map[netip.AddrPort]uint64)
	guarding := *d
	guarding.Control = func(network, address string, c syscall.RawConn) error {
		if d.Control != nil {
			if err := d.Control(network, address, c); err != nil {
				return err
			}
		}
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		inode, err := g.admit(at)
		mu.Lock()
		before[at] = inode
		mu.Unlock()
		return err
	}
	conn, err := guarding.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := g.confirm(conn, before); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// confirm makes sure that a connection was made to the socket that had been admitted.
func (g *guard) confirm(conn net.Conn, before map[netip.AddrPort]uint64) error {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("connected to %s, which is not TCP", conn.RemoteAddr())
	}
	at := netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), tcp.AddrPort().Port())
	inode, err := g.admit(at)
	switch {
	case err != nil:
		return err
	case inode == 0:
		return fmt.Errorf("no socket of this host listens at %s, although it answers, as where connections are redirected: %w: write listener: any to believe whoever answers there", at, fetch.ErrStranger)
	case inode != before[at]:
		return fmt.Errorf("another socket listens at %s since: %w", at, ErrBusy)
	}
	return nil
}

// admit returns the socket that listens at an address, 0 when none does, and an error when it is a stranger's.
func (g *guard) admit(at netip.AddrPort) (inode uint64, err error) {
	sockets, err := g.at(at)
	if err != nil {
		return 0, fmt.Errorf("who listens at %s is not known: %w", at, err)
	}
	for _, s := range sockets {
		if s.UID == 0 || g.heldBy(s) {
			g.mu.Lock()
			g.reached = s
			g.mu.Unlock()
			return s.Inode, nil
		}
	}
	if len(sockets) > 0 {
		return 0, fmt.Errorf("a process of %s listens at %s, which is none of the target's: %w: write processes that match it too, or listener: any to believe whoever listens there", userName(sockets[0].UID), at, fetch.ErrStranger)
	}
	return 0, nil
}

// heldBy reports whether a process of the target has a socket open. Where its descriptors may not be read, its user
// decides.
func (g *guard) heldBy(s proc.Socket) bool {
	members := g.target.members()
	g.mu.Lock()
	last, known := g.holders[s.Inode]
	g.mu.Unlock()
	if known {
		for _, m := range members {
			if keyOf(m) == last {
				return true
			}
		}
	}
	for _, m := range members[:min(len(members), maxAskedMembers)] {
		held, err := g.holds(g.procfs, m, s)
		if errors.Is(err, fs.ErrPermission) {
			uid, _, idErr := identity(g.procfs, m.PID)
			held = idErr == nil && uid == s.UID
		}
		if held {
			g.mu.Lock()
			if len(g.holders) >= mostHolders {
				clear(g.holders)
			}
			g.holders[s.Inode] = keyOf(m)
			g.mu.Unlock()
			return true
		}
	}
	return false
}

// userName returns the name of a user, or his number.
func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return "uid " + number
}
