package proc

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// selector is a compiled Match.
type selector struct {
	comm    string
	exe     string // absolute path or base name
	argv0   string
	cmdline []*regexp.Regexp
	user    string
	euid    uint32
	owned   bool // a user is asked for, here or around any_of, which says whose the unit is

	cgroup, unit, pidfile string
	contained             contained
	port                  int
	anyOf                 []*selector
}

func compile(m Match) (*selector, error) { return compileUnder(m, false) }

// compileUnder compiles conditions; owned says that those around them ask for a user.
func compileUnder(m Match, owned bool) (*selector, error) {
	s := &selector{
		comm: m.Comm, exe: m.Exe, argv0: m.Argv0, user: m.User,
		cgroup: m.Cgroup, unit: unitName(m.SystemdUnit), pidfile: m.Pidfile, port: m.ListenPort,
		contained: contained{m.Container, m.Pod, m.Namespace, m.Image},
		owned:     owned || m.User != "",
	}
	for _, text := range m.Cmdline {
		expression, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("cmdline: %w", err)
		}
		s.cmdline = append(s.cmdline, expression)
	}
	for _, one := range m.AnyOf {
		alternative, err := compileUnder(one, s.owned)
		if err != nil {
			return nil, fmt.Errorf("any_of: %w", err)
		}
		s.anyOf = append(s.anyOf, alternative)
	}
	var err error
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
	if len(s.anyOf) > 0 && !slices.ContainsFunc(s.anyOf, func(one *selector) bool { return !one.named() }) {
		return true
	}
	return s.comm != "" || s.exe != "" || s.argv0 != "" || s.cgroup != "" || s.unit != "" || s.contained != (contained{}) || s.pidfile != "" || s.port != 0
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
	if v := s.started(f); !v.ok {
		return v
	}
	if s.port != 0 { // the dearest: it reads the links of all descriptors
		if ok, err := f.listens(s.port); err != nil || !ok {
			return verdict{condition: "listen_port", err: err}
		}
	}
	return s.any(f)
}

// started asks the conditions on what the process was started as.
func (s *selector) started(f *facts) verdict {
	if s.exe != "" {
		exe, err := f.exe()
		if err != nil || exe != s.exe && !s.sameExe(f, exe) {
			return verdict{condition: "exe", err: err}
		}
	}
	if s.argv0 != "" {
		first, has, err := f.argv0()
		if err != nil || !has || first != s.argv0 && (strings.Contains(s.argv0, "/") || path.Base(first) != s.argv0) {
			return verdict{condition: "argv0", err: err}
		}
	}
	for _, expression := range s.cmdline {
		line, err := f.cmdline()
		if err != nil || !expression.Match(line) {
			return verdict{condition: "cmdline", err: err}
		}
	}
	return verdict{ok: true}
}

// sameExe compares by the base name, or with the file behind the link that is written.
func (s *selector) sameExe(f *facts, exe string) bool {
	if !strings.Contains(s.exe, "/") {
		return path.Base(exe) == s.exe
	}
	return exe != "" && f.env.program(s.exe) == exe
}

// any asks any_of. An alternative that could not be read leaves open what it is.
func (s *selector) any(f *facts) verdict {
	if len(s.anyOf) == 0 {
		return verdict{ok: true}
	}
	out := verdict{condition: "any_of"}
	for _, one := range s.anyOf {
		v := one.match(f)
		if v.ok {
			return v
		}
		if out.err == nil {
			out.err = v.err
		}
	}
	return out
}

// expressions returns those on the command line that a process which the selector matches fulfils.
func (s *selector) expressions(f *facts) []*regexp.Regexp {
	out := s.cmdline
	for _, one := range s.anyOf {
		if one.match(f).ok {
			return append(slices.Clone(out), one.expressions(f)...)
		}
	}
	return out
}

// inCgroup asks the conditions on the cgroup and the unit.
func (s *selector) inCgroup(f *facts) verdict {
	v2, v1, err := f.cgroups()
	if s.cgroup != "" && (err != nil || !within(v2, s.cgroup) && !within(v1, s.cgroup)) {
		return verdict{condition: "cgroup", err: err}
	}
	if s.unit != "" && (err != nil || !hasUnit(v2, s.unit, s.owned) && !hasUnit(v1, s.unit, s.owned)) {
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
	first            int // length of the first argument in line; -1: there is none
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
		b, first, err := f.r.cmdline(f.pid)
		if err != nil {
			f.lineErr, f.lastErr = err, err
		}
		f.line, f.first = append(f.line[:0], b...), first
	}
	return f.line, f.lineErr
}

// argv0 returns the first argument; has is false when there is none.
func (f *facts) argv0() (first string, has bool, err error) {
	line, err := f.cmdline()
	if err != nil || f.first < 0 {
		return "", false, err
	}
	return string(line[:f.first]), true, nil
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
