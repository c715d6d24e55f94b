package proc

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// selector is a compiled Match.
type selector struct {
	comm    string
	exe     string // absolute path or base name
	cmdline *regexp.Regexp
	user    string
	euid    uint32

	cgroup, unit, pidfile string
	contained             contained
	port                  int
}

func compile(m Match) (*selector, error) {
	s := &selector{
		comm: m.Comm, exe: m.Exe, user: m.User,
		cgroup: m.Cgroup, unit: unitName(m.SystemdUnit), pidfile: m.Pidfile, port: m.ListenPort,
		contained: contained{m.Container, m.Pod, m.Namespace, m.Image},
	}
	var err error
	if m.Cmdline != "" {
		if s.cmdline, err = regexp.Compile(m.Cmdline); err != nil {
			return nil, fmt.Errorf("cmdline: %w", err)
		}
	}
	if m.User != "" {
		if s.euid, err = hostfs.UserID(m.User); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// named reports whether the selector asks for a program or a service, not only for arguments or a
// user.
func (s *selector) named() bool {
	return s.comm != "" || s.exe != "" || s.cgroup != "" || s.unit != "" || s.contained != (contained{}) || s.pidfile != "" || s.port != 0
}

// verdict is the answer of a selector: whether all conditions hold, else the first that does
// not. err is set when that condition could not be read.
type verdict struct {
	ok        bool
	condition string
	err       error
}

// match asks the conditions, those first that cost least.
func (s *selector) match(f *facts) verdict {
	if s.comm != "" && s.comm != f.comm && s.comm != f.name {
		return verdict{condition: "comm"}
	}
	if s.pidfile != "" {
		if ok, err := f.inPidfile(s.pidfile); err != nil || !ok {
			return verdict{condition: "pidfile", err: err}
		}
	}
	if s.cgroup != "" || s.unit != "" {
		if v := s.inCgroup(f); !v.ok {
			return v
		}
	}
	if v := s.contained.match(f); !v.ok {
		return v
	}
	if s.user != "" {
		euid, err := f.euid()
		if err != nil || euid != s.euid {
			return verdict{condition: "user", err: err}
		}
	}
	if s.exe != "" {
		exe, err := f.exe()
		if err != nil || exe != s.exe && (strings.Contains(s.exe, "/") || path.Base(exe) != s.exe) {
			return verdict{condition: "exe", err: err}
		}
	}
	if s.cmdline != nil {
		line, err := f.cmdline()
		if err != nil || !s.cmdline.Match(line) {
			return verdict{condition: "cmdline", err: err}
		}
	}
	if s.port != 0 { // the dearest: it reads the links of all descriptors
		if ok, err := f.listens(s.port); err != nil || !ok {
			return verdict{condition: "listen_port", err: err}
		}
	}
	return verdict{ok: true}
}

// inCgroup asks the conditions on the cgroup and the unit.
func (s *selector) inCgroup(f *facts) verdict {
	v2, v1, err := f.cgroups()
	if s.cgroup != "" && (err != nil || !within(v2, s.cgroup) && !within(v1, s.cgroup)) {
		return verdict{condition: "cgroup", err: err}
	}
	users := s.user != "" // which says whose
	if s.unit != "" && (err != nil || !hasUnit(v2, s.unit, users) && !hasUnit(v1, s.unit, users)) {
		return verdict{condition: "systemd_unit", err: err}
	}
	return verdict{ok: true}
}

// facts reads what selectors ask about one process, each at most once.
type facts struct {
	r          *reader
	pid        int32
	comm, name string

	uid              uint32
	path             string
	line             []byte
	hasUID, hasPath  bool
	hasLine          bool
	uidErr, pathErr  error
	lineErr, lastErr error // lastErr: the latest of all that could not be read

	cgroupPaths
	hasGroups bool
	groupErr  error
	env       *environment
}

// reset prepares for another process and keeps the memory.
func (f *facts) reset(r *reader, pid int32, comm, name string) {
	*f = facts{r: r, pid: pid, comm: comm, name: name, line: f.line[:0], env: f.env}
}

func (f *facts) euid() (uint32, error) {
	if !f.hasUID {
		f.hasUID = true
		s, err := f.r.status(f.pid)
		switch {
		case err != nil:
			f.uidErr, f.lastErr = err, err
		case !s.hasUID:
			f.uidErr, f.lastErr = errFormat, errFormat
		}
		f.uid = s.euid
	}
	return f.uid, f.uidErr
}

func (f *facts) exe() (string, error) {
	if !f.hasPath {
		f.hasPath = true
		b, err := f.r.exe(f.pid)
		if err != nil {
			f.pathErr, f.lastErr = err, err
		}
		f.path = string(b)
	}
	return f.path, f.pathErr
}

func (f *facts) cmdline() ([]byte, error) {
	if !f.hasLine {
		f.hasLine = true
		b, err := f.r.cmdline(f.pid)
		if err != nil {
			f.lineErr, f.lastErr = err, err
		}
		f.line = append(f.line[:0], b...)
	}
	return f.line, f.lineErr
}

// properName returns the name that an operator knows a process by. Node.js 24 and later name
// their main thread, and with it the process, "MainThread" or "node-MainThread"
// (https://github.com/nodejs/node/pull/56416 and 61307), as some other runtimes do: then it is
// the name of the program file, or of the first argument where that cannot be read.
func properName(f *facts) string {
	switch f.comm {
	case "node-MainThread":
		return "node"
	case "MainThread":
	default:
		return f.comm
	}
	if exe, err := f.exe(); err == nil && exe != "" {
		return shorten(path.Base(exe))
	}
	line, err := f.cmdline()
	if first, _, _ := bytes.Cut(line, []byte(" ")); err == nil && len(first) > 0 {
		return shorten(path.Base(string(first)))
	}
	return f.comm
}
