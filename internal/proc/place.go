package proc

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pidfileEvery = time.Second // how often a pidfile is read again
	portsEvery   = time.Second // how often the listening sockets are
	longestPid   = 64          // bytes of a pidfile that are looked at
	mostLinks    = 4096        // descriptors of one process that are looked at
	mostSpaces   = 64          // network namespaces whose sockets are remembered
	listening    = "0A"        // TCP_LISTEN in /proc/net/tcp
)

// environment is what selectors ask about the host, read at most once a second each.
type environment struct {
	rootfs string
	boot   func(ticks uint64) time.Time
	now    time.Time

	pidfiles map[string]*pidfile
	sockets  map[string]*sockets // by network namespace
}

// sockets are those that listen in one network namespace.
type sockets struct {
	at     time.Time
	byPort map[int]map[string]bool // their links in /proc/PID/fd: "socket:[123]"
	err    error
}

type pidfile struct {
	at      time.Time
	pid     int32
	written time.Time
	err     error
}

func newEnvironment(rootfs string, boot func(ticks uint64) time.Time) *environment {
	return &environment{rootfs: cmp.Or(rootfs, "/"), boot: boot, pidfiles: make(map[string]*pidfile), sockets: make(map[string]*sockets)}
}

// fresh reports whether something that was read at a time is still to be used.
func (e *environment) fresh(at time.Time, every time.Duration) bool {
	return !at.IsZero() && !e.now.Before(at) && e.now.Sub(at) < every
}

// holds reports whether a pidfile names this process. A process that was started after the file
// was written got a number that was given out again: it is not the one.
func (f *facts) holds(name string) (bool, error) {
	p := f.env.pidfile(name)
	if p.err != nil {
		if errors.Is(p.err, os.ErrNotExist) {
			return false, nil // the service is not there
		}
		return false, p.err
	}
	if p.pid != f.pid {
		return false, nil
	}
	s, err := f.r.stat(f.pid)
	if err != nil {
		return false, err
	}
	start := f.env.boot(s.start)
	// The clock of processes and that of files differ by up to a second.
	return start.IsZero() || !start.After(p.written.Add(2*time.Second)), nil
}

func (e *environment) pidfile(name string) *pidfile {
	p := e.pidfiles[name]
	if p == nil {
		p = &pidfile{}
		e.pidfiles[name] = p
	}
	if e.fresh(p.at, pidfileEvery) {
		return p
	}
	p.at = e.now
	p.pid, p.written, p.err = readPidfile(filepath.Join(e.rootfs, name))
	return p
}

// readPidfile reads a file that holds one number, and when it was written. It opens nothing that
// could make it wait.
func readPidfile(name string) (pid int32, written time.Time, err error) {
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, time.Time{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return 0, time.Time{}, fmt.Errorf("pidfile %s is no regular file", name)
	}
	b := make([]byte, longestPid)
	n, err := file.Read(b)
	if n == 0 && err != nil {
		return 0, time.Time{}, fmt.Errorf("pidfile %s is empty", name)
	}
	line, _, _ := bytes.Cut(bytes.TrimLeft(b[:n], " \t\n"), []byte("\n"))
	text := string(bytes.TrimSpace(line))
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil || number <= 0 {
		return 0, time.Time{}, fmt.Errorf("pidfile %s holds %q where the number of a process belongs", name, text)
	}
	return int32(number), info.ModTime(), nil
}

// cgroups returns the paths of the process in the unified hierarchy and in version 1's memory
// controller; "" where it is in none.
func (f *facts) cgroups() (v2, v1 string, err error) {
	if !f.hasGroups {
		f.hasGroups = true
		b, err := f.r.file(f.pid, "cgroup", longest)
		if err != nil {
			f.groupErr, f.lastErr = err, err
		} else {
			two, one := parseCgroup(b)
			f.v2, f.v1 = string(two), string(one)
		}
	}
	return f.v2, f.v1, f.groupErr
}

// within reports whether a cgroup is the given one or below it.
func within(path, outer string) bool {
	return path == outer || strings.HasPrefix(path, outer) && path[len(outer)] == '/'
}

// unitName completes the name of a unit as systemctl does.
func unitName(name string) string {
	if name == "" {
		return ""
	}
	switch filepath.Ext(name) {
	case ".service", ".scope", ".slice", ".socket", ".mount", ".swap":
		return name
	}
	return name + ".service"
}

// hasUnit reports whether a cgroup is that of a unit or below it.
func hasUnit(path, unit string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if unescapeUnit(part) == unit {
			return true
		}
	}
	return false
}

// unitOf returns the innermost service or scope of a cgroup path, "" when it is in none.
func unitOf(path string) string {
	for path != "" {
		i := strings.LastIndexByte(path, '/')
		name := unescapeUnit(path[i+1:])
		if ext := filepath.Ext(name); ext == ".service" || ext == ".scope" {
			return name
		}
		path = path[:max(i, 0)]
	}
	return ""
}

// unescapeUnit undoes what systemd does to names that a kernel file could have: a leading "_".
func unescapeUnit(part string) string { return strings.TrimPrefix(part, "_") }

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
