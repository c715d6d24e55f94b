package proc

import (
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// Overlap says that processes which one target takes match a later one, too.
type Overlap struct {
	Target, Also string
	Processes    int
	PID          int // of one of them
	Name         string
}

// Overlaps returns the pairs of targets that match one process, in config order. Like Refresh, after
// which it is called, it belongs to one goroutine; it asks every target about every member.
func (t *Tracker) Overlaps() []Overlap {
	type pair struct{ first, also int }
	found := make(map[pair]*Overlap)
	for _, p := range t.procs {
		if p.life != running || p.group == nil || p.by != matched || p.group.discovered {
			continue
		}
		t.facts.reset(t.r, p.pid, p.comm, p.name)
		first := -1
		for i, g := range t.targets {
			switch {
			case !g.direct(&t.facts, t.self).ok || !t.admits(g):
			case first < 0:
				first = i
			default:
				o := found[pair{first, i}]
				if o == nil {
					o = &Overlap{Target: t.targets[first].name, Also: g.name, PID: int(p.pid), Name: p.name}
					found[pair{first, i}] = o
				}
				o.Processes++
			}
		}
	}
	var out []Overlap
	for first := range t.targets {
		for also := range t.targets {
			if o := found[pair{first, also}]; o != nil {
				out = append(out, *o)
			}
		}
	}
	return out
}

// programDirs are where a program without a path is looked for.
var programDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// Advice says of conditions on the program what follows from this host: which file is behind a link,
// and, where none of its processes runs, why none may ever match.
func (t *Tracker) Advice(target string) []string {
	for i := range t.opts.Targets {
		o := &t.opts.Targets[i]
		if o.Name != target {
			continue
		}
		var out []string
		o.Config.Match.Each("match", func(key string, m *Match) {
			if text := t.adviceOn(m, t.targets[i].members > 0); text != "" {
				out = append(out, key+".exe: "+text)
			}
		})
		return out
	}
	return nil
}

func (t *Tracker) adviceOn(m *Match, runs bool) string {
	host := hostfs.Roots{RootFS: t.facts.env.rootfs}
	if filepath.IsAbs(m.Exe) {
		file, err := host.Resolve(m.Exe)
		switch {
		case err == nil && file != m.Exe:
			return fmt.Sprintf("%s is a link to %s: processes of either match", m.Exe, file)
		case err != nil && os.IsNotExist(err) && !runs && (contained{m.Container, m.Pod, m.Namespace, m.Image} == contained{}):
			return fmt.Sprintf("%s does not exist on this host, so that only a process in a container can match", m.Exe)
		}
		return ""
	}
	if m.Exe == "" || runs {
		return ""
	}
	for _, dir := range programDirs {
		name := path.Join(dir, m.Exe)
		if file, err := host.Resolve(name); err == nil && path.Base(file) != m.Exe {
			return fmt.Sprintf("%s is a link to %s, and the program of a process is the file behind it: write exe: %s or, for what was started by this name, argv0: %s",
				name, file, name, m.Exe)
		}
	}
	return ""
}
