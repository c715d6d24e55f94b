package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a config file.
type Error struct {
	File string
	Line int    // 1-based; 0 when the mistake has no place in the file
	Key  string // path of the key: targets[0].caches[1].max_bytes
	Msg  string // what is wrong and what to write instead
}

// Error implements error: "spillway.yml:12: targets[0].caches[1].max_bytes: ...".
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Errors are all the mistakes of a config, in the order of their lines.
type Errors []Error

// Error implements error with one mistake a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b Error) int { return cmp.Compare(a.Line, b.Line) })
	return e
}
