package cgroup

import (
	"os"
	"path/filepath"
	"strings"
)

// hierarchy is a mounted cgroup hierarchy with the memory controller.
type hierarchy struct {
	dir     string // where it is mounted
	root    string // which cgroup is mounted there, as the namespace of this process shows it
	device  string // major:minor, the same for all mounts of one hierarchy
	unified bool   // version 2

	// begin is the path below dir at which the namespace of this process begins; "" where that is not
	// known, or where the hierarchy is shown from there.
	begin string
}

// above reports whether the mount shows more than the namespace of this process, as the host's
// hierarchy does that is mounted into a container.
func (h *hierarchy) above() bool { return isAbove(h.root) }

// isAbove reports whether a path goes up from where the namespace begins.
func isAbove(path string) bool { return path == "/.." || strings.HasPrefix(path, "/../") }

// parseMounts finds in /proc/PID/mountinfo the hierarchies that count memory.
func parseMounts(b []byte) []hierarchy {
	var out []hierarchy
	for line := range strings.Lines(string(b)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(super) < 3 {
			continue
		}
		h := hierarchy{device: fields[2], root: unescape(fields[3]), dir: unescape(fields[4]), unified: super[0] == "cgroup2"}
		if h.unified || super[0] == "cgroup" && hasWord(super[2], "memory") {
			out = append(out, h)
		}
	}
	return out
}

// below returns the mounts at a folder or below it.
func below(all []hierarchy, base string) []hierarchy {
	var out []hierarchy
	for _, h := range all {
		if h.dir == base || strings.HasPrefix(h.dir, base+"/") {
			out = append(out, h)
		}
	}
	return out
}

func hasWord(list, word string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == word {
			return true
		}
	}
	return false
}

// unescape undoes mountinfo's octal escapes of blanks and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// guessMounts looks for the usual places where mountinfo does not show them.
func guessMounts(base string) []hierarchy {
	if exists(base, "cgroup.controllers") {
		return []hierarchy{{dir: base, root: "/", unified: true}}
	}
	var out []hierarchy
	if dir := filepath.Join(base, "unified"); exists(dir, "cgroup.controllers") {
		out = append(out, hierarchy{dir: dir, root: "/", unified: true})
	}
	if dir := filepath.Join(base, "memory"); exists(dir, "memory.stat") {
		out = append(out, hierarchy{dir: dir, root: "/"})
	}
	return out
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
