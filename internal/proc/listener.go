package proc

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Socket is a TCP socket that listens.
type Socket struct {
	Inode uint64 // as the links in /proc/PID/fd name it
	UID   uint32 // of the user who has made it
}

// ListenersAt returns the sockets that a connection to an address of this host reaches, in the network namespace of
// this process: those at that very address, else those at all addresses, else those at all addresses of IPv6. Several
// stand there only when one user has made them all (SO_REUSEPORT, socket(7)). There is none when nothing
// listens, or when the kernel redirects the connection.
func ListenersAt(at netip.AddrPort) ([]Socket, error) {
	var best int
	var out []Socket
	tables := []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"}
	if at.Addr().Unmap().Is6() {
		tables = tables[1:]
	}
	for _, name := range tables {
		if best == exact { // nothing else can be at that very address; to read a table takes the kernel about a millisecond
			break
		}
		f, err := os.Open(name)
		if errors.Is(err, unix.ENOENT) && strings.HasSuffix(name, "6") { // no IPv6
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the sockets that listen: %w", err)
		}
		best, out, err = reached(f, at, best, out)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("the sockets that listen: %s: %w", name, err)
		}
	}
	return out, nil
}

// reached adds the sockets of a /proc/net/tcp that a connection reaches, or replaces those that are less exact. The
// table has all sockets that listen first (tcp_seq_start in net/ipv4/tcp_ipv4.c), so of many connections nothing is read.
func reached(r io.Reader, at netip.AddrPort, best int, out []Socket) (int, []Socket, error) {
	lines := bufio.NewScanner(r)
	lines.Scan() // the names of the columns
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		if fields[3] != listening {
			break
		}
		local, err := parseAddrPort(fields[1])
		if err != nil {
			return best, nil, err
		}
		fit := fits(local, at)
		if fit == 0 || fit < best {
			continue
		}
		if fit > best {
			best, out = fit, nil
		}
		uid, err := strconv.ParseUint(fields[7], 10, 32)
		inode, inodeErr := strconv.ParseUint(fields[9], 10, 64)
		if err := errors.Join(err, inodeErr); err != nil {
			return best, nil, err
		}
		out = append(out, Socket{Inode: inode, UID: uint32(uid)})
	}
	return best, out, lines.Err()
}

const exact = 3

// fits says how exactly a socket's address is the one that is connected to, 0 when it is another.
func fits(local, at netip.AddrPort) int {
	addr, wanted := local.Addr().Unmap(), at.Addr().Unmap()
	switch {
	case local.Port() != at.Port():
		return 0
	case addr == wanted:
		return exact
	case addr.IsUnspecified() && addr.Is4() == wanted.Is4():
		return 2
	case addr == netip.IPv6Unspecified(): // takes connections of IPv4 as well, unless it is set not to
		return 1
	}
	return 0
}

// parseAddrPort reads an address of /proc/net/tcp, whose 32-bit words the kernel prints in its own byte order.
func parseAddrPort(text string) (netip.AddrPort, error) {
	host, portText, _ := strings.Cut(text, ":")
	port, err := strconv.ParseUint(portText, 16, 16)
	raw, hexErr := hex.DecodeString(host)
	if err := errors.Join(err, hexErr); err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address: %w", text, errors.Join(err, errFormat))
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

// HoldsSocket reports whether a member has a socket open. It reads the member's descriptors, which takes its own
// user or CAP_SYS_PTRACE.
func HoldsSocket(procfs string, m Member, s Socket) (bool, error) {
	r, err := newReader(procfs)
	if err != nil {
		return false, err
	}
	defer r.close()
	wanted := fmt.Sprintf("socket:[%d]", s.Inode)
	found := false
	err = r.links(int32(m.PID), mostLinks, func(link []byte) bool {
		found = string(link) == wanted
		return !found
	})
	if !found {
		if err != nil {
			err = fmt.Errorf("process %d: its descriptors: %w", m.PID, err)
		}
		return false, err
	}
	held, err := Hold(m) // those were the member's, and not of one that has its pid since
	if err != nil {
		return false, err
	}
	held.Close()
	return true, nil
}
