package proc

import (
	"fmt"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxComm is the length of a process name that the kernel keeps (TASK_COMM_LEN less the NUL).
const maxComm = 15

// MaxTop is the largest number of groups that discovery may show as targets.
const MaxTop = 200

// Config says which processes belong to one target.
type Config struct {
	Match    Match  `yaml:"match"`    // all conditions that are set must hold; at least one
	Children bool   `yaml:"children"` // descendants of a member are members too, whatever their name
	Exclude  *Match `yaml:"exclude"`  // a process that fulfils all of these is never a member
}

// Match is a set of conditions on one process. Conditions that are empty are not asked.
type Match struct {
	Comm    string `yaml:"comm"`    // the process name, as ps -o comm shows it; at most 15 bytes
	Exe     string `yaml:"exe"`     // the program file: an absolute path, or its base name
	Cmdline string `yaml:"cmdline"` // a regular expression on the command line, arguments joined by blanks
	User    string `yaml:"user"`    // the effective user: a name or a number
}

// Discover asks for the largest groups of processes of the host as targets of their own.
type Discover struct {
	By  string `yaml:"by"`  // comm (default) | user
	Top int    `yaml:"top"` // how many groups are shown; default 20, the rest is one target, _overflow
}

// Empty reports whether no condition is set.
func (m *Match) Empty() bool { return *m == Match{} }

// Validate reports every mistake, with the key relative to this struct and what to write instead.
func (c *Config) Validate(report func(key, format string, args ...any)) {
	if c.Match.Empty() {
		report("match", "has no condition and would take every process: write at least one of comm, exe, cmdline and user, such as {comm: node}")
	}
	c.Match.validate("match", report)
	if c.Exclude != nil {
		if c.Exclude.Empty() {
			report("exclude", "has no condition and would refuse every process: write at least one of comm, exe, cmdline and user, or remove the key")
		}
		c.Exclude.validate("exclude", report)
		if !c.Match.Empty() && *c.Exclude == c.Match {
			report("exclude", "has the same conditions as match, so nothing would be left: write a narrower exclude or remove it")
		}
	}
}

func (m *Match) validate(key string, report func(key, format string, args ...any)) {
	if len(m.Comm) > maxComm {
		report(key+".comm", "%q has %d bytes and the kernel keeps %d, so it would never match: write %q, or exe: %s, or a cmdline",
			m.Comm, len(m.Comm), maxComm, m.Comm[:maxComm], m.Comm)
	}
	if strings.Contains(m.Comm, "/") && filepath.IsAbs(m.Comm) {
		report(key+".comm", "%q is a path and comm is a name: write exe: %s or comm: %s", m.Comm, m.Comm, shorten(filepath.Base(m.Comm)))
	}
	if strings.Contains(m.Exe, "/") && !filepath.IsAbs(m.Exe) {
		report(key+".exe", "%q is a relative path: write the absolute path of the program or its base name, %s", m.Exe, filepath.Base(m.Exe))
	} else if strings.HasSuffix(m.Exe, "/") {
		report(key+".exe", "%q is a folder: write the absolute path of the program, such as /usr/bin/node", m.Exe)
	}
	if m.Cmdline != "" {
		if _, err := regexp.Compile(m.Cmdline); err != nil {
			report(key+".cmdline", "%s: write a Go (RE2) regular expression, with \\ before a character that is meant literally", regexpError(err))
		}
	}
	if m.User != "" {
		if _, err := lookupUser(m.User); err != nil {
			report(key+".user", "%s", err)
		}
	}
}

func shorten(comm string) string { return comm[:min(len(comm), maxComm)] }

// regexpError returns the message of a regexp error without the package's name.
func regexpError(err error) string { return strings.TrimPrefix(err.Error(), "error parsing regexp: ") }

// lookupUser returns the number of a user given by name or number.
func lookupUser(name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("no user %q on this host: write the name of one that exists (getent passwd shows them) or its number", name)
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("user %q has the number %q: write a number below 4294967296", name, u.Uid)
	}
	return uint32(n), nil
}

// The keys by which discovery groups processes.
const (
	ByComm = "comm"
	ByUser = "user"
)

// Validate applies the defaults and reports every mistake.
func (d *Discover) Validate(report func(key, format string, args ...any)) {
	switch {
	case d.By == "":
		d.By = ByComm
	case slices.Contains([]string{"systemd_unit", "cgroup"}, d.By):
		report("by", "%q is not part of this version: write comm or user", d.By)
	case d.By != ByComm && d.By != ByUser:
		report("by", "%q is nothing to group by: write comm or user", d.By)
	}
	switch {
	case d.Top == 0:
		d.Top = 20
	case d.Top < 0 || d.Top > MaxTop:
		report("top", "%d groups cannot be shown: write a number from 1 to %d", d.Top, MaxTop)
	}
}
