package policy

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// exclude is a compiled list of globs on paths relative to the root. A glob without a slash is one on a name
// at any depth (./ before it makes it one on a name in the root), a slash at its end makes it one for folders,
// and ** stands for any number of folders, as in .gitignore. What lies in an excluded folder is excluded, and is not walked.
type exclude struct {
	paths []pathGlob
	files bool // one of them may match a file
}

// pathGlob is one of them.
type pathGlob struct {
	steps   []step
	folders bool // matches folders only
	atLeast int  // names that a path has to have
	deeper  bool // it may have more
}

// step is one name of a path: a glob, or ** in place of any number of names.
type step struct {
	any  bool
	glob glob
}

func compileExclude(patterns []string) (exclude, error) {
	var e exclude
	for _, p := range patterns {
		g, err := compilePath(p)
		if err != nil {
			return exclude{}, err
		}
		e.paths = append(e.paths, g)
		e.files = e.files || !g.folders
	}
	return e, nil
}

func compilePath(p string) (g pathGlob, err error) {
	p, here := strings.CutPrefix(p, "./")
	rest, folders := strings.CutSuffix(p, "/")
	for strings.HasSuffix(rest, "/**") { // all that is in a folder
		rest, folders = strings.TrimSuffix(rest, "/**"), true
	}
	g.folders = folders
	if !here && !strings.Contains(strings.TrimSuffix(p, "/"), "/") {
		rest = "**/" + rest
	}
	for name := range strings.SplitSeq(rest, "/") {
		if name == "**" {
			if n := len(g.steps); n == 0 || !g.steps[n-1].any {
				g.steps = append(g.steps, step{any: true})
			}
			g.deeper = true
			continue
		}
		if _, err := path.Match(name, "x"); err != nil || name == "" {
			return g, &badGlobError{p}
		}
		g.steps = append(g.steps, step{glob: compileGlob(name)})
		g.atLeast++
	}
	return g, nil
}

// folder reports whether a sub-folder is excluded, none above it being so.
func (e *exclude) folder(in *dirscan.Folder, name []byte) bool { return e.match(in, name, true) }

// file reports whether a file is excluded that lies in no excluded folder.
func (e *exclude) file(in *dirscan.Folder, name []byte) bool {
	return e.files && e.match(in, name, false)
}

func (e *exclude) match(in *dirscan.Folder, name []byte, folder bool) bool {
	names, deep := in.Depth()+1, false
	for i := range e.paths {
		switch g := &e.paths[i]; {
		case g.folders && !folder, names < g.atLeast, names > g.atLeast && !g.deeper:
		case !g.anywhere():
			deep = true
		case g.steps[1].glob.match(name):
			return true
		}
	}
	return deep && e.matchFull(in, name, folder)
}

// matchFull is match by the whole path.
func (e *exclude) matchFull(in *dirscan.Folder, name []byte, folder bool) bool {
	var room [256]byte
	full := append(in.AppendPath(room[:0]), name...)
	for i := range e.paths {
		if g := &e.paths[i]; (folder || !g.folders) && !g.anywhere() && matchSteps(g.steps, full) {
			return true
		}
	}
	return false
}

// anywhere reports whether a glob is one on a name at any depth.
func (g *pathGlob) anywhere() bool { return len(g.steps) == 2 && g.steps[0].any }

// within reports whether a folder, by its path relative to the root, or one above it is excluded.
func (e *exclude) within(folder string) bool {
	for end := 0; end < len(folder); {
		if next := strings.IndexByte(folder[end+1:], '/'); next >= 0 {
			end += next + 1
		} else {
			end = len(folder)
		}
		for i := range e.paths {
			if matchSteps(e.paths[i].steps, []byte(folder[:end])) {
				return true
			}
		}
	}
	return false
}

// matchSteps reports whether a path, without a slash at its ends, is one that the steps describe. After
// a ** it is enough to go back to the last one.
func matchSteps(steps []step, full []byte) bool {
	at, again, from := 0, -1, 0 // the step; the one after the last **, and where in the path it began
	for pos := 0; pos < len(full); {
		if at < len(steps) && steps[at].any {
			at++
			again, from = at, pos
			continue
		}
		end := nameEnd(full, pos)
		if at < len(steps) && steps[at].glob.match(full[pos:min(end, len(full))]) {
			at, pos = at+1, end+1
			continue
		}
		if again < 0 {
			return false
		}
		from = nameEnd(full, from) + 1
		at, pos = again, from
	}
	return at == len(steps)
}

// nameEnd returns where the name ends that begins at pos.
func nameEnd(full []byte, pos int) int {
	if i := bytes.IndexByte(full[pos:], '/'); i >= 0 {
		return pos + i
	}
	return len(full)
}

// checkExclude reports globs on paths that would not do what they seem to.
func (c *Common) checkExclude(report report.Func) {
	for i, p := range c.Exclude {
		key := fmt.Sprintf("exclude[%d]", i)
		names := strings.Split(strings.TrimSuffix(strings.TrimPrefix(p, "./"), "/"), "/")
		switch {
		case p == "":
			report(key, "is empty: write a folder or a path below dir, such as 'models/' or '**/*.lock'")
		case strings.HasPrefix(p, "!"):
			report(key, "%q would take something back from exclude, which cannot be done: write only what is excluded, or \\! for a name that begins so", p)
		case strings.HasPrefix(p, "/"):
			report(key, "%q is absolute: write it as it is below dir, %q", p, belowDir(c.Dir, p))
		case strings.Trim(strings.TrimPrefix(p, "./"), "*/") == "" && !strings.HasSuffix(p, "*/"):
			report(key, "%q excludes everything: remove the policy in place of this", p)
		case slices.ContainsFunc(names, func(name string) bool { return name == "" || name == "." || name == ".." }):
			report(key, "%q is not clean: write %q", p, strings.TrimLeft(path.Clean("/"+p), "/"))
		default:
			for _, name := range names {
				checkGlob(report, key, name)
			}
		}
	}
}

// belowDir returns what an absolute path is below a folder.
func belowDir(dir, full string) string {
	if inside(dir, full) {
		full = strings.TrimPrefix(full, strings.TrimSuffix(dir, "/"))
	}
	return strings.TrimLeft(full, "/")
}
