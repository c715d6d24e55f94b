package evidence

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// Bounds of names that a target gives.
const (
	mostNameBytes = 160
	mostRawBytes  = 4 << 10 // of a name before it is cut: patterns work on this much
	mostPatterns  = 32
)

const redacted = "[redacted]"

// secrets are what stands for a value and not for a name, as in a function that is called by the key under
// which it was stored: tokens of three parts, long hexadecimal numbers, long mixtures of letters and digits.
var secrets = regexp.MustCompile(`eyJ[\w-]{8,}(?:\.[\w-]+){1,2}|\b(?:sk|pk|ghp|gho|xox[abp]|AKIA)[-_]?[A-Za-z0-9_-]{12,}|\b[0-9a-fA-F]{20,}\b|\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b|[\w.+-]+@[\w-]+\.[\w.]+`)

// mixture finds long words, of which those with many digits are not names.
var mixture = regexp.MustCompile(`[A-Za-z0-9+/=_-]{24,}`)

// addressed is the part of the name of a Java class that changes with each start.
var addressed = regexp.MustCompile(`(?:/|\+)?0x[0-9a-fA-F]{6,}`)

// Redactor cleans names and hides what its patterns match. A nil Redactor hides what always is hidden.
type Redactor struct{ patterns []*regexp.Regexp }

// NewRedactor returns a Redactor of regular expressions, each of which hides what it matches.
func NewRedactor(patterns []string) (*Redactor, error) {
	if len(patterns) > mostPatterns {
		return nil, fmt.Errorf("has %d patterns: write at most %d", len(patterns), mostPatterns)
	}
	r := &Redactor{}
	for _, p := range patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("%q is not a regular expression (%w): write one such as tenant_[a-z]+", p, err)
		}
		if re.MatchString("") {
			return nil, fmt.Errorf("%q matches an empty text too: write a pattern that needs at least one character", p)
		}
		r.patterns = append(r.patterns, re)
	}
	return r, nil
}

// name returns a name that can be shown anywhere.
func (r *Redactor) name(s string) string {
	s = printable(s)
	s = addressed.ReplaceAllString(s, "")
	s = r.hide(s)
	if s == "" {
		return "(anonymous)"
	}
	return cut(s)
}

// file returns the last parts of a path: enough to find it in the code, and nothing of where that lies.
func (r *Redactor) file(s string) string {
	if s == "" {
		return ""
	}
	if scheme, _, ok := strings.Cut(s, ":"); ok && (scheme == "data" || scheme == "blob" || scheme == "javascript") {
		return scheme + ":" // the rest is the code itself
	}
	s = printable(s)
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	s = strings.ReplaceAll(s, `\`, "/")
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
		if scheme != "file" { // the host, and who is named before it
			if _, p, ok := strings.Cut(rest, "/"); ok {
				s = p
			}
		}
	}
	if i := strings.LastIndex(s, "node_modules/"); i >= 0 {
		return cut(r.hide(s[i:]))
	}
	dir, base := path.Split(s)
	if parent := path.Base(dir); dir != "" && parent != "/" && parent != "." {
		base = parent + "/" + base
	}
	return cut(r.hide(base))
}

// hide replaces what the patterns match.
func (r *Redactor) hide(s string) string {
	if r != nil {
		for _, re := range r.patterns {
			s = re.ReplaceAllLiteralString(s, redacted)
		}
	}
	s = secrets.ReplaceAllLiteralString(s, redacted)
	return mixture.ReplaceAllStringFunc(s, func(word string) string {
		if numbersIn(word) < 3 {
			return word
		}
		return redacted
	})
}

// numbersIn counts the numbers in a word: names have few.
func numbersIn(s string) (n int) {
	within := false
	for i := range len(s) {
		digit := s[i] >= '0' && s[i] <= '9'
		if digit && !within {
			n++
		}
		within = digit
	}
	return n
}

// printable replaces what is not a visible character, and what would change the direction of the text.
func printable(s string) string {
	if len(s) > mostRawBytes {
		s = s[:mostRawBytes]
	}
	s = strings.Map(func(c rune) rune {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, " "))
	return strings.Join(strings.Fields(s), " ")
}

func cut(s string) string {
	if len(s) <= mostNameBytes {
		return s
	}
	return strings.ToValidUTF8(s[:mostNameBytes-3], "") + "..."
}
