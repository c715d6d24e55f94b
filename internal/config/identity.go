package config

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// Unidentified is a target that any user of the host can play: what is done to it, or because of it, follows
// from processes that anyone can start.
type Unidentified struct {
	Target string
	Key    string // in the file
	Says   string // what follows, and what to write
}

// Unidentified returns those targets with a signal, a command or a heap.
func (c *Config) Unidentified() []Unidentified {
	var out []Unidentified
	for i := range c.Targets {
		t := &c.Targets[i]
		what := t.follows(c)
		switch {
		case len(what) == 0 || t.Processes != nil && c.identified(&t.Processes.Match):
		case t.Processes != nil:
			out = append(out, Unidentified{t.Name, fmt.Sprintf("targets[%d].processes.match", i), fmt.Sprintf(
				"any user of this host can start a process that matches, and so %s: write user, systemd_unit, container or the absolute path of a program in exe as well%s", list(what), c.interpreterNote(&t.Processes.Match))})
		case t.Heap.Enabled():
			out = append(out, Unidentified{t.Name, fmt.Sprintf("targets[%d].heap", i), fmt.Sprintf(
				"this target has no processes, so any user of this host can listen there first, and so %s: write processes, with user, systemd_unit or container", list(what))})
		}
	}
	return out
}

// UnidentifiedTargets returns what follows for each of them, and what to write.
func (c *Config) UnidentifiedTargets() map[string]string {
	out := make(map[string]string)
	for _, u := range c.Unidentified() {
		out[u.Target] = u.Says
	}
	return out
}

func (c *Config) checkIdentity(warn report.Func, checks *Checks) {
	c.lookBehind(checks)
	for _, u := range c.Unidentified() {
		warn(u.Key, "%s", u.Says)
	}
}

// follows says what whoever is taken for a target can bring about.
func (t *Target) follows(c *Config) []string {
	var out []string
	add := func(does bool, text string) {
		if does && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	do := func(name string) bool {
		for _, steps := range t.Playbooks {
			for i := range steps {
				if steps[i].Do == name {
					return true
				}
			}
		}
		return false
	}
	add(do(action.NameSignal) || t.Processes != nil && t.Heap.Signals(), "receive its signals")
	for i := range t.Logs {
		add(t.Logs[i].Renames() && t.Logs[i].Signal != "", "receive its signals")
	}
	add(t.Heap.Enabled(), "answer for its heap")
	add(do(action.NameRestart), "set off a restart of the service")
	add(do(action.NameCommand) || c.watched(t.Name), "set off its commands, such as a restart")
	return out
}

// watched reports whether a command of a watcher is for a target.
func (c *Config) watched(name string) bool {
	for i := range c.Watchers {
		w := &c.Watchers[i]
		if len(w.Command) > 0 && (len(w.Targets) == 0 || slices.Contains(w.Targets, name)) {
			return true
		}
	}
	return false
}

// identified reports whether only some users can start a process that matches. Every user can run an interpreter,
// and in it what he likes.
func (c *Config) identified(m *proc.Match) bool {
	if m.User != "" || m.SystemdUnit != "" || m.Cgroup != "" || m.Container != "" || m.Pod != "" || m.Namespace != "" || m.Image != "" ||
		filepath.IsAbs(m.Exe) && c.interpreterOf(m) == "" {
		return true
	}
	return len(m.AnyOf) > 0 && !slices.ContainsFunc(m.AnyOf, func(one proc.Match) bool { return !c.identified(&one) })
}

// interpreterOf returns the interpreter that exe names, also by a link.
func (c *Config) interpreterOf(m *proc.Match) string {
	for _, program := range []string{m.Exe, c.behind[m.Exe]} {
		if filepath.IsAbs(program) && action.Interprets(program) {
			return program
		}
	}
	return ""
}

func (c *Config) interpreterNote(m *proc.Match) (note string) {
	m.Each("", func(_ string, m *proc.Match) {
		if program := c.interpreterOf(m); program != "" {
			note = fmt.Sprintf(" (every user can run %s)", filepath.Base(program))
		}
	})
	return note
}

// lookBehind learns which files are behind the links that exe names.
func (c *Config) lookBehind(checks *Checks) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	asked := make(map[string]question[string])
	for i := range c.Targets {
		if p := c.Targets[i].Processes; p != nil {
			p.Match.Each("", func(_ string, m *proc.Match) {
				if exe := m.Exe; filepath.IsAbs(exe) && !action.Interprets(exe) {
					asked[exe] = ask(checks, exe, func() string {
						file, err := hostfs.Roots{RootFS: "/"}.Resolve(exe)
						if err != nil {
							return ""
						}
						return file
					})
				}
			})
		}
	}
	c.behind = make(map[string]string)
	for exe, q := range asked {
		if file, err := q.wait(ctx); err == nil && file != exe {
			c.behind[exe] = file
		}
	}
}

// list joins words: "a", "a and b", "a, b and c".
func list(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
