package safefs

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// linkedSuffix ends the name in the holding folder of a file whose other names go too.
const linkedSuffix = "-linked"

// AllowedLinked is Allowed for a file of which all names are to go.
func (r *Remover) AllowedLinked(e *dirscan.Entry) Reason {
	one := *e
	one.Nlink = 1
	return r.Allowed(&one)
}

// RemoveLinked removes names of one file, which are relative to the root: all that it has, or with
// Options.RemoveLinks some of them. Each is looked at before the first goes; one that is not the file any more,
// and a name that has been added elsewhere meanwhile, keep all. freed is what the file took, once all its names
// are gone. removed is how many went, the first of them; it is less than all only where something changed in
// between.
func (r *Remover) RemoveLinked(e *dirscan.Entry, paths []string) (removed int, freed int64, why Reason) {
	id, how := IdentityOf(e), r.manner()
	look := how
	look.dry, look.opens = true, !how.dry
	r.most = max(e.Nlink, 1)
	defer func() { r.most, r.nth = 1, 0 }()
	for _, path := range paths {
		if why := r.removePath(path, id, look); why != Removed {
			return 0, 0, why
		}
	}
	if how.dry {
		removed = len(paths)
	}
	for i := removed; i < len(paths); i++ {
		r.nth = i
		if why := r.removePath(paths[i], id, how); why != Removed {
			return i, 0, why
		}
		removed++
		if r.most > 1 && r.opts.Quarantine == "" { // there it keeps its names
			r.most--
		}
		id.CtimeNs = max(id.CtimeNs, r.ctimeNs) // a name less has changed it
	}
	if len(paths) < int(e.Nlink) || r.opts.Quarantine != "" {
		return removed, 0, Removed
	}
	return removed, r.gives(id, e.AllocatedBytes), Removed
}

// removePath is remove for a path that is relative to the root. The folders on the way are opened as the walk
// opened them.
func (r *Remover) removePath(path string, id Identity, how manner) Reason {
	root, err := r.root()
	if err != nil {
		return errorReason(err)
	}
	dir, name := root, path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		name = path[i+1:]
		if dir, err = dirscan.OpenBeneath(root, path[:i]); err != nil {
			return pathReason(err)
		}
		defer unix.Close(dir)
	}
	if why := r.folderLocked([]byte(strings.TrimSuffix(path, name))); why != Removed {
		return why
	}
	r.name = append(append(r.name[:0], name...), 0)
	return r.remove(dir, id, how)
}

// isLinked reports whether the file at work is one of which several names go.
func (r *Remover) isLinked() bool { return r.most > 1 || r.nth > 0 }

// after notes when the file at work, which is still open, was last changed: by the loss of a name.
func (r *Remover) after(fd int) {
	if !r.isLinked() {
		return
	}
	var st unix.Statx_t
	if err := statAt(fd, thisFD, &st); err == 0 {
		r.ctimeNs = dirscan.Nanoseconds(&st.Ctime)
	}
}
