package safefs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// foresee returns what a run would say to the file at work, and leaves no trace: it opens nothing, since
// an open is seen by whoever watches the folder (inotify), an exporter that infers the hits of a
// cache among them, and holds up whoever opens the file in that moment.
func (r *Remover) foresee(dirfd int, id Identity) Reason {
	if why := r.same(dirfd, r.name, id); why != Removed {
		return why
	}
	if !r.opts.NoInUse {
		if why := r.foreseeHold(dirfd, id); why != Removed {
			return why
		}
	}
	return r.foreseeUnlink(dirfd)
}

// foreseeHold returns what hold would say to the file that was just looked at, from its permissions and
// from what is open and locked on this host. What this user may not see of others, and what only the
// kernel has open, a lease would find.
func (r *Remover) foreseeHold(dirfd int, id Identity) Reason {
	if err := mayOpen(dirfd, r.name, unix.R_OK); err != nil {
		return errorReason(err)
	}
	open := r.look.now()
	switch {
	case open.used(id), r.mapsElsewhere(dirfd) && open.maps(id):
		return InUse
	case !mayLease(r.st.Uid) && open.hides(r.st.Uid):
		return NoLease
	}
	return Removed
}

// isRefusal reports whether a file stayed because of the rights of this process. Most files of a folder
// are alike in that, so from then on a run looks before it opens: an open of a file that stays is seen by
// whoever watches the folder, and would count as a use of it.
func isRefusal(why Reason) bool { return strings.HasPrefix(string(why), "error_") }

// mayNotClean reports whether a run is bound to be refused what lies in its root: it may not change the
// folder, or not lease the files of the folder's owner.
func mayNotClean(root int, owner uint32) bool {
	return !mayLease(owner) || access(root, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS) != nil
}

// mapsElsewhere reports whether mappings may show another device than the file: stacked file systems,
// and btrfs, where each subvolume has one of its own.
func (r *Remover) mapsElsewhere(dirfd int) bool {
	return r.stacked(dirfd) || r.filesystem == unix.BTRFS_SUPER_MAGIC
}

// mayOpen returns what the kernel would say to opening a name, which ends with a NUL, with these rights.
func mayOpen(dirfd int, name []byte, rights uint32) error {
	return access(dirfd, string(name[:len(name)-1]), rights, unix.AT_EACCESS|unix.AT_SYMLINK_NOFOLLOW)
}

// mayLease reports whether this process may take a lease on a file of the user (fcntl(2)).
func mayLease(uid uint32) bool {
	return int(uid) == unix.Geteuid() || capable(unix.CAP_LEASE)
}

// foreseeUnlink returns what the kernel would say to the removal of the file that was just looked at
// from its folder (unlink(2)), so that a dry run names no file that a run could not remove.
func (r *Remover) foreseeUnlink(dirfd int) Reason {
	uid := r.st.Uid
	var dir unix.Statx_t
	if err := statPath(dirfd, "", unix.AT_EMPTY_PATH, unix.STATX_MODE|unix.STATX_UID, &dir); err != nil {
		return errorReason(err)
	}
	if dir.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0 {
		return errorReason(unix.EPERM)
	}
	if err := access(dirfd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		if isReadOnly(dirfd) {
			err = unix.EROFS
		}
		return errorReason(err)
	}
	me := uint32(unix.Geteuid())
	if dir.Mode&unix.S_ISVTX != 0 && dir.Uid != me && uid != me && !capable(unix.CAP_FOWNER) {
		return errorReason(unix.EPERM)
	}
	if r.opts.Quarantine != "" {
		return r.foreseeMove()
	}
	return Removed
}

// isReadOnly reports whether a folder is mounted read-only. The kernel asks that first of who removes a name,
// and last in access(2).
func isReadOnly(dirfd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(dirfd, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// capable reports whether this process has a capability: CAP_FOWNER, with which the sticky bit does
// not bind it, or CAP_LEASE.
func capable(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<capability) != 0
}
