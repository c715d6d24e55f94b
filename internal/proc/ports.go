package proc

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// ErrOtherNetwork says that a process lives in another network namespace: an address of this host
// is not its own.
var ErrOtherNetwork = errors.New("it lives in another network namespace")

// Ports returns the TCP ports, sorted, on which a member listens in the network namespace of this
// process. It reads the member's descriptors, which takes its own user or CAP_SYS_PTRACE. The
// error is an ErrOtherNetwork or the kernel's.
func Ports(procfs string, m Member) ([]int, error) {
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
	if space != own {
		return nil, fmt.Errorf("process %d: %w", pid, ErrOtherNetwork)
	}
	env := newEnvironment("", func(uint64) time.Time { return time.Time{} })
	table := env.listeners(r, pid)
	if table.err != nil {
		return nil, fmt.Errorf("process %d: its sockets: %w", pid, table.err)
	}
	found := make(map[int]bool)
	err = r.links(pid, mostLinks, func(link []byte) bool {
		for port, sockets := range table.byPort {
			if sockets[string(link)] {
				found[port] = true
			}
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("process %d: its descriptors: %w", pid, err)
	}
	return slices.Sorted(maps.Keys(found)), nil
}
