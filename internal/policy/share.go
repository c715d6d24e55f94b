package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Conflict says why two policies may not have their folders at the same time, and what to write: they could both take the same
// file, or would disturb each other. It is "" where that is ruled out, whatever the files are called: by
// the folders, by recursive and exclude of the outer one, or by the globs on names.
func Conflict(a, b Policy) (why string) {
	x, y := a.CommonKeys(), b.CommonKeys()
	same, outer, inner, apart := x.against(y)
	switch {
	case apart:
		return ""
	case !same && (!outer.IsRecursive() || outer.excludes(inner.Dir)):
		return ""
	case x.Strict || y.Strict:
		return "strict: true needs a folder of its own: write separate directories, or remove strict"
	}
	keep := slices.Concat(keeps(a), keeps(b))
	for _, p := range takes(a, b) {
		for _, q := range takes(b, a) {
			if name, ok := common(p, q, keep); ok {
				return fmt.Sprintf("a file %q in it could belong to both: write include so that no name matches both, name the inner folder in exclude of the outer policy, or write separate directories", name)
			}
		}
	}
	return ""
}

// against returns how the folders of two policies lie to each other: the same, the one in the other, or
// apart. Volumes are compared by their names. A folder that is the host's after all is found out when it is opened.
func (c *Common) against(o *Common) (same bool, outer, inner *Common, apart bool) {
	switch {
	case c.Volume != "" || o.Volume != "":
		return c.Volume == o.Volume, nil, nil, c.Volume != o.Volume
	case c.Foreign() != o.Foreign():
		return false, nil, nil, true
	}
	switch a, b := filepath.Clean(c.Dir), filepath.Clean(o.Dir); {
	case a == b:
		return true, nil, nil, false
	case inside(a, b):
		return false, c, o, false
	case inside(b, a):
		return false, o, c, false
	}
	return false, nil, nil, true
}

// excludes reports whether a folder below the policy's is not walked because of exclude.
func (c *Common) excludes(dir string) bool {
	e, err := compileExclude(c.Exclude)
	return err == nil && e.within(belowDir(c.Dir, dir))
}

// rotatedForms returns what RotatedName adds to the name of a log, as globs.
func rotatedForms() []string {
	const digit, mostDigits = "[0-9]", 6 // of rotations in one second
	stamp := "." + strings.Repeat(digit, 8) + "T" + strings.Repeat(digit, 6) + "Z"
	out := []string{stamp, stamp + gzipSuffix}
	for n := 1; n <= mostDigits; n++ {
		serial := stamp + "-" + strings.Repeat(digit, n)
		out = append(out, serial, serial+gzipSuffix)
	}
	return out
}

// takes returns globs for all names that a policy may change, next to another one.
func takes(p, other Policy) []string {
	l, isLog := p.(*Log)
	if !isLog {
		return p.CommonKeys().Include
	}
	var out []string
	for _, glob := range l.Include {
		out = append(out, glob)
		for _, form := range rotatedForms() {
			out = append(out, glob+form)
		}
	}
	if _, both := other.(*Log); !both { // which leaves those that are open
		out = append(out, rotationPrefix+"*"+rotationSuffix)
	}
	return out
}

// keeps returns the globs of keep that hold for whatever a policy may change: those of a log do not hold for
// what has been rotated.
func keeps(p Policy) []string {
	if _, isLog := p.(*Log); isLog {
		return nil
	}
	return p.CommonKeys().Keep
}
