package safefs

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// RemoveTogether removes files that belong together, which were found earlier in the run, or none of
// them. All are checked before the first is moved into the holding folder, or into the quarantine, and
// looked at again there. When one is not what was meant, or is in use by then, all are moved back.
// A run that is killed in between leaves them in the holding folder, where Sweep removes them.
func (r *Remover) RemoveTogether(members []Found) (freed int64, skipped Reason) {
	how := r.manner()
	if !how.dry {
		how = manner{dry: true, opens: true}
	}
	for _, f := range members {
		more, why := r.removeFound(f, how)
		if why != Removed {
			return 0, why
		}
		freed += more
	}
	if r.opts.DryRun || len(members) == 0 {
		return freed, Removed
	}
	g := &group{r: r}
	defer g.close()
	for _, f := range members {
		if why := g.move(f); why != Removed {
			return 0, g.back(why)
		}
	}
	if r.opts.Quarantine != "" {
		return 0, Removed
	}
	for _, m := range g.moved {
		if why := g.again(m); why != Removed {
			return 0, g.back(why)
		}
	}
	return g.remove()
}

// group are files that go together.
type group struct {
	r       *Remover
	folders map[string]int // descriptors, by path
	moved   []movedFile
}

type movedFile struct {
	f        Found
	dir      int
	name, as string
	into     int
}

func (g *group) close() {
	for _, fd := range g.folders {
		unix.Close(fd)
	}
}

// folder opens the folder of a member.
func (g *group) folder(path string) (fd int, err error) {
	root, err := g.r.root()
	if err != nil || path == "" {
		return root, err
	}
	if fd, ok := g.folders[path]; ok {
		return fd, nil
	}
	if fd, err = dirscan.OpenBeneath(root, path); err != nil {
		return -1, err
	}
	if g.folders == nil {
		g.folders = make(map[string]int)
	}
	g.folders[path] = fd
	return fd, nil
}

// move moves a member aside.
func (g *group) move(f Found) Reason {
	m := movedFile{f: f, name: f.Path}
	up := ""
	if i := strings.LastIndexByte(f.Path, '/'); i >= 0 {
		up, m.name = f.Path[:i], f.Path[i+1:]
	}
	var err error
	if m.dir, err = g.folder(up); err != nil {
		return pathReason(err)
	}
	r := g.r
	if r.pulse() != nil {
		return Stopped
	}
	r.name = append(append(r.name[:0], m.name...), 0)
	if why := r.same(m.dir, r.name, f.Identity); why != Removed {
		return why
	}
	if r.opts.Quarantine != "" {
		m.into, err = r.openInto()
		m.as = r.quarantineName(f.Identity)
	} else {
		err = r.needHolding()
		m.into, m.as = r.holding, f.Identity.holdingPrefix()+r.serialName()
	}
	if err != nil {
		return errorReason(err)
	}
	if why := r.moveAside(m.dir, m.into, m.as, f.Identity); why != Removed {
		return why
	}
	g.moved = append(g.moved, m)
	return Removed
}

// again looks whether a member is in use, where no one else can open it any more.
func (g *group) again(m movedFile) Reason {
	r := g.r
	if r.pulse() != nil {
		return Stopped
	}
	if r.opts.NoInUse {
		return Removed
	}
	r.name = append(append(r.name[:0], m.as...), 0)
	if err := statAt(m.into, r.name, &r.st); err != 0 {
		return errorReason(err)
	}
	id := m.f.Identity
	id.CtimeNs = dirscan.Nanoseconds(&r.st.Ctime) // of the move
	fd, why := r.hold(m.into, id)
	if why == Removed {
		unix.Close(fd)
	}
	return why
}

// back moves all members to where they were, and returns why. One whose name is taken meanwhile stays
// where it is and is reported by Leftovers.
func (g *group) back(why Reason) Reason {
	for _, m := range g.moved {
		if err := moveBack(m.into, m.as, m.dir, m.name); err != nil {
			why = errorReason(err)
		}
	}
	return why
}

// remove removes the members, which nothing stands in the way of any more.
func (g *group) remove() (freed int64, skipped Reason) {
	for i, m := range g.moved {
		if why := unlink(m.into, append([]byte(m.as), 0)); why != Removed {
			g.moved = g.moved[i:]
			return freed, g.back(why)
		}
		freed += g.r.gives(m.f.Identity, g.r.freed(m.f.Nlink, m.f.AllocatedBytes))
	}
	return freed, Removed
}
