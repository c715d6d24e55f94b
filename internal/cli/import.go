package cli

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/convert"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// processExporter is the configuration of process-exporter, see
// https://github.com/ncabatoff/process-exporter#using-a-config-file-group-name. It ignores all other keys.
type processExporter struct {
	ProcessNames []processName `yaml:"process_names"`
}

// processName takes a process when its name is one of comm, its first argument one of exe and its
// command line matches all of cmdline; a condition that is not given always holds. A list without
// elements, which is not nil, holds for nothing.
type processName struct {
	Name    string   `yaml:"name"`
	Comm    []string `yaml:"comm"`
	Exe     []string `yaml:"exe"`
	Cmdline []string `yaml:"cmdline"`
}

// defaultName is the template of an entry without a name.
const defaultName = "{{.ExeBase}}"

// mostComm is the length of a process name that the kernel keeps.
const mostComm = 15

// importer writes our configuration for one of process-exporter.
//
// process-exporter makes its groups while it runs: an entry is a match, and a template that names the
// group of each process. Where the names are known beforehand an entry becomes targets, which can be given
// limits and folders. From the first on where that would not give the same groups, entries become groups
// of discover, which are matched after the targets and in order, and named as process-exporter names them.
type importer struct {
	targets []importedTarget
	groups  []importedGroup
	notes   []string
	seen    map[string]int // entries by their conditions
}

// importedTarget is a target: a process is a member when one of the matches holds.
type importedTarget struct {
	name    string
	matches []proc.Match
}

type importedGroup struct {
	name  string
	match proc.Match
}

// importProcessExporter reads the file and returns our configuration, which has been checked.
func importProcessExporter(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	in, unknown, err := readProcessExporter(raw)
	if err != nil {
		return nil, fmt.Errorf("%s is not a configuration of process-exporter (process_names with name, comm, exe and cmdline): %w", file, err)
	}
	if len(in.ProcessNames) == 0 {
		return nil, fmt.Errorf("%s has no process_names: give the file that process-exporter has as -config.path", file)
	}
	w := importer{seen: make(map[string]int)}
	for _, key := range unknown {
		w.note("process-exporter ignores %s: so does this", key)
	}
	for i := range in.ProcessNames {
		if err := w.add(&in.ProcessNames[i], i); err != nil {
			return nil, fmt.Errorf("%s: process_names[%d]: %w", file, i, err)
		}
	}
	text := w.write(filepath.Base(file))
	if _, err := config.Parse("the result", text); err != nil {
		return nil, fmt.Errorf("%s cannot be converted as it is: fix these and try again:\n%w", file, err)
	}
	return text, nil
}

// readProcessExporter reads a file as process-exporter does: keys that it does not know are ignored, and
// of a key that stands twice the last holds.
func readProcessExporter(raw []byte) (in processExporter, unknown []string, err error) {
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil || len(root.Content) == 0 {
		return in, nil, err
	}
	lastOfEach(&root)
	if err := root.Decode(&in); err != nil {
		return in, nil, err
	}
	known := map[string]bool{"process_names": true}
	add := func(n *yaml.Node, prefix string) {
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			if key := n.Content[i].Value; !known[key] {
				unknown = append(unknown, prefix+key)
			}
		}
	}
	add(root.Content[0], "")
	known = map[string]bool{"name": true, "comm": true, "exe": true, "cmdline": true, "<<": true}
	for i, n := range root.Content[0].Content {
		if i%2 == 1 && root.Content[0].Content[i-1].Value == "process_names" {
			for j, entry := range n.Content {
				add(entry, fmt.Sprintf("process_names[%d].", j))
			}
		}
	}
	return in, unknown, nil
}

// lastOfEach removes what stands before another value of the same key.
func lastOfEach(n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		last := make(map[string]int)
		for i := 0; i < len(n.Content); i += 2 {
			last[n.Content[i].Value] = i
		}
		var kept []*yaml.Node
		for i := 0; i < len(n.Content); i += 2 {
			if last[n.Content[i].Value] == i {
				kept = append(kept, n.Content[i:i+2]...)
			}
		}
		n.Content = kept
	}
	for _, below := range n.Content {
		lastOfEach(below)
	}
}

func (w *importer) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

// add takes an entry over, as targets where that gives the same groups.
func (w *importer) add(p *processName, index int) error {
	if p.Comm == nil && p.Exe == nil && p.Cmdline == nil {
		return fmt.Errorf("has no condition: process-exporter refuses it too")
	}
	if p.Name == "" {
		p.Name = defaultName
	}
	if err := proc.CheckName(p.Name); err != nil {
		return err
	}
	for _, text := range p.Cmdline {
		if _, err := regexp.Compile(text); err != nil {
			return fmt.Errorf("cmdline %q: %w: process-exporter refuses it too", text, err)
		}
	}
	exes := lastOfBase(p.Exe)
	comms := w.possible(p.Comm, index)
	if p.Comm != nil && len(comms) == 0 || p.Exe != nil && len(exes) == 0 {
		w.note("process_names[%d] matches no process", index)
		return nil
	}
	whole := flow(p.match(comms, exes))
	if first, twice := w.seen[whole]; twice {
		w.note("process_names[%d] matches no process that process_names[%d] does not take before it", index, first)
		return nil
	}
	w.seen[whole] = index
	named, fixed := p.targets(comms, exes)
	if fixed && len(w.groups) == 0 && w.fits(named) {
		for _, t := range named {
			w.addTarget(t)
		}
		return nil
	}
	w.groups = append(w.groups, importedGroup{name: p.Name, match: p.match(comms, exes)})
	return nil
}

// possible returns the names that a process can have.
func (w *importer) possible(comms []string, index int) []string {
	var out []string
	for _, comm := range comms {
		switch {
		case len(comm) > mostComm:
			w.note("process_names[%d]: comm %s never matches, in process-exporter neither: the kernel keeps %d bytes, %s", index, convert.Quote(comm), mostComm, convert.Quote(comm[:mostComm]))
		case !proc.IsComm(comm):
			w.note("process_names[%d]: comm %s never matches, in process-exporter neither: a name is compared as it is", index, convert.Quote(comm))
		case comm != "" && !slices.Contains(out, comm):
			out = append(out, comm)
		}
	}
	return out
}

// lastOfBase returns the programs that process-exporter keeps: of several with one base name the last.
func lastOfBase(exes []string) []string {
	var out []string
	for i, exe := range exes {
		same := func(o string) bool { return base(o) == base(exe) }
		if exe != "" && !slices.ContainsFunc(exes[i+1:], same) {
			out = append(out, exe)
		}
	}
	return out
}

// base returns what process-exporter finds a program by.
func base(exe string) string {
	if strings.Contains(exe, "/") {
		return path.Base(exe)
	}
	return exe
}

// These are the templates whose names are known where a list says what they can be.
var (
	byComm    = regexp.MustCompile(`^([^{}]*)\{\{\s*\.Comm\s*\}\}([^{}]*)$`)
	byExeBase = regexp.MustCompile(`^([^{}]*)\{\{\s*\.ExeBase\s*\}\}([^{}]*)$`)
)

// targets returns the targets that an entry is, one for each name; fixed is false where the names depend
// on the processes.
func (p *processName) targets(comms, exes []string) (out []importedTarget, fixed bool) {
	switch comm, exe := byComm.FindStringSubmatch(p.Name), byExeBase.FindStringSubmatch(p.Name); {
	case !strings.Contains(p.Name, "{{"):
		return []importedTarget{{p.Name, []proc.Match{p.match(comms, exes)}}}, true
	case comm != nil && len(comms) > 0:
		for _, c := range comms {
			out = append(out, importedTarget{comm[1] + c + comm[2], []proc.Match{p.match([]string{c}, exes)}})
		}
		return out, true
	case exe != nil && len(exes) > 0:
		for _, e := range exes {
			out = append(out, importedTarget{exe[1] + path.Base(e) + exe[2], []proc.Match{p.match(comms, []string{e})}})
		}
		return out, true
	}
	return nil, false
}

// match returns the conditions of an entry with these lists.
func (p *processName) match(comms, exes []string) proc.Match {
	var m proc.Match
	for _, text := range p.Cmdline {
		if text != "" && !slices.Contains(m.Cmdline, text) {
			m.Cmdline = append(m.Cmdline, text)
		}
	}
	either := func(list []string, set func(*proc.Match, string)) []proc.Match {
		if len(list) <= 1 {
			for _, one := range list {
				set(&m, one)
			}
			return nil
		}
		out := make([]proc.Match, len(list))
		for i := range list {
			set(&out[i], list[i])
		}
		return out
	}
	byName := either(comms, func(m *proc.Match, comm string) { m.Comm = comm })
	byProgram := either(exes, func(m *proc.Match, exe string) { m.Argv0 = exe })
	switch {
	case byName == nil:
		m.AnyOf = byProgram
	case byProgram == nil:
		m.AnyOf = byName
	default: // both must hold: the programs for each name
		for i := range byName {
			byName[i].AnyOf = byProgram
		}
		m.AnyOf = byName
	}
	if m.Empty() {
		m.Cmdline = proc.Exprs{".*"}
	}
	return m
}

// targetName is the form that the name of a target has.
var targetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:@+-]{0,62}$`)

// fits reports whether targets can take the place of groups: their names are possible, and what has
// the name of an earlier target can be added to it without being matched before what stands between.
func (w *importer) fits(named []importedTarget) bool {
	for i, t := range named {
		if !targetName.MatchString(t.name) || t.name == "host" {
			return false
		}
		at := slices.IndexFunc(w.targets, func(o importedTarget) bool { return o.name == t.name })
		if at >= 0 && (i > 0 || at != len(w.targets)-1) || slices.ContainsFunc(named[:i], func(o importedTarget) bool { return o.name == t.name }) {
			return false
		}
	}
	return len(w.targets)+len(named) <= config.MaxTargets
}

func (w *importer) addTarget(t importedTarget) {
	if n := len(w.targets); n > 0 && w.targets[n-1].name == t.name {
		w.targets[n-1].matches = append(w.targets[n-1].matches, t.matches...)
		return
	}
	w.targets = append(w.targets, t)
}
