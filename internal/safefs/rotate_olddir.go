package safefs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// OldDirMount says that the olddir of a log is, or lies on, another mount: what is rotated is renamed into
// it, and never copied there.
const OldDirMount Reason = "olddir_mount"

// oldDir is the folder that a rotated log goes into.
type oldDir struct {
	fd     int
	parent int    // the folder of the log
	name   string // in that; "" where it is that
}

func (o *oldDir) close() {
	if o.name != "" {
		unix.Close(o.fd)
	}
}

// stays reports whether the folder still lies next to the log.
func (o *oldDir) stays() bool {
	if o.name == "" {
		return true
	}
	var opened, named unix.Stat_t
	return unix.Fstat(o.fd, &opened) == nil && unix.Fstatat(o.parent, o.name, &named, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		opened.Ino == named.Ino && opened.Dev == named.Dev
}

// openOldDir opens the folder that a rotated log goes into. It is made where it is missing, with the owner
// and the mode of the log's folder; a dry run takes that for it.
func (r *Rotator) openOldDir(e *dirscan.Entry) (oldDir, Reason) {
	o := oldDir{fd: e.Parent.FD(), parent: e.Parent.FD()}
	if r.opts.OldDir == "" {
		return o, Removed
	}
	fd, err := dirscan.OpenBeneath(o.parent, r.opts.OldDir)
	if errors.Is(err, unix.ENOENT) {
		if r.opts.DryRun {
			return o, Removed
		}
		if err = makeLike(o.parent, r.opts.OldDir); err == nil || errors.Is(err, unix.EEXIST) {
			fd, err = dirscan.OpenBeneath(o.parent, r.opts.OldDir)
		}
	}
	switch {
	case errors.Is(err, unix.EXDEV):
		return o, OldDirMount
	case err != nil:
		return o, pathReason(err)
	}
	o.fd, o.name = fd, r.opts.OldDir
	return o, Removed
}

// makeLike makes a folder with the owner and the mode of the one that it is made in. Until it has both, no
// one else may enter it.
func makeLike(parent int, name string) error {
	var like, made unix.Stat_t
	if err := unix.Fstat(parent, &like); err != nil {
		return err
	}
	if err := unix.Mkdirat(parent, name, 0o700); err != nil {
		return err
	}
	fd, err := dirscan.OpenBeneath(parent, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &made); err != nil {
		return err
	}
	if int(made.Uid) != os.Geteuid() { // it was exchanged
		return unix.ENOENT
	}
	if made.Uid != like.Uid || made.Gid != like.Gid {
		if err := unix.Fchown(fd, int(like.Uid), int(like.Gid)); err != nil {
			return errors.Join(err, unix.Unlinkat(parent, name, unix.AT_REMOVEDIR))
		}
	}
	return unix.Fchmod(fd, like.Mode&0o7777)
}
