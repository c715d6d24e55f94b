package action

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/entry"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// Why an entry stays that is due, or a file that is none.
const (
	reasonNewest     safefs.Reason = "newest"      // one of keep_newest
	reasonLinked     safefs.Reason = "linked"      // a link points to it, and links_into is keep
	reasonAboveDepth safefs.Reason = "above_depth" // a file above the depth of the entries
)

// stay are the reasons of what the observer does not count as due either.
var stay = []safefs.Reason{reasonNewest, reasonLinked, reasonAboveDepth}

// maxGone bounds how many removed entries are remembered before the links to them are removed.
const maxGone = 1 << 16

// remover is a Remover of the entries of a policy. To who decides, an entry looks like one file: the rules
// of files are those of entries.
type remover struct {
	*safefs.Remover
	by *entries // nil: the entries are the files of a plain scan
}

// entries are the entries of one run. At most one is visited at a time.
type entries struct {
	run    *dirRun
	files  *safefs.Remover
	common *policy.Common
	walker *entry.Walker
	newest entry.Newest[struct{}]
	least  entry.Rank   // that and newer entries stay
	links  *entry.Links // nil = they are not looked at
	gone   map[uint64]struct{}

	at      *entry.Entry       // the entry that is visited
	noted   map[string]noted   // by path: those of the last scan that may go later
	lastUse func([]byte) int64 // of a file by its path; nil = not known
	path    []byte
	members []safefs.Found
	taken   int64 // files of the last entry that went
}

// noted is an entry that may go after its scan.
type noted struct {
	entry.Entry
	folder string
	key    uint64
	file   safefs.Found // of an entry that is one file
}

// useEntries makes the run one over the entries of its policy, where it has such.
func (r *dirRun) useEntries() (err error) {
	c := r.common
	if !c.ByEntry() {
		return nil
	}
	x := &entries{run: r, files: r.remover.Remover, common: c, newest: entry.Newest[struct{}]{Most: c.KeepNewest}, noted: make(map[string]noted)}
	if x.walker, err = entry.NewWalker(entry.Options{Policy: c, Names: r.names, Members: true, File: x.file}); err != nil {
		return err
	}
	if c.LinksInto != "" {
		if x.links, err = entry.NewLinks(c); err != nil {
			return err
		}
		x.gone = make(map[uint64]struct{})
	}
	r.res.Entry = entryKind(c)
	if err := x.survey(); err != nil {
		return fmt.Errorf("look which entries stay: %w", err)
	}
	r.remover.by = x
	return nil
}

// entryKind is what results say of entries that may have several files.
func entryKind(c *policy.Common) string {
	switch {
	case c.EntriesAreDirs():
		return policy.EntryDir
	case c.Group != "":
		return "group"
	}
	return ""
}

// survey finds out which entries stay because of links to them, and which are the newest.
func (x *entries) survey() error {
	if x.common.LinksInto == policy.LinksIntoKeep {
		if err := x.scanLinks(); err != nil {
			return err
		}
		if err := x.links.Turn(); err != nil {
			return err
		}
	}
	if x.newest.Most > 0 {
		o := x.folder()
		o.Select = x.run.names.Select
		_, err := x.files.Scan(x.run.ctx, x.walker.Wrap(o, func(e *entry.Entry) error {
			x.newest.Offer(x.rank(&e.Entry), struct{}{})
			return x.run.ctx.Err()
		}))
		if err != nil {
			return err
		}
	}
	x.least = x.newest.Least()
	return nil
}

// scanLinks reads all links of the folder.
func (x *entries) scanLinks() error {
	o := x.folder()
	o.CountOnly, o.Link = true, x.links.Add
	o.Select = func([]byte) bool { x.run.opts.heart.beat(); return true }
	_, err := x.files.Scan(x.run.ctx, o)
	return err
}

// folder are the options of a scan of the policy's folder.
func (x *entries) folder() dirscan.Options {
	return dirscan.Options{Recursive: x.common.IsRecursive(), Skip: x.run.names.SkipFolder, Except: x.run.names.Except()}
}

func (x *entries) rank(e *dirscan.Entry) entry.Rank { return x.newest.Rank(e, x.common.AgeNs(e)) }

// file is asked about each file of an entry. What is against one is against all.
func (x *entries) file(e *dirscan.Entry) (usedNs int64, refused string) {
	x.run.opts.heart.beat()
	if x.lastUse != nil {
		x.path = e.AppendPath(x.path[:0])
		usedNs = x.lastUse(x.path)
	}
	switch why := x.files.Allowed(e); {
	case why == safefs.TooYoung, why == safefs.Future: // the newest time of the whole says so
	case why == safefs.Hardlink && x.common.EntriesAreDirs(): // all names may be in it
	default:
		refused = string(why)
	}
	return usedNs, refused
}

// Scan walks the policy's entries.
func (m *remover) Scan(ctx context.Context, o dirscan.Options) (dirscan.Result, error) {
	x := m.by
	if x == nil {
		return m.Remover.Scan(ctx, o)
	}
	clear(x.noted)
	visit := o.Visit
	res, err := m.Remover.Scan(ctx, x.walker.Wrap(o, func(e *entry.Entry) error {
		x.at = e
		return visit(&e.Entry)
	}))
	x.at = nil
	if n := x.walker.Outside(); n > 0 {
		x.run.res.Skipped[string(reasonAboveDepth)] = n
	}
	return x.walker.Result(res), err
}

// Allowed makes the checks that need no further system call.
func (m *remover) Allowed(e *dirscan.Entry) safefs.Reason {
	x := m.by
	switch {
	case x == nil:
		return m.Remover.Allowed(e)
	case x.at.Lacks != "":
		return safefs.Reason(x.at.Lacks)
	case x.at.Refused != "":
		return safefs.Reason(x.at.Refused)
	case x.newest.Most > 0 && x.least.Has(x.rank(e)):
		return reasonNewest
	case x.common.LinksInto == policy.LinksIntoKeep && x.links.To(x.at):
		return reasonLinked
	}
	return m.Remover.Allowed(e)
}

// Remove removes the entry that is visited.
func (m *remover) Remove(e *dirscan.Entry) (freed int64, why safefs.Reason) {
	x := m.by
	if x == nil {
		return m.Remover.Remove(e)
	}
	if why := m.Allowed(e); why != safefs.Removed {
		return 0, why
	}
	if x.at.File != nil {
		freed, why = m.Remover.Remove(e)
		return freed, x.went(x.key(), 1, why)
	}
	x.path = e.Parent.AppendPath(x.path[:0])
	return x.take(x.at, string(x.path), x.key())
}

// key is what links to the entry that is visited are known by.
func (x *entries) key() uint64 {
	if x.links == nil {
		return 0
	}
	return x.links.Key(x.at)
}

// Find notes the entry that is visited for RemoveFound.
func (m *remover) Find(e *dirscan.Entry) safefs.Found {
	x := m.by
	if x == nil {
		return m.Remover.Find(e)
	}
	n := noted{Entry: *x.at, folder: string(e.Parent.AppendPath(nil)), key: x.key()}
	n.Name, n.Parent, n.Group, n.File = bytes.Clone(e.Name), nil, nil, nil
	n.Members = nil
	for _, one := range x.at.Members {
		one.Name = bytes.Clone(one.Name)
		n.Members = append(n.Members, one)
	}
	path := n.folder + string(n.Name)
	if x.at.File != nil {
		n.file = m.Remover.Find(e)
	}
	x.noted[path] = n
	return safefs.Noted(path, e.SizeBytes, m.Allowed(e))
}

// RemoveFound removes an entry that was found by the last scan.
func (m *remover) RemoveFound(f safefs.Found) (freed int64, why safefs.Reason) {
	x := m.by
	if x == nil {
		return m.Remover.RemoveFound(f)
	}
	if why := f.Why(); why != safefs.Removed {
		return 0, why
	}
	n, ok := x.noted[f.Path]
	if !ok {
		return 0, safefs.Changed
	}
	delete(x.noted, f.Path)
	if n.file.Path != "" {
		freed, why = m.Remover.RemoveFound(n.file)
		return freed, x.went(n.key, 1, why)
	}
	return x.take(&n.Entry, n.folder, n.key)
}

// take removes a directory, or files that belong together.
func (x *entries) take(e *entry.Entry, folder string, key uint64) (freed int64, why safefs.Reason) {
	if e.Dir {
		freed, files, why := x.files.RemoveTree(safefs.Tree{
			Path: folder + string(e.Name), Dev: unix.Mkdev(e.DevMajor, e.DevMinor), Ino: e.Ino,
			NewestNs: x.common.AgeNs(&e.Entry), Files: e.Files, Bytes: e.SizeBytes,
		})
		if why != safefs.Removed { // a part may have gone where folders cannot be moved
			x.run.res.Files += files
			x.run.res.FreedBytes += freed
		}
		return freed, x.went(key, files, why)
	}
	x.members = x.members[:0]
	for i := range e.Members {
		one := &e.Members[i]
		x.members = append(x.members, safefs.Found{
			Path: folder + string(one.Name), Nlink: one.Nlink, AllocatedBytes: one.AllocatedBytes,
			Identity: safefs.Identity{
				Ino: one.Ino, DevMajor: one.DevMajor, DevMinor: one.DevMinor, SizeBytes: one.SizeBytes, MtimeNs: one.MtimeNs, CtimeNs: one.CtimeNs,
			},
		})
	}
	if len(x.members) == 1 {
		freed, why = x.files.RemoveFound(x.members[0])
	} else {
		freed, why = x.files.RemoveTogether(x.members)
	}
	return freed, x.went(key, e.Files, why)
}

// went notes what came of an entry.
func (x *entries) went(key uint64, files int64, why safefs.Reason) safefs.Reason {
	if why != safefs.Removed {
		return why
	}
	x.taken = files
	if x.common.LinksInto == policy.LinksIntoRemove {
		x.gone[key] = struct{}{}
		if len(x.gone) >= maxGone {
			x.removeLinks()
		}
	}
	return why
}

// removeLinks removes the links to what has gone.
func (x *entries) removeLinks() {
	if len(x.gone) == 0 {
		return
	}
	res := &x.run.res
	x.links.Each = func(key uint64, path []byte, text string) {
		if _, ok := x.gone[key]; !ok {
			return
		}
		if why := x.files.RemoveLink(string(path), text); why != safefs.Removed {
			res.Skipped[string(why)]++
			return
		}
		res.Links++
	}
	if err := x.scanLinks(); err != nil && x.run.ctx.Err() == nil {
		x.run.faults = append(x.run.faults, fmt.Sprintf("links to removed entries are left: %v", err))
	}
	clear(x.gone)
}

// finishEntries does what is left to do when the entries that were due have gone.
func (r *dirRun) finishEntries() {
	if x := r.remover.by; x != nil {
		x.removeLinks()
	}
}

// countEntry counts an entry that went: its files, and the entry where it may have several.
func (r *dirRun) countEntry() {
	x := r.remover.by
	if x == nil {
		r.res.Files++
		return
	}
	r.res.Files += x.taken
	if r.res.Entry != "" {
		r.res.Entries++
	}
}

// onFile names what went, or would go.
func (r *dirRun) onFile(path []byte, why string) {
	res := r.res
	if x := r.remover.by; x != nil && res.Entry != "" {
		files := x.taken
		res.EntryFiles = &files
	}
	r.req.OnFile(res, path, why)
}

// countArgs are the counts of a result in the log.
func countArgs(res *PolicyResult, files string) []any {
	if res.Entry == "" {
		return []any{files, res.Files}
	}
	return []any{"entries", res.Entries, "files", res.Files}
}

// entriesDetail says in the journal how many entries the files were that went.
func entriesDetail(results []PolicyResult, dry bool) string {
	var parts []string
	for i := range results {
		if r := &results[i]; r.Entries > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d entries with %d files", r.Policy, r.Entries, r.Files))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return said(dry, "removed from ", "would remove from ") + strings.Join(parts, ", ")
}
