package safefs

import (
	"time"

	"golang.org/x/sys/unix"
)

// hold opens the file and makes sure that no one else has it open: a write lease is granted only
// where there is no other open description (fcntl(2), F_SETLEASE), which includes mappings; an
// advisory lock of someone else is respected too. Lease and lock last as long as the returned
// descriptor, around the removal, and no longer. The runtime ignores the SIGIO of a lease that is
// broken; whoever breaks it waits for the close, a few microseconds, and then has the file, which
// broken says. A dry run does not come here: see foresee.
func (r *Remover) hold(dirfd int, id Identity) (int, Reason) {
	fd, why := openQuietly(dirfd, r.name)
	if why != Removed {
		return -1, why
	}
	lease := takeLease(fd) // first: who has renamed the file before the look is seen by it
	why = r.same(fd, thisFD, id)
	if why == Removed {
		why = r.exclusive(fd, id, lease)
	}
	if why != Removed {
		unix.Close(fd)
		return -1, why
	}
	return fd, Removed
}

// openQuietly opens a regular file, whose name ends with a NUL, and waits for no one.
func openQuietly(dirfd int, name []byte) (int, Reason) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := openAt(dirfd, name, flags|unix.O_NOATIME)
	if err == unix.EPERM {
		fd, err = openAt(dirfd, name, flags)
	}
	if err != 0 {
		return -1, openReason(err)
	}
	return fd, Removed
}

// openHere is openQuietly for a file that must not be mounted over. Where something is, that is not opened.
func openHere(dirfd int, name []byte) (int, Reason) {
	fd, err := openName(dirfd, name, unix.O_NONBLOCK)
	if err != 0 {
		return -1, openReason(err)
	}
	return fd, Removed
}

// openReason is the reason in the error of an open.
func openReason(err unix.Errno) Reason {
	switch err {
	case unix.ENOENT:
		return Changed
	case unix.ELOOP:
		return Symlink
	case unix.EXDEV:
		return Mount
	case unix.ENXIO: // a socket, or a fifo with no reader
		return NotRegular
	case unix.EWOULDBLOCK, unix.ETXTBSY: // someone else's lease
		return InUse
	default:
		return errorReason(err)
	}
}

// heldElsewhere reports, in a folder that no one else can reach, whether a file is open, mapped or locked.
func (r *Remover) heldElsewhere(dirfd int, name []byte, id Identity, uid uint32) Reason {
	fd, why := openQuietly(dirfd, name)
	if why != Removed {
		return why
	}
	defer unix.Close(fd)
	return r.openElsewhere(fd, id, uid)
}

// openElsewhere is heldElsewhere for a file that is open by now. A lease that is granted says at once that
// there is no other open description, and so no lock.
func (r *Remover) openElsewhere(fd int, id Identity, uid uint32) Reason {
	if lease := takeLease(fd); lease != 0 {
		r.st.Uid = uid
		return r.exclusive(fd, id, lease)
	}
	if r.stacked(fd) && r.look.now().maps(id) {
		return InUse
	}
	return Removed
}

// takeLease takes a lease on an open file, until it is closed, and returns what the kernel says to that.
func takeLease(fd int) unix.Errno {
	_, err := leaseOf(fd, unix.F_SETLEASE, unix.F_WRLCK)
	return err
}

// exclusive goes by what the kernel has said to the lease, and looks through the open descriptors of the host where the
// filesystem or our rights do not allow one. A lease that is granted says that there is no other open description (check_conflicting_open of
// fs/locks.c), and whoever holds a lock has one: it need not be asked for. Whoever opens the file to lock it waits for the
// lease. Of other hosts, and of what serves a FUSE, only a lock says something.
func (r *Remover) exclusive(fd int, id Identity, lease unix.Errno) Reason {
	r.leased = lease == 0
	switch lease {
	case 0:
		if r.stacked(fd) && r.look.now().maps(id) {
			return InUse
		}
		if shared(r.filesystem) {
			return locked(fd)
		}
		return Removed
	case unix.EAGAIN:
		return InUse
	case unix.EINVAL, unix.EACCES, unix.EPERM, unix.ENOLCK, unix.EOPNOTSUPP:
	default:
		return errorReason(lease)
	}
	if why := locked(fd); why != Removed {
		return why
	}
	owner := r.st.Uid
	open := r.look.now()
	switch {
	case open.holds(id):
		return InUse
	case open.hides(owner):
		return NoLease
	}
	return Removed
}

// coarsest is the coarsest step of ctime on the filesystems of isNamed: ext4 with small inodes keeps whole seconds.
const coarsest = 2 * time.Second

// isNamed reports whether the name at work is known to mean the file that hold has opened by it and looked at: its
// ctime was as before, and here each rename of a file, and each exchange for another, changes that. So does each link
// that is made or removed. A ctime of a moment ago could be that of two changes, and without a lease the look is long ago.
func (r *Remover) isNamed(id Identity) bool {
	if !r.leased || id.CtimeNs > r.opts.Now.Add(-coarsest).UnixNano() {
		return false
	}
	switch r.filesystem {
	case unix.TMPFS_MAGIC, unix.EXT4_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC: // not XFS: RENAME_EXCHANGE changes no ctime there
		return true
	}
	return false
}

// locked takes the lock of an open file, until it is closed, and returns InUse where someone else has it.
func locked(fd int) Reason {
	switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
	case nil:
	case unix.EWOULDBLOCK:
		return InUse
	case unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSYS: // no locks here
	case unix.EBADF: // NFS makes it a lock of the file, which asks for a descriptor that may write
	default:
		return errorReason(err)
	}
	return Removed
}

// stacked reports whether the root lies on a filesystem that maps files of another one in place of
// its own: there a mapping, once its descriptor is closed, does not stand in the way of a lease.
func (r *Remover) stacked(fd int) bool {
	if r.filesystem == 0 {
		var st unix.Statfs_t
		if err := unix.Fstatfs(fd, &st); err != nil {
			return true
		}
		r.filesystem = int64(st.Type)
	}
	return r.filesystem == unix.OVERLAYFS_SUPER_MAGIC || r.filesystem == unix.FUSE_SUPER_MAGIC
}

// broken reports whether someone has come for the file since the lease was granted.
func (r *Remover) broken(fd int) bool {
	if !r.leased {
		return false
	}
	kind, err := leaseOf(fd, unix.F_GETLEASE, 0)
	return err != 0 || kind != unix.F_WRLCK
}
