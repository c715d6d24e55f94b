package proc

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	portsEvery = time.Second // how often the listening sockets are read again
	mostLinks  = 4096        // descriptors of one process that are looked at
	mostSpaces = 64          // network namespaces whose sockets are remembered
	listening  = "0A"        // TCP_LISTEN in /proc/net/tcp
)

// sockets are those that listen in one network namespace.
type sockets struct {
	at     time.Time
	byPort map[int]map[string]bool // their links in /proc/PID/fd: "socket:[123]"
	err    error
}

// listens reports whether a descriptor of the process is a socket that listens on the port, in the
// network namespace of the process.
func (f *facts) listens(port int) (bool, error) {
	table := f.env.listeners(f.r, f.pid)
	if table.err != nil {
		if !gone(table.err) {
			f.lastErr = table.err
		}
		return false, table.err
	}
	wanted := table.byPort[port]
	if len(wanted) == 0 {
		return false, nil
	}
	found := false
	err := f.r.links(f.pid, mostLinks, func(link []byte) bool {
		found = wanted[string(link)]
		return !found
	})
	if found {
		return true, nil
	}
	if err != nil && !gone(err) {
		f.lastErr = err
	}
	return false, err
}

func (e *environment) listeners(r *reader, pid int32) *sockets {
	space, err := r.link(pid, "ns/net")
	if err != nil {
		return &sockets{err: err}
	}
	table := e.sockets[space]
	if table == nil {
		if len(e.sockets) >= mostSpaces {
			clear(e.sockets)
		}
		table = &sockets{}
		e.sockets[space] = table
	}
	if e.fresh(table.at, portsEvery) {
		return table
	}
	*table = sockets{at: e.now, byPort: make(map[int]map[string]bool)}
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		b, err := r.table(pid, name)
		switch {
		case errors.Is(err, unix.ENOENT): // no IPv6
		case err != nil:
			table.err = fmt.Errorf("%s: %w", name, err)
		default:
			parseListeners(b, table.byPort)
		}
	}
	return table
}

// parseListeners adds the listening sockets of a /proc/net/tcp, which has one line for each:
// "sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...".
func parseListeners(b []byte, ports map[int]map[string]bool) {
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) < 10 || string(fields[3]) != listening {
			continue
		}
		_, hex, ok := bytes.Cut(fields[1], []byte(":"))
		port, err := strconv.ParseUint(string(hex), 16, 16)
		if !ok || err != nil {
			continue
		}
		if ports[int(port)] == nil {
			ports[int(port)] = make(map[string]bool)
		}
		ports[int(port)]["socket:["+string(fields[9])+"]"] = true
	}
}
