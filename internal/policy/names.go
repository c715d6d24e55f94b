package policy

import (
	"bytes"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// Names decide which files of a folder belong to its policy, by their names and by where they lie.
type Names struct {
	plain, dotted Globs // include: a name that begins with a dot is matched by the dotted ones only, as in a shell
	keep          Globs
	general       bool  // a glob of include names nothing but wildcards
	named         Globs // the others
	index         Globs // those of include that speak of an index
	mayIndex      bool  // one that does not may match an index
	exclude       exclude
}

// Compile compiles the globs; Validate has refused what would fail here.
func (c *Common) Compile() (*Names, error) {
	n := &Names{}
	var plain, dotted, named, index []string
	for _, p := range c.Include {
		if isDotted(p) {
			dotted = append(dotted, p)
		} else {
			plain = append(plain, p)
		}
		if isGeneral(p) {
			n.general = true
		} else {
			named = append(named, p)
		}
		if strings.Contains(p, indexMark) {
			index = append(index, p)
		} else if meets(p, "*"+indexSuffix) || meets(p, ".*"+indexSuffix) {
			n.mayIndex = true
		}
	}
	for _, list := range []struct {
		into  *Globs
		globs []string
	}{{&n.plain, plain}, {&n.dotted, dotted}, {&n.keep, c.Keep}, {&n.named, named}, {&n.index, index}} {
		compiled, err := CompileGlobs(list.globs)
		if err != nil {
			return nil, err
		}
		*list.into = compiled
	}
	var err error
	n.exclude, err = compileExclude(c.Exclude)
	return n, err
}

// isDotted reports whether a glob begins with a dot that is written out.
func isDotted(p string) bool { return strings.HasPrefix(p, ".") || strings.HasPrefix(p, `\.`) }

// isGeneral reports whether a glob says nothing of a name but that it begins with a dot.
func isGeneral(p string) bool { return strings.Trim(strings.TrimPrefix(p, "."), "*?") == "" }

// Select reports whether a name is included and not kept. Except may say that the file stays all the
// same because of where it lies.
func (n *Names) Select(name []byte) bool {
	return n.includes(name) && !n.keep.Match(name) && !n.reserves(name)
}

func (n *Names) includes(name []byte) bool {
	if len(name) > 0 && name[0] == '.' {
		return n.dotted.Match(name)
	}
	return n.plain.Match(name)
}

// reserves reports whether a name is one that programs use to keep their books, and include does not name it.
func (n *Names) reserves(name []byte) bool {
	return n.general && isBookkeeping(name) && !n.named.Match(name)
}

// Kept reports whether a name would be included if it were not kept: by keep, because it begins with a
// dot, or because programs use it to keep their books.
func (n *Names) Kept(name []byte) bool {
	if len(name) > 0 && name[0] == '.' && !n.dotted.Match(name) {
		return n.plain.Match(name)
	}
	return n.includes(name) && (n.keep.Match(name) || n.reserves(name))
}

// Reserved reports whether a name is kept because of its looks, and not by keep.
func (n *Names) Reserved(name []byte) bool { return n.Kept(name) && !n.keep.Match(name) }

// IsIndex reports whether a selected name stays in the root, as that of a cache's own index.
func (n *Names) IsIndex(name []byte) bool {
	return n.mayIndex && bytes.HasSuffix(name, []byte(indexSuffix)) && !n.index.Match(name)
}

// Except returns what reports whether a selected file stays all the same: excluded by its path, or the
// index of a cache in its root. It is nil where that can be no file.
func (n *Names) Except() func(in *dirscan.Folder, name []byte) bool {
	if !n.mayIndex && !n.exclude.files {
		return nil
	}
	return func(in *dirscan.Folder, name []byte) bool {
		return in.Depth() == 0 && n.IsIndex(name) || n.exclude.file(in, name)
	}
}

// SkipFolder reports whether a folder of a walk is not entered: it is excluded, or the holding folder of
// strict removals.
func (n *Names) SkipFolder(in *dirscan.Folder, name []byte) bool {
	return SkipFolder(in, name) || n.exclude.folder(in, name)
}

// KeepsFolder reports whether an empty folder stays, by its path relative to the root: because of its name, or
// excluded, as one that lies in an excluded folder is.
func (n *Names) KeepsFolder(path []byte) bool {
	name := path[bytes.LastIndexByte(path, '/')+1:]
	return n.keep.Match(name) || isBookkeeping(name) && !n.named.Match(name) || n.exclude.within(string(path))
}
