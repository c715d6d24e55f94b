package container

import (
	"errors"
	"strings"
)

// CheckGlob says what is wrong with a pattern for Match.
func CheckGlob(pattern string) error {
	if strings.ContainsAny(pattern, `[]{}\`) {
		return errors.New("has a character that means nothing here: write a name with * for any characters and ? for one")
	}
	return nil
}

// Match reports whether a whole name fits a pattern: * stands for any characters, slashes included, and
// ? for one.
func Match(pattern, name string) bool {
	star, mark := -1, 0 // where to go on from when what follows the last * does not fit
	p := 0
	for n := 0; n < len(name); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p, n = p+1, n+1
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
