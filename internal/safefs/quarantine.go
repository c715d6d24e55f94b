package safefs

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// maxName is the longest name of a file (NAME_MAX).
const maxName = 255

// CheckQuarantine refuses a folder that files below dir cannot be moved into safely: one that
// CheckRoot refuses, from which others than root and this process's own user could move them back, that shares
// files with dir, or that is on another filesystem or mount, where a move would be a copy. The error says what to write instead, and
// wraps fs.ErrNotExist for a quarantine that does not exist; nothing more can be said then, nor
// where dir does not exist yet. Both are folders of the host.
func CheckQuarantine(host hostfs.Roots, dir, quarantine string, reserved ...string) error {
	if err := CheckRootOn(host, quarantine, reserved...); err != nil {
		return err
	}
	if quarantine == dir || inside(dir, quarantine) || inside(quarantine, dir) {
		return fmt.Errorf("%q and %q share files: write a folder outside of the one that is watched", quarantine, dir)
	}
	to, err := statFolder(host.Join(quarantine))
	if err != nil {
		return fmt.Errorf("look at the quarantine %q: %w", quarantine, err)
	}
	if err := checkKeeper(&to); err != nil {
		return fmt.Errorf("%q %w", quarantine, err)
	}
	from, err := statFolder(host.Join(dir))
	if err != nil {
		return nil //nolint:nilerr // dir is reported as what it is; the move would fail
	}
	if from.Mnt_id != to.Mnt_id || from.Dev_major != to.Dev_major || from.Dev_minor != to.Dev_minor {
		return fmt.Errorf("%q is on another filesystem than %q, and files are moved, never copied: write a folder on the same one", quarantine, dir)
	}
	return nil
}

// checkKeeper refuses a folder out of which its owner, its group or others could take what was put there. An access
// list shows in the bits of the group.
func checkKeeper(st *unix.Statx_t) error {
	switch {
	case st.Uid != 0 && st.Uid != uint32(unix.Geteuid()):
		return fmt.Errorf("belongs to user %d, who could move the files back: chown root and chmod 0700 it, or give it to the user of the exporter", st.Uid)
	case st.Mode&0o002 != 0:
		return errors.New("can be written by everybody: chmod 0700 it")
	case st.Mode&0o020 != 0:
		return fmt.Errorf("can be written by its group (%d), which could move the files back: chmod 0700 it", st.Gid)
	}
	return nil
}

// statFolder reads where a folder lies, and who may write to it.
func statFolder(dir string) (st unix.Statx_t, err error) {
	fd, err := dirscan.OpenRoot(dir)
	if err != nil {
		return st, err
	}
	defer unix.Close(fd)
	err = statPath(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MODE|unix.STATX_UID|unix.STATX_GID|unix.STATX_MNT_ID, &st)
	return st, err
}

// openInto opens the quarantine of the options, once per run.
func (r *Remover) openInto() (int, error) {
	if r.into >= 0 {
		return r.into, nil
	}
	o, err := r.opts.Roots.open(pathOpener(r.opts.Quarantine))
	if err != nil {
		return -1, err
	}
	var st unix.Statx_t
	err = statPath(o.FD, "", unix.AT_EMPTY_PATH, unix.STATX_MODE|unix.STATX_UID|unix.STATX_GID, &st)
	if err == nil && checkKeeper(&st) != nil { // since CheckQuarantine has looked
		err = unix.EPERM
	}
	if err != nil {
		unix.Close(o.FD)
		return -1, err
	}
	r.into = o.FD
	return o.FD, nil
}

// moveOut moves the file into the quarantine, under a name that says when and is new there, and
// looks again: what turns out to be another file is moved back.
func (r *Remover) moveOut(dirfd int, id Identity) Reason {
	into, err := r.openInto()
	if err != nil {
		return errorReason(err)
	}
	return r.moveAside(dirfd, into, r.quarantineName(id), id)
}

// quarantineName returns the name that the file at work gets in the quarantine. Of a long name the
// end is kept, which says what kind of file it is.
func (r *Remover) quarantineName(id Identity) string {
	name := string(r.name[:len(r.name)-1])
	prefix := r.opts.Now.UTC().Format("20060102T150405Z") + "-" + strconv.FormatUint(id.Ino, 10) + "-"
	if r.nth > 0 { // a further name of the same file, which may be the same in another folder
		prefix += strconv.Itoa(r.nth+1) + "-"
	}
	return prefix + name[max(0, len(prefix)+len(name)-maxName):]
}

// foreseeMove returns what the kernel would say to a move into the quarantine.
func (r *Remover) foreseeMove() Reason {
	into, err := r.openInto()
	if err != nil {
		return errorReason(err)
	}
	if err := access(into, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return errorReason(err)
	}
	return Removed
}

// moveAside gives the file at work the name as in another folder, where no one has one like it,
// and looks again. What turns out to be another file is moved back; where its name is taken
// meanwhile it stays there.
func (r *Remover) moveAside(dirfd, into int, as string, id Identity) Reason {
	name := string(r.name[:len(r.name)-1])
	err := moveTo(dirfd, name, into, as)
	if err != nil {
		return moveReason(err)
	}
	var why Reason
	switch err := statAt(into, append([]byte(as), 0), &r.st); err {
	case 0:
		why = r.compare(id, false) // the move itself has changed ctime
	case unix.ENOENT: // another run has dealt with it
		return Changed
	default:
		why = errorReason(err)
	}
	if why == Removed {
		return Removed
	}
	if err := moveBack(into, as, dirfd, name); err != nil {
		return errorReason(err)
	}
	return why
}
