package policy

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// checkGlobs reports globs on names that would not do what they seem to.
func (c *Common) checkGlobs(report report.Func, key string, globs []string) {
	for i, g := range globs {
		k := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case g == "":
			report(k, "is empty: write a glob on a file name, such as *.tmp")
		case strings.Contains(g, "/") && key == "keep":
			report(k, "%q names a folder, and keep is for file names: write it under exclude, as %q", g, belowDir(c.Dir, g))
		case strings.Contains(g, "/"):
			report(k, "%q holds a slash, and globs of include match file names only: %s", g, c.insteadOf(g))
		default:
			checkGlob(report, k, g)
		}
	}
}

// insteadOf says how to write what a glob with a slash takes, and never anything that takes more.
func (c *Common) insteadOf(g string) string {
	const wild = `*?[\`
	below := strings.TrimPrefix(belowDir(c.Dir, g), "./")
	folder, name := path.Split(below)
	name = cmp.Or(name, "*")
	anyDepth := false
	if name == "**" {
		name, anyDepth = "*", true
	}
	for strings.HasSuffix(folder, "**/") {
		folder, anyDepth = strings.TrimSuffix(folder, "**/"), true
	}
	if strings.ContainsAny(folder, wild) || strings.Contains(folder, "..") || c.Dir == "" {
		return "write a policy for each folder that is meant, with its path as dir, or exclude what is not"
	}
	switch full := path.Join(c.Dir, folder); {
	case strings.HasPrefix(g, "/") && !inside(c.Dir, g):
		return fmt.Sprintf("write dir: %s and include: ['%s'], in a policy of its own", path.Clean(path.Dir(g)), name)
	case folder == "" && anyDepth:
		return fmt.Sprintf("write '%s', which holds in sub-folders too", name)
	case folder == "":
		return fmt.Sprintf("write '%s', and recursive: false", name)
	case anyDepth:
		return fmt.Sprintf("write dir: %s and include: ['%s'], or exclude the other folders", full, name)
	default:
		return fmt.Sprintf("write dir: %s, include: ['%s'] and recursive: false, or exclude the other folders", full, name)
	}
}

// checkGlob refuses what path.Match accepts and other programs understand in another way: it would match
// nothing, or the wrong files, without a word.
func checkGlob(report report.Func, key, glob string) {
	switch _, err := path.Match(glob, "x"); {
	case err != nil:
		report(key, "%q is not a glob: close the bracket, or put \\ before a character that is meant literally", glob)
	case negated.MatchString(glob):
		report(key, "%q has [!, which does not mean \"none of\" here: write [^, or the ! last in the brackets when it is meant literally", glob)
	case expression.MatchString(glob):
		report(key, "%q is a regular expression and not a glob: write * for any characters, such as *.tmp", glob)
	default:
		if each := alternatives(glob); each != nil {
			report(key, "%q is several globs in one, which match no file: write each on its own, '%s'", glob, strings.Join(each, "', '"))
		}
	}
}

var (
	braces     = regexp.MustCompile(`(?:^|[^\\])\{([^{}]*,[^{}]*)\}`)
	negated    = regexp.MustCompile(`(?:^|[^\\])\[!`)
	expression = regexp.MustCompile(`^\^.*[*?]|\.\*\\\.|^\.\+|\*.*\$$`)
	separators = regexp.MustCompile(`\s*[|,;]\s*|\s+`)
)

// alternatives returns the globs that one glob with braces or separators may have been meant as, nil when
// it has none.
func alternatives(glob string) []string {
	if at := braces.FindStringSubmatchIndex(glob); at != nil {
		var out []string
		for part := range strings.SplitSeq(glob[at[2]:at[3]], ",") {
			out = append(out, glob[:at[2]-1]+strings.TrimSpace(part)+glob[at[3]+1:])
		}
		return out
	}
	parts := separators.Split(glob, -1)
	for _, part := range parts {
		if !strings.Contains(part, "*") {
			return nil
		}
	}
	if len(parts) < 2 {
		return nil
	}
	return parts
}
