package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pidfileEvery = time.Second // how often a pidfile is read again
	longestPid   = 64          // bytes of a pidfile that are looked at
)

// errNoStart says that a process may or may not be older than a pidfile, and so the one that it names.
var errNoStart = errors.New("the start time of the process is not known, so its number may have been given out again")

// pidfile is what a file that names a process said at a time.
type pidfile struct {
	at      time.Time
	pid     int32
	written time.Time
	err     error
}

// inPidfile reports whether a pidfile names this process. A process that was started after the file
// was written got a number that was given out again: it is not the one.
func (f *facts) inPidfile(name string) (bool, error) {
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
	if start.IsZero() {
		f.lastErr = errNoStart
		return false, errNoStart
	}
	// The clock of processes and that of files differ by up to a second.
	return !start.After(p.written.Add(2 * time.Second)), nil
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

// readPidfile reads a file of one number, and when it was written. It opens nothing that
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
		return 0, time.Time{}, fmt.Errorf("pidfile %s is not a regular file", name)
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
