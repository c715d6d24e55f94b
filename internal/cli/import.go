package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
)

// processExporter is the configuration of process-exporter, see
// https://github.com/ncabatoff/process-exporter#using-a-config-file-group-name.
type processExporter struct {
	ProcessNames []processName `yaml:"process_names"`
}

// processName takes a process when one of comm, one of exe and all of cmdline match; a condition
// that is not given always holds.
type processName struct {
	Name    string   `yaml:"name"`
	Comm    []string `yaml:"comm"`
	Exe     []string `yaml:"exe"`
	Cmdline []string `yaml:"cmdline"`
}

// mostComm is the length of a process name that the kernel keeps.
const mostComm = 15

var (
	placeholder = regexp.MustCompile(`\{\{\s*\.([A-Za-z]+)[^}]*\}\}`)
	notInName   = regexp.MustCompile(`[^A-Za-z0-9_.:@+-]+`)
	anything    = []string{".+", ".*", ""}
)

// importer writes our configuration for one of process-exporter.
type importer struct {
	out      bytes.Buffer
	names    map[string]bool
	discover string
	targets  int
}

// importProcessExporter reads the file and returns our configuration, which has been checked.
func importProcessExporter(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var in processExporter
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&in); err != nil {
		return nil, fmt.Errorf("%s is not a configuration of process-exporter (process_names with name, comm, exe and cmdline): %w", file, err)
	}
	if len(in.ProcessNames) == 0 {
		return nil, fmt.Errorf("%s has no process_names: give the file that process-exporter has as -config.path", file)
	}
	w := importer{names: map[string]bool{"host": true}}
	for i := range in.ProcessNames {
		if err := w.add(&in.ProcessNames[i], i); err != nil {
			return nil, fmt.Errorf("%s: process_names[%d]: %w", file, i, err)
		}
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "# Made from %s of process-exporter. Check it with: spillway_exporter check --config.file=...\n", filepath.Base(file))
	fmt.Fprintf(&text, "# Groups become targets: spillway_memory_resident_bytes{target=...} for namedprocess_namegroup_memory_bytes{groupname=...}.\n")
	if w.discover != "" {
		fmt.Fprintf(&text, "discover: {by: %s, top: 20}\n", w.discover)
	}
	if w.targets > 0 {
		text.WriteString("targets:\n")
	}
	text.Write(w.out.Bytes())
	if _, err := config.Parse("the result", text.Bytes()); err != nil {
		return nil, fmt.Errorf("%s cannot be converted as it is: fix these and try again:\n%w", file, err)
	}
	return text.Bytes(), nil
}

func (w *importer) add(p *processName, index int) error {
	fields := placeholder.FindAllStringSubmatch(p.Name, -1)
	uses := func(name string) bool {
		return slices.ContainsFunc(fields, func(f []string) bool { return f[1] == name })
	}
	conditions := slices.DeleteFunc(slices.Clone(p.Cmdline), func(s string) bool { return slices.Contains(anything, s) })
	if len(p.Comm)+len(p.Exe)+len(conditions) == 0 {
		if len(p.Cmdline) == 0 {
			return fmt.Errorf("has no condition: process-exporter refuses it too")
		}
		return w.all(uses)
	}
	if len(conditions) > 1 {
		w.note("process_names[%d] has %d expressions on the command line, which must all match; one target has one. The first is taken: join them by hand", index, len(conditions))
	}
	for _, comm := range orNothing(p.Comm) {
		for _, exe := range orNothing(p.Exe) {
			w.target(p, index, comm, exe, first(conditions))
		}
	}
	return nil
}

// all is an entry that takes every process, by which process-exporter makes groups.
func (w *importer) all(uses func(string) bool) error {
	by := "comm"
	switch {
	case uses("Username"):
		by = "user"
	case uses("Cgroups"):
		by = "cgroup"
	case uses("ExeBase"), uses("ExeFull"):
		w.note("groups by program file become groups by process name")
	}
	w.discover = cmp.Or(w.discover, by)
	return nil
}

func (w *importer) target(p *processName, index int, comm, exe, cmdline string) {
	name := w.name(p, index, comm, exe)
	var match []string
	if comm != "" {
		if len(comm) > mostComm {
			w.note("the kernel keeps %d bytes of a name, so %q never matched: it is cut", mostComm, comm)
			comm = comm[:mostComm]
		}
		match = append(match, "comm: "+quote(comm))
	}
	if exe != "" {
		match = append(match, "exe: "+quote(exe))
	}
	if cmdline != "" {
		match = append(match, "cmdline: "+quote(cmdline))
	}
	fmt.Fprintf(&w.out, "  - {name: %s, processes: {match: {%s}, children: true}}\n", quote(name), strings.Join(match, ", "))
	w.targets++
}

// name fills in the template of a group's name as far as that is known beforehand.
func (w *importer) name(p *processName, index int, comm, exe string) string {
	template := cmp.Or(p.Name, "{{.ExeBase}}")
	program := ""
	if exe != "" {
		program = path.Base(exe)
	}
	name := placeholder.ReplaceAllStringFunc(template, func(s string) string {
		switch placeholder.FindStringSubmatch(s)[1] {
		case "Comm":
			return cmp.Or(comm, program)
		case "ExeBase", "ExeFull":
			return cmp.Or(program, comm)
		}
		w.note("the name %q of process_names[%d] is known of a running process only: give this target a name of its own", template, index)
		return ""
	})
	name = strings.Trim(notInName.ReplaceAllString(name, "_"), "_.:")
	if name == "" {
		name = "group" + strconv.Itoa(index+1)
	}
	unique := name
	for n := 2; w.names[unique]; n++ {
		unique = name + "_" + strconv.Itoa(n)
	}
	w.names[unique] = true
	return unique
}

func (w *importer) note(format string, args ...any) {
	fmt.Fprintf(&w.out, "  # "+format+"\n", args...)
}

func orNothing(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// quote writes a YAML string.
func quote(s string) string {
	if regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./+-]*$`).MatchString(s) && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
