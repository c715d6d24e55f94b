package proc

import (
	"cmp"
	"fmt"
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/container"
)

// Explanation says which target takes a process and why.
type Explanation struct {
	PID     int
	Comm    string // as the kernel has it
	Name    string // as selectors and discovery see it
	Exe     string // "" when it cannot be read
	Cmdline string
	User    string

	Container *container.Container // nil when it is in none

	Target  string // "" when no target takes it
	Reason  string // why this target, or why none
	Refused []Refusal
}

// Refusal says why one target, earlier in config order than the one that took the process, did
// not, or, where none matches it, why each target does not.
type Refusal struct{ Target, Reason string }

// Explain reads about one process and says which target takes it and why. It works without a
// Refresh; after one it also knows which discovered groups are shown and which members are
// children of processes that have ended.
func (t *Tracker) Explain(pid int) (Explanation, error) {
	r, err := newReader(t.opts.Root)
	if err != nil {
		return Explanation{}, err
	}
	defer r.close()
	line, err := ancestry(r, int32(pid))
	if err != nil {
		if gone(err) {
			return Explanation{}, fmt.Errorf("no process %d in %s: write the number of one that runs (ps -e shows them)", pid, t.opts.Root)
		}
		return Explanation{}, fmt.Errorf("process %d cannot be read: %w", pid, err)
	}
	e := Explanation{PID: pid}
	boot, _ := bootTime(t.opts.Root) // a condition that needs it says so
	env := newEnvironment(&t.opts, func(ticks uint64) time.Time { return startAfter(boot, ticks) })
	env.now = time.Now()
	var above []*judgement // of the ancestors, the nearest last
	for i, a := range slices.Backward(line) {
		f := facts{env: env}
		f.reset(r, a.pid, a.comm, "")
		f.name = properName(&f)
		j := t.judge(&f, a, above)
		if i > 0 {
			above = append(above, j)
			continue
		}
		e.describe(&f)
		e.Target, e.Reason, e.Refused = j.target, j.reason, j.refused
		t.explainRest(&e, &f, a)
	}
	return e, nil
}

// judgement is what choose decides, with words.
type judgement struct {
	pid     int32
	target  string
	group   *group // nil for one that discover has named
	reason  string
	refused []Refusal
}

type ancestor struct {
	pid    int32
	comm   string
	state  byte
	kernel bool
}

// ancestry reads a process and its ancestors, the process first.
func ancestry(r *reader, pid int32) ([]ancestor, error) {
	var out []ancestor
	start := uint64(1<<64 - 1)
	for range deepest {
		s, err := r.stat(pid)
		if err != nil {
			if len(out) > 0 {
				break
			}
			return nil, err
		}
		if s.start > start {
			break // the parent ended and its pid was given out again
		}
		out = append(out, ancestor{pid, string(s.comm), s.state, s.kernel})
		pid, start = s.ppid, s.start
		if pid == 0 {
			break
		}
	}
	return out, nil
}

func (e *Explanation) describe(f *facts) {
	e.Comm, e.Name = f.comm, f.name
	e.Exe, _ = f.exe()
	if line, err := f.cmdline(); err == nil {
		e.Cmdline = string(line)
	}
	e.Container, _ = f.container()
	if euid, err := f.euid(); err == nil {
		e.User = strconv.FormatUint(uint64(euid), 10)
		if u, err := user.LookupId(e.User); err == nil {
			e.User = u.Username
		}
	}
}

// judge is choose with words, and without the table of a Tracker.
func (t *Tracker) judge(f *facts, a ancestor, above []*judgement) *judgement {
	j := &judgement{pid: a.pid}
	switch {
	case a.kernel:
		j.reason = "it is a kernel thread, which has no memory of its own"
		return j
	case a.state == 'Z' || a.state == 'X':
		j.reason = "it has ended and waits for its parent to take note (a zombie)"
		return j
	}
	for _, g := range t.targets {
		if v := g.direct(f, t.self); !v.ok {
			j.refused = append(j.refused, Refusal{g.name, g.match.why(f, v)})
			continue
		}
		if no, v := g.refuses(f); no {
			j.refused = append(j.refused, Refusal{g.name, excludeReason(v)})
			continue
		}
		j.target, j.group, j.reason = g.name, g, "all conditions of match hold"
		return j
	}
	if t.judgeName(f, j) || t.judgeParents(f, j, above) {
		return j
	}
	j.reason = "no target matches it"
	return j
}

// judgeName says which group discover names.
func (t *Tracker) judgeName(f *facts, j *judgement) bool {
	if len(t.groupings) == 0 {
		return false
	}
	name, ok := t.nameOf(f)
	if !ok {
		return false
	}
	j.target = targetName(name[:min(len(name), mostName)], true)
	if g := t.byName[name]; g != nil {
		if no, _ := g.refuses(f); !no {
			j.group, j.reason = g, "discover gives its group the name of this target, and has join_targets: true"
			return true
		}
	}
	j.reason = fmt.Sprintf("discover names its group %q", name)
	return true
}

// judgeParents says whose child it is.
func (t *Tracker) judgeParents(f *facts, j *judgement, above []*judgement) bool {
	for _, parent := range slices.Backward(above) {
		g := parent.group
		switch {
		case parent.target == "":
			continue
		case g == nil && t.opts.Discover.Children:
			j.target, j.reason = parent.target, fmt.Sprintf("its nearest ancestor in a group, process %d, is in this one, and discover has children: true", parent.pid)
			return true
		case g == nil || !g.children:
			continue
		}
		if no, v := g.refuses(f); no {
			j.refused = append(j.refused, Refusal{g.name, excludeReason(v)})
			continue
		}
		j.target, j.group, j.reason = g.name, g, fmt.Sprintf("no target matches it, and its nearest ancestor in one, process %d, is a member of this target, which has children: true", parent.pid)
		j.refused = slices.DeleteFunc(j.refused, func(r Refusal) bool { return r.Target == g.name })
		return true
	}
	return false
}

func excludeReason(v verdict) string {
	if v.err != nil {
		return fmt.Sprintf("%s cannot be read (%v), so exclude cannot be ruled out", v.condition, v.err)
	}
	return "all conditions of exclude hold"
}

// why says which condition does not hold.
func (s *selector) why(f *facts, v verdict) string {
	if v.err != nil {
		return fmt.Sprintf("%s cannot be read: %v", v.condition, v.err)
	}
	switch v.condition {
	case "comm":
		return fmt.Sprintf("comm is %q, not %q", f.comm, s.comm)
	case "user":
		return fmt.Sprintf("the effective user is %d, not %s", f.uid, s.user)
	case "exe":
		if file := f.env.program(s.exe); strings.Contains(s.exe, "/") && file != s.exe {
			return fmt.Sprintf("exe is %q, neither %q nor the file behind it, %q", f.path, s.exe, file)
		}
		return fmt.Sprintf("exe is %q, not %q", f.path, s.exe)
	case "argv0":
		first, _, _ := f.argv0()
		return fmt.Sprintf("argv0 is %q, not %q", first, s.argv0)
	case "cmdline":
		i := slices.IndexFunc(s.cmdline, func(e *regexp.Regexp) bool { return !e.Match(f.line) })
		return fmt.Sprintf("cmdline is %q and does not match %q", f.line, s.cmdline[max(i, 0)])
	case "cgroup":
		return fmt.Sprintf("cgroup is %q, not %q or below it", cmp.Or(f.v2, f.v1), s.cgroup)
	case "systemd_unit":
		return fmt.Sprintf("cgroup is %q, which is not that of the unit %s", cmp.Or(f.v2, f.v1), s.unit)
	case "container", "pod", "namespace", "image":
		return s.contained.why(f, v.condition)
	case "pidfile":
		return s.whyNotPidfile(f)
	case "listen_port":
		return fmt.Sprintf("it does not listen on TCP port %d", s.port)
	case "any_of":
		var reasons []string
		for _, one := range s.anyOf {
			reasons = append(reasons, one.why(f, one.match(f)))
		}
		return "nothing of any_of holds: " + strings.Join(reasons, "; ")
	}
	return "it is the exporter itself, which a target takes only by its program or service"
}

func (s *selector) whyNotPidfile(f *facts) string {
	switch p := f.env.pidfile(s.pidfile); {
	case p.err != nil:
		return fmt.Sprintf("the pidfile %s does not exist", s.pidfile)
	case p.pid != f.pid:
		return fmt.Sprintf("the pidfile %s names process %d", s.pidfile, p.pid)
	}
	return fmt.Sprintf("the pidfile %s is older than this process: its number was given out again", s.pidfile)
}

// shown is how many groups discovery shows. It is called with mu held.
func (t *Tracker) shown() (n int) {
	for i := range t.usages {
		if u := &t.usages[i]; u.Discovered && u.Target != Overflow {
			n++
		}
	}
	return n
}

// explainRest adds what only a Tracker that has refreshed, or discovery, can say.
func (t *Tracker) explainRest(e *Explanation, f *facts, a ancestor) {
	if e.Target != "" || a.kernel || a.state == 'Z' || a.state == 'X' {
		return
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, m := range t.lists {
		if m.PID != e.PID {
			continue
		}
		e.Target = t.usages[m.usage].Target
		switch {
		case m.Child:
			e.Reason = "it became a member as a child of one that has ended since"
		case e.Target == Overflow:
			e.Reason = fmt.Sprintf("no target matches it, and its group is not among the %d largest", t.opts.Discover.Top)
			if t.shown() < t.opts.Discover.Top {
				e.Reason = "no target matches it, and its group has not lived for a minute, nor does it use 1 % of the host's memory"
			}
		default:
			e.Reason = "no target matches it; its group is among the largest of discover"
		}
		return
	}
	if t.opts.Discover != nil && len(t.groupings) > 0 {
		e.Reason = "no target and no group of discover matches it"
	} else if t.opts.Discover != nil {
		group := f.name
		switch by := t.opts.Discover.By; by {
		case ByUser:
			group = e.User
		case ByUnit, ByCgroup, ByContainer, ByPod:
			key, _ := f.serviceKey(by)
			group = cmp.Or(key.name, key.key)
		}
		e.Reason = fmt.Sprintf("no target matches it; discover counts it in the group %q", group)
	}
}
