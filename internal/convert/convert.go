package convert

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// ErrNothing says that nothing of a file could be said as a policy. The text that comes with it says why.
var ErrNothing = errors.New("nothing in it can be said as a policy: the reasons are in the comments")

// target is one target of the text.
type target struct {
	name      string
	processes string // the value of the key, "" for none
	temps     []entry
	logs      []entry
}

// entry is a policy with the comments that stand above it.
type entry struct {
	comments []string
	keys     []string // written as "key: value"; nil for comments alone
	policy   policy.Policy
}

// names gives policies and targets names that are unique.
type names map[string]bool

func (n names) next(text string) string {
	text = strings.Trim(unnamed.ReplaceAllString(text, "-"), "-._")
	if text == "" {
		text = "files"
	}
	const most = 50
	text = text[max(0, len(text)-most):]
	text = strings.TrimLeft(text, "-._")
	out := text
	for i := 2; n[out]; i++ {
		out = text + "-" + strconv.Itoa(i)
	}
	n[out] = true
	return out
}

var unnamed = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// checkDir says why a folder may not have a policy; "" where it may.
func checkDir(dir string) string {
	if err := safefs.CheckRoot(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err.Error()
	}
	return ""
}

// mistakes returns what is wrong with a policy.
func mistakes(p policy.Policy) string {
	var out []string
	p.Validate(func(key, format string, args ...any) { out = append(out, key+": "+fmt.Sprintf(format, args...)) })
	return strings.Join(out, "; ")
}

// conflicts says why a policy cannot be next to those before it.
func conflicts(p policy.Policy, before []entry) string {
	for _, e := range before {
		if e.policy == nil {
			continue
		}
		if why := policy.Conflict(e.policy, p); why != "" {
			return fmt.Sprintf("overlaps the policy of %s, and %s", e.policy.CommonKeys().Dir, why)
		}
	}
	return ""
}

// write returns the configuration. header are lines of comment at its beginning.
func write(header []string, targets []target) (text []byte, err error) {
	var b strings.Builder
	for _, line := range header {
		comment(&b, "", line)
	}
	some := false
	for _, t := range targets {
		some = some || slices.ContainsFunc(slices.Concat(t.temps, t.logs), func(e entry) bool { return e.policy != nil })
	}
	if some {
		b.WriteString("targets:\n")
	} else {
		err = ErrNothing
	}
	for _, t := range targets {
		if !active(t) && some {
			for _, e := range slices.Concat(t.temps, t.logs) {
				e.write(&b, "  ")
			}
			continue
		}
		if some {
			fmt.Fprintf(&b, "  - name: %s\n", Quote(t.name))
			if t.processes != "" {
				fmt.Fprintf(&b, "    processes: %s\n", t.processes)
			}
		}
		writeList(&b, "temp_dirs", t.temps, some)
		writeList(&b, "logs", t.logs, some)
	}
	return []byte(b.String()), err
}

// active reports whether a target has a policy.
func active(t target) bool {
	return slices.ContainsFunc(slices.Concat(t.temps, t.logs), func(e entry) bool { return e.policy != nil })
}

func writeList(b *strings.Builder, key string, entries []entry, some bool) {
	if some && slices.ContainsFunc(entries, func(e entry) bool { return e.policy != nil }) {
		fmt.Fprintf(b, "    %s:\n", key)
	}
	for i := range entries {
		entries[i].write(b, "      ")
	}
}

func (e *entry) write(b *strings.Builder, indent string) {
	for _, c := range e.comments {
		comment(b, indent, c)
	}
	if e.policy != nil {
		b.WriteString(indent + "- {" + strings.Join(e.keys, ", ") + "}\n")
	}
}

func comment(b *strings.Builder, indent, text string) {
	b.WriteString(indent + "# " + strings.Map(printable, text) + "\n")
}

func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}

// plain is what YAML reads as the same text without quotes.
var plain = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./+-]*$`)

// Quote writes a YAML string.
func Quote(s string) string {
	switch {
	case plain.MatchString(s) && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}, strings.ToLower(s)):
		return s
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Sprintf("%q", s) // the escapes of Go are those of YAML
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

func quoteAll(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = Quote(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// literal returns the glob that matches a text and nothing else.
func literal(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}

// isGlob reports whether a path has wildcards.
func isGlob(p string) bool { return strings.ContainsAny(p, `*?[`) }

// glob writes a glob of glob(7) as one of ours: [!a] is [^a] here. ok is false where that cannot be done.
func glob(p string) (out string, ok bool) {
	out = strings.ReplaceAll(p, "[!", "[^")
	_, err := path.Match(out, "x")
	return out, err == nil && !strings.Contains(out, "[[:")
}
