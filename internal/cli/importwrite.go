package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/convert"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// write returns the configuration.
func (w *importer) write(file string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Made from %s of process-exporter: it has the same groups. Check it with: spillway_exporter check --config.file=...\n", oneLine(file))
	fmt.Fprintf(&out, "# A group is a target: spillway_memory_resident_bytes{target=...} for namedprocess_namegroup_memory_bytes{groupname=...}.\n")
	for _, note := range w.notes {
		fmt.Fprintf(&out, "# %s.\n", oneLine(note))
	}
	if len(w.targets) > 0 {
		out.WriteString("targets:\n")
	}
	for _, t := range w.targets {
		fmt.Fprintf(&out, "  - {name: %s, processes: {match: %s, children: true, required: false}}\n", convert.Quote(t.name), flow(anyOf(t.matches)))
	}
	if len(w.groups) == 0 {
		return out.Bytes()
	}
	if len(w.targets) > 0 {
		out.WriteString("# What follows names its groups by their processes, or could take processes before a target that stands later.\n")
	}
	out.WriteString("discover:\n  children: true\n")
	if len(w.targets) > 0 {
		out.WriteString("  join_targets: true # a group that has the name of a target above is that target\n")
	}
	out.WriteString("  groups:\n")
	for _, g := range w.groups {
		fmt.Fprintf(&out, "    - {name: %s, match: %s}\n", convert.Quote(g.name), flow(g.match))
	}
	return out.Bytes()
}

// anyOf returns the conditions that hold where those of any of the matches do.
func anyOf(matches []proc.Match) proc.Match {
	var kept []proc.Match
	for _, m := range matches {
		if !slices.ContainsFunc(kept, func(o proc.Match) bool { return flow(o) == flow(m) }) {
			kept = append(kept, m)
		}
	}
	if len(kept) == 1 {
		return kept[0]
	}
	return proc.Match{AnyOf: kept}
}

// flow writes conditions on one line.
func flow(m proc.Match) string {
	var parts []string
	add := func(key, value string) { parts = append(parts, key+": "+value) }
	if m.Comm != "" {
		add("comm", convert.Quote(m.Comm))
	}
	if m.Argv0 != "" {
		add("argv0", convert.Quote(m.Argv0))
	}
	switch quoted := each(m.Cmdline, convert.Quote); {
	case len(quoted) == 1:
		add("cmdline", quoted[0])
	case len(quoted) > 1:
		add("cmdline", "["+strings.Join(quoted, ", ")+"]")
	}
	if len(m.AnyOf) > 0 {
		add("any_of", "["+strings.Join(each(m.AnyOf, flow), ", ")+"]")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func each[T any](list []T, text func(T) string) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = text(list[i])
	}
	return out
}

// oneLine returns a text that stays in its line.
func oneLine(s string) string { return strings.Map(printable, s) }
