package proc

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A listing of /proc is most of what a Refresh costs on a host with thousands of processes (2 µs
// for each, in the kernel), and says nothing new as long as no process was made. The last field
// of /proc/loadavg is the newest pid; while it stands still the listing is left out.
const (
	relistEvery = 10 * time.Second     // at the latest: a process restored by CRIU moves no newest pid
	listShare   = 256                  // a listing that is not cheap takes at most this part of the time
	cheapList   = 2 * time.Millisecond // up to here it is taken whenever a process was made
)

// lister decides whether a Refresh lists the processes.
type lister struct {
	loadavg int // descriptor; -1 = the newest pid is not known
	newest  int64
	at      int64 // milliseconds, of the last listing
	cost    time.Duration
	ended   bool // a member ended since: what replaces it is wanted soon
}

func newLister(r *reader) lister {
	l := lister{loadavg: -1, newest: -1}
	if !r.native() {
		return l
	}
	if fd, err := unix.Openat(r.root, "loadavg", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		l.loadavg = fd
	}
	return l
}

func (l *lister) close() {
	if l.loadavg >= 0 {
		_ = unix.Close(l.loadavg)
		l.loadavg = -1
	}
}

// due reports whether it is time to list, and keeps what it saw for the next time. It is asked
// before a listing: a process that is made during it makes the next one due.
func (l *lister) due(r *reader, ms int64) bool {
	newest := l.newestPID(r)
	age := time.Duration(ms-l.at) * time.Millisecond
	switch {
	case l.at == 0, newest < 0, l.ended, age < 0, age >= relistEvery:
	case newest == l.newest:
		return false
	case l.cost > cheapList && age < l.cost*listShare:
		return false
	}
	l.newest, l.at, l.ended = newest, ms, false
	return true
}

// newestPID returns the pid that was given out last, -1 when that is not known.
func (l *lister) newestPID(r *reader) int64 {
	if l.loadavg < 0 {
		return -1
	}
	b, err := r.readHeld(l.loadavg)
	if err != nil {
		return -1
	}
	b = bytes.TrimRight(b, "\n")
	n, err := strconv.ParseInt(string(b[bytes.LastIndexByte(b, ' ')+1:]), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// native reports whether the mount shows the pid namespace that this process lives in, and that
// alone: loadavg speaks of the reader's namespace, not of the mount's (fs/proc/loadavg.c).
func (r *reader) native() bool {
	pid := r.self()
	if pid == 0 {
		return false
	}
	b, err := r.file(pid, "status", longest)
	if err != nil {
		return false
	}
	_, b, found := bytes.Cut(b, []byte("\nNSpid:"))
	if !found {
		return false
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return string(bytes.TrimSpace(line)) == strconv.Itoa(os.Getpid())
}
