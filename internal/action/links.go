package action

import (
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

const (
	maxLinked      = 1 << 14 // files with several names that a run looks at as one; each name of others is one by itself
	maxLinkedPaths = 4 << 20 // bytes of their paths
)

// linked is a file with several names. It is looked at as one once a scan has found all of its names that are
// the policy's: it counts once towards a size, and its names go together or not at all.
type linked struct {
	entry  dirscan.Entry // as the first of its names was found, without a folder
	paths  []string      // of its names, relative to the root, sorted
	usedNs int64         // by the key of the order: of the name used last
	odd    bool          // it changed while it was looked at, or has more names than there is room for
}

// whole reports whether the file has no name elsewhere, so that it is gone when these are.
func (g *linked) whole() bool { return !g.odd && len(g.paths) == int(g.entry.Nlink) }

func (g *linked) names() int64 { return int64(len(g.paths)) }

// links are the files with several names that a scan has found.
type links struct {
	files map[policy.Inode]*linked
	list  []*linked // in the order in which they were found
	bytes int
}

// take notes an entry that is one of several names, and reports whether it is to be looked at with the others.
func (l *links) take(e *dirscan.Entry, key func(*dirscan.Entry) int64) bool {
	if e.Nlink < 2 {
		return false
	}
	g := l.of(e)
	if g == nil {
		if len(l.list) >= maxLinked || l.bytes >= maxLinkedPaths {
			return false
		}
		g = &linked{entry: *e, usedNs: key(e)}
		g.entry.Parent, g.entry.Name = nil, nil
		if l.files == nil {
			l.files = make(map[policy.Inode]*linked)
		}
		l.files[policy.InodeOf(e)] = g
		l.list = append(l.list, g)
	}
	g.usedNs = max(g.usedNs, key(e))
	g.odd = g.odd || safefs.IdentityOf(e) != safefs.IdentityOf(&g.entry) || e.Nlink != g.entry.Nlink || l.bytes >= maxLinkedPaths
	if l.bytes < maxLinkedPaths {
		path := string(e.AppendPath(nil))
		g.paths = append(g.paths, path)
		l.bytes += len(path)
	}
	return true
}

// of returns the file that an entry is a name of; nil for one that stands for itself.
func (l *links) of(e *dirscan.Entry) *linked {
	if e.Nlink < 2 {
		return nil
	}
	return l.files[policy.InodeOf(e)]
}

// found ends a scan: all names are known.
func (l *links) found() []*linked {
	for _, g := range l.list {
		slices.Sort(g.paths)
	}
	return l.list
}

// standsFor returns how many names an entry stands for: itself, or, the first of several, for all of them and
// the others for none.
func (r *dirRun) standsFor(e *dirscan.Entry) int64 {
	g := r.links.of(e)
	if g == nil {
		return 1
	}
	r.path = e.AppendPath(r.path[:0])
	if string(r.path) != g.paths[0] {
		return 0
	}
	return g.names()
}

// allowed makes the checks on an entry that need no further system call.
func (r *dirRun) allowed(e *dirscan.Entry) safefs.Reason {
	if g := r.links.of(e); g != nil && g.whole() {
		return r.remover.AllowedLinked(e)
	}
	return r.remover.Allowed(e)
}

// keyed returns the key of an order, in which a file with several names stands where the one used last does.
func (r *dirRun) keyed(key func(*dirscan.Entry) int64) func(*dirscan.Entry) int64 {
	return func(e *dirscan.Entry) int64 {
		if g := r.links.of(e); g != nil {
			return g.usedNs
		}
		return key(e)
	}
}

// removeLinked removes all names of a file, or none where one of them may not go, and counts what came of it.
func (r *dirRun) removeLinked(g *linked, why string) safefs.Reason {
	skipped := r.allowed(&g.entry)
	removed, freed := 0, int64(0)
	if skipped == safefs.Removed {
		skipped = r.chosen(func() uint64 { return r.keyOf(&g.entry, g.paths[0]) }, func() (why safefs.Reason) {
			removed, freed, why = r.remover.RemoveLinked(&g.entry, g.paths)
			return why
		})
	}
	for i, path := range g.paths {
		if i >= removed {
			r.count(0, 0, skipped)
			continue
		}
		if r.req.OnFile != nil {
			r.req.OnFile(r.res, []byte(path), why)
		}
		size := int64(0)
		if i == 0 { // once for all names
			size = g.entry.SizeBytes
		}
		r.count(size, 0, safefs.Removed)
	}
	r.res.FreedBytes += freed
	if why != overLimit {
		r.owes(skipped, r.dueNs(&g.entry))
	}
	return skipped
}
