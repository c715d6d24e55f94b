package safefs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// TooDeep says that a tree has more levels than a removal descends: maxTreeDepth.
const TooDeep Reason = "too_deep"

// maxTreeDepth is how many levels of one tree are removed. Each is held open.
const maxTreeDepth = 512

// Tree is a folder that was found due as one, with all that is in it.
type Tree struct {
	Path     string // relative to the root, as the scan saw it
	Dev, Ino uint64 // of the folder itself
	// NewestNs is the newest time of all files and folders in it and of the folder itself, by the
	// policy's age_by. FolderEntry gives the times of a folder.
	NewestNs int64
	// Files counts the regular files in it, whatever their names, and Bytes their apparent sizes.
	Files, Bytes int64
}

// FolderEntry fills an entry with what an open folder is, so that its age can be measured like that
// of a file. Its atime is its mtime: each listing changes the true one.
func FolderEntry(fd int, e *dirscan.Entry) error {
	var st unix.Statx_t
	if err := statAt(fd, thisFD, &st); err != 0 {
		return err
	}
	folderEntry(&st, e)
	return nil
}

func folderEntry(st *unix.Statx_t, e *dirscan.Entry) {
	mtime := dirscan.Nanoseconds(&st.Mtime)
	*e = dirscan.Entry{
		Ino: st.Ino, DevMajor: st.Dev_major, DevMinor: st.Dev_minor, Mode: st.Mode, Nlink: st.Nlink, UID: st.Uid,
		AtimeNs: mtime, MtimeNs: mtime, CtimeNs: dirscan.Nanoseconds(&st.Ctime),
	}
}

// RemoveTree removes a folder with all that is in it, or nothing: it is looked at, moved into the
// holding folder, where no one else can reach it, and looked at again there. What turns out to be
// in use, young or changed is moved back. Where the file system does not move folders, as an overlay
// does not, it is removed in its place, file by file, and what changes meanwhile stays. In a
// quarantine it is kept. freed is the space given back and files the number of files that went.
func (r *Remover) RemoveTree(t Tree) (freed, files int64, skipped Reason) {
	job, why := r.openTree(t)
	if why != Removed {
		return 0, 0, why
	}
	defer job.close()
	ask := treeAsk{newestNs: t.NewestNs, files: t.Files, bytes: t.Bytes, counted: true, dry: r.opts.DryRun}
	look := r.lookAtTree
	if t.Files >= r.big && !ask.dry && !r.mapsElsewhere(job.fd) { // else the names alone do not say what is open
		look = r.lookAtNames
	}
	seen, why := look(job.fd, ask)
	if why != Removed {
		return 0, 0, why
	}
	if r.opts.DryRun {
		if r.opts.Quarantine != "" {
			return 0, seen.files, r.foreseeMove()
		}
		return seen.freed, seen.files, r.foreseeUnlink(job.parent)
	}
	job.seen = seen
	return r.removeSeen(job)
}

// treeJob is a tree at work.
type treeJob struct {
	r      *Remover
	t      Tree
	parent int    // descriptor of the folder that holds it
	up     string // path of that folder; "" for the root
	name   string
	fd     int // of the tree's own folder, with our lock
	seen   *treeLook
}

func (j *treeJob) close() {
	if j.fd >= 0 {
		unix.Close(j.fd)
	}
	if j.up != "" {
		unix.Close(j.parent)
	}
}

// openTree opens a tree as the walk opened it. Outside a dry run it is locked, as programs lock
// a folder that must stay (flock(2)), systemd's own temporary folders among them.
func (r *Remover) openTree(t Tree) (*treeJob, Reason) {
	root, err := r.root()
	if err != nil {
		return nil, errorReason(err)
	}
	j := &treeJob{r: r, t: t, parent: root, name: t.Path, fd: -1}
	if i := strings.LastIndexByte(t.Path, '/'); i >= 0 {
		j.up, j.name = t.Path[:i], t.Path[i+1:]
	}
	if j.name == "" || j.name == "." || j.name == ".." || t.Path == policy.HoldingName || strings.HasPrefix(t.Path, policy.HoldingName+"/") {
		return nil, NotRegular // the root itself, or what is ours
	}
	if j.up != "" {
		if j.parent, err = dirscan.OpenBeneath(root, j.up); err != nil {
			return nil, pathReason(err)
		}
	}
	if j.fd, err = dirscan.OpenBeneath(j.parent, j.name); err != nil {
		j.close()
		return nil, pathReason(err)
	}
	why := sameFolder(j.fd, t)
	if why == Removed && !r.opts.DryRun {
		why = lockFolder(j.fd)
	}
	if why != Removed {
		j.close()
		return nil, why
	}
	return j, Removed
}

// sameFolder reports whether an open folder is the one that was found.
func sameFolder(fd int, t Tree) Reason {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return errorReason(err)
	}
	if uint64(st.Dev) != t.Dev || st.Ino != t.Ino { //nolint:unconvert // other architectures have another type
		return Changed
	}
	return Removed
}

// lockFolder takes the lock of a folder until its descriptor is closed.
func lockFolder(fd int) Reason {
	switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
	case nil, unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSYS, unix.EBADF: // no locks here, as with files
		return Removed
	case unix.EWOULDBLOCK:
		return InUse
	default:
		return errorReason(err)
	}
}

// removeSeen moves a tree that has passed the first look aside, looks again and removes it.
func (r *Remover) removeSeen(j *treeJob) (freed, files int64, skipped Reason) {
	if !j.inPlace() {
		return 0, 0, Moved
	}
	into, as, err := r.treePlace(j)
	if err == nil {
		err = moveTo(j.parent, j.name, into, as)
	}
	switch {
	case err == nil:
	case cannotMove(err):
		if why := j.lookAtAll(); why != Removed {
			return 0, 0, why
		}
		return r.clearInPlace(j)
	default:
		return 0, 0, moveReason(err)
	}
	if why := j.again(into, as); why != Removed {
		if err := j.back(into, as); err != nil {
			return 0, 0, errorReason(err)
		}
		return 0, 0, why
	}
	if r.opts.Quarantine != "" {
		return 0, j.seen.files, Removed
	}
	return r.clearAside(j.fd, j.t, as, j.seen)
}

// lookAtAll looks at each file of a tree that stays in its place, unless that has been done: all of it goes or
// nothing.
func (j *treeJob) lookAtAll() (why Reason) {
	if !j.seen.whole {
		j.seen, why = j.r.lookAtTree(j.fd, treeAsk{newestNs: j.t.NewestNs, files: j.t.Files, bytes: j.t.Bytes, counted: true})
	}
	return why
}

// inPlace reports whether the folder that holds the tree lies where the walk found it, and not where
// it, or one above it, was moved meanwhile.
func (j *treeJob) inPlace() bool {
	if j.up == "" {
		return true
	}
	fd, err := dirscan.OpenBeneath(j.r.rootFD, j.up)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return sameFile(fd, j.parent)
}

// sameFile reports whether two descriptors mean one file.
func sameFile(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

// treePlace returns the folder that the tree is moved into, and its name there.
func (r *Remover) treePlace(j *treeJob) (into int, as string, err error) {
	if r.opts.Quarantine != "" {
		into, err = r.openInto()
		r.name = append(append(r.name[:0], j.name...), 0)
		return into, r.quarantineName(Identity{Ino: j.t.Ino}), err
	}
	if err := r.needHolding(); err != nil {
		return -1, "", err
	}
	return r.holding, movedName(j.t) + r.serialName(), nil
}

// cannotMove reports whether folders are not moved here: over the border of a file system, in one that
// does not, as an overlay does with what lies in its lower layers, or where there is no holding folder.
func cannotMove(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, errNotHolding) || errors.Is(err, unix.EACCES)
}

// again looks at the tree once more where it was moved to.
func (j *treeJob) again(into int, as string) (why Reason) {
	fd, err := dirscan.OpenBeneath(into, as)
	if err != nil {
		return pathReason(err)
	}
	defer unix.Close(fd)
	if !sameFile(fd, j.fd) { // exchanged in the moment of the move
		return Changed
	}
	if !j.inPlace() { // it was moved out of what was not the root any more
		return Moved
	}
	if j.t.Files >= j.r.big {
		j.r.look.forget()
	}
	j.seen, why = j.r.lookAtTree(j.fd, treeAsk{newestNs: j.t.NewestNs, files: j.t.Files, bytes: j.t.Bytes, counted: true, aside: true})
	return why
}

// back moves the tree to where it was, unless something else has its name by now.
func (j *treeJob) back(into int, as string) error {
	err := unix.Renameat2(into, as, j.parent, j.name, unix.RENAME_NOREPLACE)
	if !replacesOnly(err) {
		return err
	}
	if isTaken(j.parent, j.name) {
		return unix.EEXIST
	}
	return unix.Renameat(into, as, j.parent, j.name) // an empty folder of that name is all that it could replace
}
