package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

const (
	maxDepth      = 64
	maxKeepNewest = 10_000
)

// ByEntry reports whether the policy needs entries: something else than each file by itself goes, or
// stays because of the others.
func (c *Common) ByEntry() bool {
	return c.EntriesAreDirs() || c.Group != "" || c.KeepNewest > 0 || c.LinksInto != ""
}

// EntriesAreDirs reports whether each entry is a directory.
func (c *Common) EntriesAreDirs() bool { return c.Entry == EntryDir }

// manyFiles reports whether an entry may have several files.
func (c *Common) manyFiles() bool { return c.EntriesAreDirs() || c.Group != "" }

// EntryNoun returns what the policy's entries are called when there are several.
func (c *Common) EntryNoun() string {
	if c.manyFiles() {
		return "entries"
	}
	return "files"
}

// SelectFile returns which files count by their names: all in a directory that is an entry, and those that
// names selects elsewhere.
func (c *Common) SelectFile(names *Names) func(name []byte) bool {
	if c.EntriesAreDirs() {
		return func([]byte) bool { return true }
	}
	return names.Select
}

// Grouper returns what gives the name of the entry that a file of a folder belongs to, a part of the file's
// name; nil where each file is an entry of its own. Validate has refused what would fail here.
func (c *Common) Grouper() (func(name []byte) []byte, error) {
	switch c.Group {
	case "":
		return nil, nil
	case GroupStem:
		return stem, nil
	}
	expression, err := compileGroup(c.Group)
	if err != nil {
		return nil, err
	}
	return func(name []byte) []byte {
		if at := expression.FindSubmatchIndex(name); at != nil && at[2] < at[3] {
			return name[at[2]:at[3]]
		}
		return name
	}, nil
}

// stem returns a name up to its first dot. A dot at its beginning is a part of it.
func stem(name []byte) []byte {
	if len(name) == 0 {
		return name
	}
	if i := bytes.IndexByte(name[1:], '.'); i >= 0 {
		return name[:i+1]
	}
	return name
}

func compileGroup(text string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(text); err != nil { // of the text as it was written
		return nil, fmt.Errorf("%q is not a regular expression: %w", text, err)
	}
	expression, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		return nil, fmt.Errorf("%q is not a regular expression: %w", text, err)
	}
	switch n := expression.NumSubexp(); {
	case n == 0:
		return nil, fmt.Errorf(`%q has no group: put parentheses around what the files of an entry have in common, such as '(.+)\.part\d+', or write stem`, text)
	case n > 1:
		return nil, fmt.Errorf(`%q has %d groups: leave one, and write (?: for the others`, text, n)
	}
	return expression, nil
}

func (c *Common) entryDefaults() {
	c.Entry = cmp.Or(c.Entry, EntryFile)
	if c.EntriesAreDirs() {
		c.Depth = cmp.Or(c.Depth, 1)
	}
	if c.manyFiles() {
		c.LinksInto = cmp.Or(c.LinksInto, LinksIntoKeep)
	}
}

// checkEntries reports mistakes in the keys of entries, after their defaults were applied.
func (c *Common) checkEntries(report report.Func) {
	choose(report, "entry", c.Entry, EntryFile, EntryDir)
	choose(report, "links_into", c.LinksInto, LinksIntoKeep, LinksIntoRemove)
	switch {
	case !c.EntriesAreDirs() && c.Depth != 0:
		report("depth", "is for entry: dir: write that too, or remove the key")
	case c.Depth < 0 || c.Depth > maxDepth:
		report("depth", "%d is out of range: write 1 for the directories right below dir, or up to %d", c.Depth, maxDepth)
	}
	if c.EntriesAreDirs() && !c.IsRecursive() {
		report("recursive", "false contradicts entry: dir, which takes each directory with all that is in it: remove one of the two keys")
	}
	if c.EntriesAreDirs() && c.Group != "" {
		report("group", "joins files, and with entry: dir an entry is a directory: remove one of the two keys")
	} else if c.Group != "" && c.Group != GroupStem {
		if _, err := compileGroup(c.Group); err != nil {
			report("group", "%s", strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
	if c.KeepNewest < 0 || c.KeepNewest > maxKeepNewest {
		report("keep_newest", "%d is out of range: write a number of entries up to %d, or remove the key", c.KeepNewest, maxKeepNewest)
	}
}

// countsFiles reports that a key, which is about files, does not go together with entries of several.
func (c *Common) countsFiles(report report.Func, key string, set bool, instead string) {
	if !set || !c.manyFiles() {
		return
	}
	with := "group"
	if c.EntriesAreDirs() {
		with = "entry: dir"
	}
	report(key, "is about single files, and with %s an entry may have several: %s", with, instead)
}

// logsAreFiles refuses the keys of entries for logs.
func (c *Common) logsAreFiles(report report.Func) {
	for _, k := range []struct {
		key string
		set bool
	}{
		{"entry", c.EntriesAreDirs()},
		{"group", c.Group != ""},
		{"keep_newest", c.KeepNewest != 0},
		{"links_into", c.LinksInto == LinksIntoRemove || c.LinksInto != "" && !c.manyFiles()},
	} {
		if k.set {
			report(k.key, "is not for logs, which are rotated one by one: remove the key")
		}
	}
}
