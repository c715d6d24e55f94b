package policy

import (
	"encoding/binary"
	"path"
	"strings"
	"unicode/utf8"
)

// Two globs share a name when one automaton that reads both accepts one. It works on bytes, since path.Match
// lets a * end within a character: a ? or a class is one ASCII byte that it matches, or any number of
// others, which is more than it matches. So what is found disjoint is, and what is not may be.

// token is a part of a glob.
type token struct {
	star  bool
	bytes [256]bool
	more  bool // and any number of bytes that are not ASCII
}

// tokens takes a glob apart that path.Match accepts.
func tokens(p string) []token {
	var out []token
	for len(p) > 0 {
		var t token
		switch p[0] {
		case '*':
			t.star, p = true, p[1:]
		case '?':
			t, p = tokenOf("?"), p[1:]
		case '[':
			size := classSize(p)
			t, p = tokenOf(p[:size]), p[size:]
		case '\\':
			t.bytes[p[1]], p = true, p[2:]
		default:
			t.bytes[p[0]], p = true, p[1:]
		}
		out = append(out, t)
	}
	return out
}

// tokenOf asks path.Match what one ? or class matches.
func tokenOf(class string) token {
	t := token{more: class == "?" || class[1] == '^' || strings.ContainsFunc(class, func(r rune) bool { return r >= utf8.RuneSelf })}
	for b := range t.bytes {
		if t.bytes[b] = t.more; b < utf8.RuneSelf {
			t.bytes[b], _ = path.Match(class, string(rune(b)))
		}
	}
	return t
}

// classSize returns the length of the class that p begins with: the first ] that is not escaped ends it.
func classSize(p string) int {
	for i := 1; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case ']':
			return i + 1
		}
	}
	return len(p)
}

// state are the tokens of a glob that may come next, as bits; a glob has at most 255 bytes that matter.
type state [4]uint64

func (s *state) set(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *state) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// longestGlob bounds what is compared: no name is longer.
const longestGlob = 255

// start returns where a glob begins.
func start(tokens []token) (s state) {
	s.enter(tokens, 0)
	return s
}

// enter adds a token, and those behind it that need nothing.
func (s *state) enter(tokens []token, i int) {
	s.set(i)
	for i < len(tokens) && tokens[i].star {
		i++
		s.set(i)
	}
}

func (s *state) accepts(tokens []token) bool { return s.has(len(tokens)) }

// next returns where a byte leads.
func (s *state) next(tokens []token, b byte) (to state) {
	for i := range tokens {
		if !s.has(i) {
			continue
		}
		t := &tokens[i]
		switch {
		case t.star:
			to.enter(tokens, i)
		case t.bytes[b]:
			to.enter(tokens, i+1)
			if t.more && b >= utf8.RuneSelf {
				to.set(i)
			}
		}
	}
	return to
}

// readable are the bytes that are tried first, so that a name is found that people can read.
const readable = "abcdefghijklmnopqrstuvwxyz0123456789._-ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// alphabet returns the bytes that a name may have, in the order in which they are tried.
func alphabet() []byte {
	out := []byte(readable)
	for b := 1; b < 256; b++ {
		if b != '/' && strings.IndexByte(readable, byte(b)) < 0 {
			out = append(out, byte(b))
		}
	}
	return out
}

// letters returns one byte for all that every glob reads in the same way, the first of the alphabet: any other leads to
// where that one has led.
func letters(all [][]token) []byte {
	var out []byte
	seen := make(map[string]bool)
	var reads []byte
	for _, b := range alphabet() {
		reads = append(reads[:0], boolByte(b == '.'), boolByte(b >= utf8.RuneSelf))
		for _, tokens := range all {
			for i := range tokens {
				reads = append(reads, boolByte(tokens[i].bytes[b]))
			}
		}
		if !seen[string(reads)] {
			seen[string(reads)] = true
			out = append(out, b)
		}
	}
	return out
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// mostStates bounds a search; beyond it nothing is proved.
const mostStates = 20_000

// common returns a name that both globs match and none of keep does. ok is false when there is none; the
// name may be one that they nearly match. Globs of keep count that are read exactly here: those of characters and *.
func common(p, q string, keep []string) (name string, ok bool) {
	if isDotted(p) != isDotted(q) {
		return "", false
	}
	all := [][]token{tokens(p), tokens(q)}
	for _, k := range keep {
		if !strings.ContainsAny(k, "?[") {
			all = append(all, tokens(k))
		}
	}
	for _, t := range all {
		if len(t) > longestGlob {
			return p, true
		}
	}
	return search(all, isDotted(p))
}

// node is a name and where it has led each glob.
type node struct {
	states []state
	name   string
}

// search returns the shortest name that the first two globs accept and the others do not.
func search(all [][]token, dotted bool) (name string, ok bool) {
	first := node{states: make([]state, len(all))}
	for i, t := range all {
		first.states[i] = start(t)
	}
	tried := letters(all)
	seen := make(map[string]bool) // by names that are not empty
	for queue := []node{first}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if len(at.name) > 0 && at.states[0].accepts(all[0]) && at.states[1].accepts(all[1]) && !keptIn(at.states, all) {
			return at.name, true
		}
		for _, b := range tried {
			if at.name == "" && (b == '.') != dotted {
				continue
			}
			to := at.by(all, b)
			k := key(to.states)
			switch {
			case to.states[0] == (state{}) || to.states[1] == (state{}) || seen[k]:
				continue
			case len(seen) >= mostStates:
				return to.name, true
			}
			seen[k] = true
			queue = append(queue, to)
		}
	}
	return "", false
}

// by returns where a byte leads.
func (n *node) by(all [][]token, b byte) node {
	to := node{make([]state, len(all)), n.name + string([]byte{b})}
	for i, t := range all {
		to.states[i] = n.states[i].next(t, b)
	}
	return to
}

// keptIn reports whether one of the globs after the first two accepts.
func keptIn(states []state, all [][]token) bool {
	for i := 2; i < len(all); i++ {
		if states[i].accepts(all[i]) {
			return true
		}
	}
	return false
}

func key(states []state) string {
	out := make([]byte, 0, len(states)*32)
	for _, s := range states {
		for _, word := range s {
			out = binary.NativeEndian.AppendUint64(out, word)
		}
	}
	return string(out)
}

// meets reports whether two globs may share a name.
func meets(p, q string) bool {
	if _, err := path.Match(p, "x"); err != nil {
		return true
	}
	_, ok := common(p, q, nil)
	return ok
}
