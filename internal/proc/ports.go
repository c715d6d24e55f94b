package proc

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrOtherNetwork says that a process lives in another network namespace: an address of this host
// is not its own.
var ErrOtherNetwork = errors.New("it lives in another network namespace")

// Ports returns the loopback addresses, sorted, at which a member is reached over TCP in its own
// network namespace: where it listens, on loopback or on all addresses. On an address that is not
// its own, another process may listen with the same port. It reads the member's descriptors, which
// takes its own user or CAP_SYS_PTRACE. The error is the kernel's, or an ErrOtherNetwork next to the
// addresses where that is not the namespace of this process: they are to be reached from inside it.
func Ports(procfs string, m Member) ([]netip.AddrPort, error) {
	r, err := newReader(procfs)
	if err != nil {
		return nil, err
	}
	defer r.close()
	pid := int32(m.PID)
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("own network namespace: %w", err)
	}
	space, err := r.link(pid, "ns/net")
	if err != nil {
		return nil, fmt.Errorf("process %d: its network namespace: %w", pid, err)
	}
	listeners := make(map[string]netip.AddrPort)
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		b, err := r.table(pid, name)
		switch {
		case errors.Is(err, unix.ENOENT): // no IPv6
		case err != nil:
			return nil, fmt.Errorf("process %d: its sockets: %s: %w", pid, name, err)
		default:
			parseLoopback(b, listeners)
		}
	}
	found := make(map[netip.AddrPort]bool)
	err = r.links(pid, mostLinks, func(link []byte) bool {
		if at, ok := listeners[string(link)]; ok {
			found[at] = true
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("process %d: its descriptors: %w", pid, err)
	}
	if space != own {
		err = fmt.Errorf("process %d: %w", pid, ErrOtherNetwork)
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b netip.AddrPort) int {
		return cmp.Or(cmp.Compare(a.Port(), b.Port()), a.Compare(b))
	}), err
}

// parseLoopback adds the sockets of a /proc/net/tcp or tcp6 that listen where loopback reaches
// them, by their links in /proc/PID/fd.
func parseLoopback(b []byte, listeners map[string]netip.AddrPort) {
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) < 10 || string(fields[3]) != listening {
			continue
		}
		if at, ok := parseLocal(fields[1]); ok {
			listeners["socket:["+string(fields[9])+"]"] = at
		}
	}
}

// parseLocal reads a local address, whose 32-bit words the kernel prints in its own byte order, as
// the loopback address that reaches it. ok is false when none does.
func parseLocal(text []byte) (at netip.AddrPort, ok bool) {
	host, portText, _ := bytes.Cut(text, []byte(":"))
	port, err := strconv.ParseUint(string(portText), 16, 16)
	var raw [16]byte
	if err != nil || len(host) != 8 && len(host) != 32 {
		return netip.AddrPort{}, false
	}
	if _, err := hex.Decode(raw[:], host); err != nil {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw[:], 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	addr := netip.AddrFrom16(raw)
	if len(host) == 8 {
		addr = netip.AddrFrom4([4]byte(raw[:4]))
	}
	switch addr = addr.Unmap(); {
	case addr == netip.IPv4Unspecified():
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case addr == netip.IPv6Unspecified():
		addr = netip.IPv6Loopback()
	case !addr.IsLoopback():
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr, uint16(port)), true
}
