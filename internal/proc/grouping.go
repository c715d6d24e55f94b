package proc

import (
	"bytes"
	"fmt"
	"io"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// MaxTop is the largest number of groups that discovery may show as targets.
const MaxTop = 200

// Discover asks for groups of processes of the host as targets of their own: the largest by one
// property, or those that a list of groups names.
type Discover struct {
	By  string `yaml:"by"`  // what makes processes one group
	Top int    `yaml:"top"` // how many groups are shown; the rest is one target, _overflow

	Groups      []Group `yaml:"groups"`       // in place of by: the first that matches a process names its group
	Children    bool    `yaml:"children"`     // with groups: descendants of a member that no target and no group matches are members too
	JoinTargets bool    `yaml:"join_targets"` // with groups: a process whose group has the name of a target is a member of that target
}

// Group names the group of the processes that it matches.
type Group struct {
	Name  string `yaml:"name"`  // a Go template of .Comm, .ExeBase, .ExeFull, .Username, .Matches (what the expressions of cmdline have named), .PID, .StartTime and .Cgroups
	Match Match  `yaml:"match"` // the same conditions as those of a target
}

// The keys by which discovery groups processes.
const (
	ByComm   = "comm"
	ByUnit   = "systemd_unit"
	ByCgroup = "cgroup"
	ByUser   = "user"

	ByContainer = "container" // and by unit what is in none
	ByPod       = "pod"       // and by container what is in none
)

const defaultTop = 20

// Validate applies the defaults and reports every mistake.
func (d *Discover) Validate(report report.Func) {
	top := defaultTop
	switch {
	case len(d.Groups) > 0:
		d.validateGroups(report)
		top = MaxTop
	case d.By == "":
		d.By = ByComm
	case !slices.Contains([]string{ByComm, ByUnit, ByCgroup, ByContainer, ByPod, ByUser}, d.By):
		report("by", "%q is nothing to group by: write comm, systemd_unit, container, pod, cgroup or user", d.By)
	}
	if len(d.Groups) == 0 && d.Children {
		report("children", "only goes with groups: by has every process in the group of its own property; remove it")
	}
	if len(d.Groups) == 0 && d.JoinTargets {
		report("join_targets", "only goes with groups: remove it")
	}
	switch {
	case d.Top == 0:
		d.Top = top
	case d.Top < 0 || d.Top > MaxTop:
		report("top", "%d groups cannot be shown: write a number from 1 to %d", d.Top, MaxTop)
	}
}

func (d *Discover) validateGroups(report report.Func) {
	if d.By != "" {
		report("by", "does not go with groups: remove one of them")
	}
	for i := range d.Groups {
		g, key := &d.Groups[i], fmt.Sprintf("groups[%d]", i)
		if g.Name == "" {
			report(key+".name", "is missing: write a name, or a template such as '{{.Comm}}'")
		} else if err := CheckName(g.Name); err != nil {
			report(key+".name", "%v: write a name, or a Go template such as '{{.Comm}}'", err)
		}
		if g.Match.Empty() {
			report(key+".match", "has no condition: write at least one of "+conditions+"; {cmdline: '.+'} is every process with a command line")
		}
		g.Match.validate(key+".match", report)
	}
}

// CheckName returns what is wrong with the template of a group's name.
func CheckName(text string) error {
	named, err := template.New("name").Parse(text)
	if err != nil {
		return fmt.Errorf("%q is not a template (%s)", text, strings.TrimPrefix(err.Error(), "template: "))
	}
	// What it makes of a process is known then only; a field that does not exist, now.
	if err := named.Execute(io.Discard, &nameParts{}); err != nil && strings.Contains(err.Error(), "can't evaluate field") {
		return fmt.Errorf("%q has a field that does not exist: those that do are .Comm, .ExeBase, .ExeFull, .Username, .Matches, .PID, .StartTime and .Cgroups", text)
	}
	return nil
}

// grouping is a compiled Group.
type grouping struct {
	match *selector
	name  *template.Template // nil where plain is the name
	plain string
}

func newGroupings(d *Discover) ([]grouping, error) {
	if d == nil {
		return nil, nil
	}
	out := make([]grouping, 0, len(d.Groups))
	for i := range d.Groups {
		s, err := compile(d.Groups[i].Match)
		if err != nil {
			return nil, fmt.Errorf("groups[%d]: match: %w", i, err)
		}
		g := grouping{match: s, plain: d.Groups[i].Name}
		if strings.Contains(g.plain, "{{") {
			if g.name, err = template.New("name").Parse(g.plain); err != nil {
				return nil, fmt.Errorf("groups[%d]: name: %w", i, err)
			}
		}
		out = append(out, g)
	}
	return out, nil
}

// nameOf returns the name that the first group which matches a process gives it; ok is false when none
// does, or when what its name is made of cannot be read.
func (t *Tracker) nameOf(f *facts) (name string, ok bool) {
	for i := range t.groupings {
		g := &t.groupings[i]
		if !g.match.match(f).ok {
			continue
		}
		if g.name == nil {
			return g.plain, true
		}
		var out strings.Builder
		parts := nameParts{f: f, users: t.users, match: g.match}
		err := g.name.Execute(&out, &parts)
		if parts.err != nil {
			return "", false
		}
		// process-exporter too takes what stands before a mistake that only a process shows.
		return out.String(), err == nil || out.Len() > 0
	}
	return "", false
}

// nameParts is what a template of a name may use, read when it is used. The names and their meaning are
// those of process-exporter, so that its templates give the same names here.
type nameParts struct {
	f     *facts // nil: only the names of the fields matter
	users map[uint32]string
	match *selector
	err   error // what could not be read
}

// read calls get and keeps why it failed.
func read[T any](p *nameParts, get func(f *facts) (T, error)) (value T) {
	if p.f == nil {
		return value
	}
	value, err := get(p.f)
	if err != nil && p.err == nil {
		p.err, p.f.lastErr = err, err
	}
	return value
}

// Comm is the name that the kernel has for the process.
func (p *nameParts) Comm() string {
	return read(p, func(f *facts) (string, error) { return f.comm, nil })
}

// ExeFull is the first argument, else the name.
func (p *nameParts) ExeFull() string {
	return read(p, func(f *facts) (string, error) {
		first, has, err := f.argv0()
		if !has {
			first = f.comm
		}
		return first, err
	})
}

// ExeBase is the base name of the first argument, else the name.
func (p *nameParts) ExeBase() string {
	return read(p, func(f *facts) (string, error) {
		first, has, err := f.argv0()
		if !has {
			return f.comm, err
		}
		return path.Base(first), err
	})
}

// Username is the name of the effective user, else its number.
func (p *nameParts) Username() string {
	return read(p, func(f *facts) (string, error) {
		euid, err := f.euid()
		if err != nil {
			return "", err
		}
		name, known := p.users[euid]
		if !known {
			name = strconv.FormatUint(uint64(euid), 10)
			if u, err := user.LookupId(name); err == nil {
				name = u.Username
			}
			p.users[euid] = name
		}
		return name, nil
	})
}

// PID is the number of the process.
func (p *nameParts) PID() int {
	return read(p, func(f *facts) (int, error) { return int(f.pid), nil })
}

// StartTime is when the process started, in UTC.
func (p *nameParts) StartTime() time.Time {
	return read(p, func(f *facts) (time.Time, error) {
		s, err := f.r.stat(f.pid)
		return f.env.boot(s.start).UTC(), err
	})
}

// Matches is what the named parts of the expressions on the command line have matched.
func (p *nameParts) Matches() map[string]string {
	return read(p, func(f *facts) (map[string]string, error) {
		line, err := f.cmdline()
		out := make(map[string]string)
		for _, expression := range p.match.expressions(f) {
			found := expression.FindSubmatch(line)
			for i, name := range expression.SubexpNames() {
				if i < len(found) {
					out[name] = string(found[i])
				}
			}
		}
		return out, err
	})
}

// Cgroups are the paths of all lines of /proc/PID/cgroup.
func (p *nameParts) Cgroups() []string {
	return read(p, func(f *facts) ([]string, error) {
		b, err := f.r.file(f.pid, "cgroup", longest)
		var out []string
		for line := range bytes.Lines(b) {
			if parts := bytes.SplitN(bytes.TrimRight(line, "\n"), []byte(":"), 3); len(parts) == 3 {
				out = append(out, string(parts[2]))
			}
		}
		return out, err
	})
}
