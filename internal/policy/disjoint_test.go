package policy

import (
	"slices"
	"strings"
	"testing"
)

// TestLetters: few bytes are tried, and each byte that is not leads to where one that is has led, whatever was read before.
func TestLetters(t *testing.T) {
	const most = 12 // of 254, with which the second pair took half a minute
	f := func(globs ...string) {
		t.Helper()
		var all [][]token
		for _, g := range globs {
			all = append(all, tokens(g))
		}
		tried := letters(all)
		if len(tried) > most {
			t.Errorf("%.60q: %d bytes are tried at each step, want at most %d", globs, len(tried), most)
		}
		n := node{states: make([]state, len(all))}
		for i := range all {
			n.states[i] = start(all[i])
			for at := range all[i] {
				n.states[i].enter(all[i], at)
			}
		}
		for _, b := range alphabet() {
			to := n.by(all, b)
			if !slices.ContainsFunc(tried, func(c byte) bool { return slices.Equal(n.by(all, c).states, to.states) }) {
				t.Errorf("%.60q: no byte that is tried leads to where %q leads", globs, b)
			}
		}
	}
	f("*", "*.log")
	f(strings.Repeat("*a", 100), strings.Repeat("*b", 100))
	f(strings.Repeat("*[ab]?", 60)+"x", strings.Repeat("*[bc]?", 60)+"y")
	f("[a-z]*é", "?[^0-9]*", "*.tmp")
	f(".*", "*x")
}
