package hostcheck

import (
	"slices"
	"strings"
)

// dropIn returns the lines that findings take as one drop-in of the unit: each once, and the words of a
// key that may hold several in one line. "" when they take none.
func dropIn(findings []Finding) string {
	var keys []string
	words := make(map[string][]string)
	for i := range findings {
		for _, line := range findings[i].Unit {
			key, value, _ := strings.Cut(line, "=")
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
			for _, word := range split(key, value) {
				if !slices.Contains(words[key], word) {
					words[key] = append(words[key], word)
				}
			}
		}
	}
	if len(keys) == 0 {
		return ""
	}
	slices.Sort(keys)
	var b strings.Builder
	b.WriteString("[Service]\n")
	for _, key := range keys {
		if key == "ReadWritePaths" { // one a line, which is easier to edit
			for _, path := range words[key] {
				b.WriteString(key + "=" + path + "\n")
			}
			continue
		}
		b.WriteString(key + "=" + strings.Join(words[key], " ") + "\n")
	}
	return b.String()
}

// split returns the words of a value, of which a path may hold blanks.
func split(key, value string) []string {
	if key == "ReadWritePaths" {
		return []string{value}
	}
	return strings.Fields(value)
}

// unitPath writes a path as a unit does: specifiers begin with %, and what holds blanks is quoted
// (systemd.syntax(7), systemd.unit(5)).
func unitPath(path string) string {
	path = strings.ReplaceAll(path, "%", "%%")
	if strings.ContainsAny(path, " \t\"'\\;") {
		return `"-` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
	}
	return "-" + path
}

// quoted writes a word for a shell.
func quoted(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("/._-+,:@", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// withoutUnit says what lines of a unit come to where systemd does not run the host, as in a container.
func withoutUnit(lines []string, do string) string {
	var out []string
	for _, line := range lines {
		key, value, _ := strings.Cut(line, "=")
		switch key {
		case "AmbientCapabilities":
			names := strings.Fields(strings.ReplaceAll(value, "CAP_", ""))
			out = append(out, "run with "+value+" (in a container: capabilities: {add: ["+strings.Join(names, ", ")+"]}, as root)")
		case "SupplementaryGroups":
			out = append(out, "run in the group "+value)
		case "ReadWritePaths", "StateDirectory":
			out = append(out, "mount it writable (in a container: no :ro, readOnly: false)")
		}
	}
	if do != "" {
		out = append(out, do)
	}
	return strings.Join(out, "; ")
}
