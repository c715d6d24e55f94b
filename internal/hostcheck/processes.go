package hostcheck

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/needs"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// mostAsked are the processes of a target that are asked about: a service has few users.
const mostAsked = 20

// inspects returns what of a target takes a look into its processes, "" when nothing does.
func inspects(t *config.Target) string {
	var out []string
	if p := t.Processes; p != nil {
		inspects := false
		for _, m := range []*proc.Match{&p.Match, p.Exclude} {
			if m != nil {
				m.Each("", func(_ string, m *proc.Match) { inspects = inspects || m.Exe != "" || m.ListenPort != 0 })
			}
		}
		if inspects {
			out = append(out, "the conditions exe and listen_port")
		}
	}
	if t.Memory.Proportional {
		out = append(out, "memory.proportional")
	}
	if t.Heap.Inspects() {
		out = append(out, "heap."+t.Heap.Provider)
	}
	if !t.Empty() {
		out = append(out, "which files are open")
	}
	return strings.Join(out, ", ")
}

// processes adds what this process may not see of the processes of a target.
func (l *look) processes(t *config.Target) {
	what := inspects(t)
	if what == "" || t.Processes == nil {
		return
	}
	denied := 0
	for _, m := range first(l.Tracker.Members(t.Name)) {
		if errors.Is(proc.MayInspect(l.Host.ProcFS, m.PID), fs.ErrPermission) {
			denied++
		}
	}
	if denied > 0 {
		l.add(Finding{
			Target: t.Name, Of: "processes", Feature: needs.Processes,
			Problem: fmt.Sprintf("its processes belong to another user and cannot be looked into: %s", what),
			Unit:    capabilityLines(l.lacks(needs.Processes)),
		})
	}
}

func first(members []proc.Member) []proc.Member { return members[:min(len(members), mostAsked)] }

// signals adds what keeps this process from signalling those of a target.
func (l *look) signals(t *config.Target, of string) {
	f := Finding{Target: t.Name, Of: of, Feature: needs.Signal}
	if err := proc.Signals(); err != nil {
		f.Problem, f.Do = err.Error(), "use Linux 5.1, or let the call pass"
		l.add(f)
		return
	}
	members := first(l.Tracker.Members(t.Name))
	denied := 0
	for _, m := range members {
		if errors.Is(proc.MaySignal(m), fs.ErrPermission) {
			denied++
		}
	}
	lacks := l.lacks(needs.Signal)
	switch {
	case denied > 0:
		f.Problem = "its processes belong to another user and may not be signalled"
	case len(members) == 0 && len(lacks) > 0:
		f.Problem, f.Unknown = "whether its processes may be signalled is not known: none matches now", true
		f.Do = "run check again while the service runs"
		l.add(f)
		return
	default:
		return
	}
	if !l.self.has("CAP_SYS_PTRACE") {
		lacks = append(lacks, "CAP_SYS_PTRACE") // its program is looked at before it is signalled
	}
	f.Unit = capabilityLines(lacks)
	l.add(f)
}
