package safefs

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// folderLock is what is known of the locks on the folder of the file at work.
type folderLock struct {
	known  bool
	folder string // path from the root, with a slash at its end; "" for the root
	left   int    // files until the next look
	why    Reason
	of     *dirscan.Folder // the folder of a walk whose path this is, and
	serial uint64
}

// parentLocked is folderLocked for the folder of a walk, whose path is put together once.
func (r *Remover) parentLocked(f *dirscan.Folder) Reason {
	l := &r.locks
	switch {
	case r.opts.NoInUse:
		return Removed
	case l.known && l.of == f && l.serial == f.Serial() && l.left > 0:
		l.left--
		return l.why
	}
	r.path = f.AppendPath(r.path[:0])
	why := r.folderLocked(r.path)
	l.of, l.serial = f, f.Serial()
	return why
}

// folderLocked returns InUse for a file in a folder that is locked (flock(2)), or below one: a program that locks a
// folder keeps all that is in it, as systemd and its clean-up do. It looks when the folder is another one and
// after each lookEvery files.
func (r *Remover) folderLocked(folder []byte) Reason {
	l := &r.locks
	if r.opts.NoInUse {
		return Removed
	}
	if l.known && l.folder == string(folder) && l.left > 0 {
		l.left--
		return l.why
	}
	*l = folderLock{known: true, folder: string(folder), left: lookEvery - 1}
	l.why = r.lookAtLocks(l.folder)
	return l.why
}

// lookAtLocks looks at all folders from the root to one.
func (r *Remover) lookAtLocks(folder string) Reason {
	root, err := r.root()
	if err != nil {
		return errorReason(err)
	}
	fd, err := dirscan.OpenBeneath(root, ".") // a lock is of a descriptor: one of its own
	for {
		if err != nil {
			return pathReason(err)
		}
		why := r.mayLockFolder(fd)
		name, rest, ok := strings.Cut(folder, "/")
		if why != Removed || !ok {
			unix.Close(fd)
			return why
		}
		up := fd
		fd, err = dirscan.OpenBeneath(up, name)
		unix.Close(up)
		folder = rest
	}
}

// mayLockFolder reports whether someone has locked an open folder. A dry run takes no lock to know it.
func (r *Remover) mayLockFolder(fd int) Reason {
	if !r.opts.DryRun {
		return lockFolder(fd) // until it is closed
	}
	id, _, err := lookAtFolder(fd, "")
	switch {
	case err != nil:
		return errorReason(err)
	case r.look.now().locked[id]:
		return InUse
	}
	return Removed
}
