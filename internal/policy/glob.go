package policy

import (
	"bytes"
	"path"
	"strings"
	"unsafe"
)

// Globs is a compiled list of globs on a file's name. The semantics are those of path.Match; the
// forms that configurations really use (a literal, *.ext, prefix*, *) are matched on bytes
// without an allocation, names that are not UTF-8 included.
type Globs struct{ globs []glob }

type glob struct {
	kind globKind
	text []byte
	full string
}

type globKind uint8

const (
	globLiteral globKind = iota
	globAny
	globSuffix
	globPrefix
	globFull
)

// CompileGlobs compiles patterns. The error is path.ErrBadPattern with the pattern.
func CompileGlobs(patterns []string) (Globs, error) {
	out := Globs{globs: make([]glob, 0, len(patterns))}
	for _, p := range patterns {
		if _, err := path.Match(p, "x"); err != nil {
			return Globs{}, &badGlobError{p}
		}
		out.globs = append(out.globs, compileGlob(p))
	}
	return out, nil
}

type badGlobError struct{ pattern string }

func (e *badGlobError) Error() string { return "bad glob " + e.pattern }
func (e *badGlobError) Unwrap() error { return path.ErrBadPattern }

func compileGlob(p string) glob {
	const special = `*?[\`
	switch {
	case p == "*":
		return glob{kind: globAny}
	case !strings.ContainsAny(p, special):
		return glob{kind: globLiteral, text: []byte(p)}
	case p[0] == '*' && !strings.ContainsAny(p[1:], special):
		return glob{kind: globSuffix, text: []byte(p[1:])}
	case p[len(p)-1] == '*' && !strings.ContainsAny(p[:len(p)-1], special):
		return glob{kind: globPrefix, text: []byte(p[:len(p)-1])}
	}
	return glob{kind: globFull, full: p}
}

// Match reports whether any of the globs matches a file's name.
func (g *Globs) Match(name []byte) bool {
	for i := range g.globs {
		if g.globs[i].match(name) {
			return true
		}
	}
	return false
}

func (p *glob) match(name []byte) bool {
	switch p.kind {
	case globAny:
		return true
	case globLiteral:
		return bytes.Equal(p.text, name)
	case globSuffix:
		return bytes.HasSuffix(name, p.text)
	case globPrefix:
		return bytes.HasPrefix(name, p.text)
	}
	ok, _ := path.Match(p.full, unsafe.String(unsafe.SliceData(name), len(name))) // keeps nothing of it
	return ok
}
