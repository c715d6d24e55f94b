package safefs

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// lookMask is what a look at a file of a tree asks for.
const lookMask = statMask | unix.STATX_MODE | unix.STATX_GID | unix.STATX_BLOCKS | unix.STATX_ATIME

// walkers looks at the files of a tree that no one else can reach on the goroutines that walk it, each by one
// open, one statx of what was opened, one lease and one close. Their Visit would be called for one at a time,
// after a statx by name. No check is left out by that: openat2 refuses a file that is mounted over, and a
// lease that is granted says that there is no other open description, so that the tables of open files have
// nothing to add.
type walkers struct {
	l         *treeLook
	cancel    func()
	elsewhere bool       // mappings may show another device
	slow      sync.Mutex // held where a lease was not granted: what follows is not for several at once
	each      []*fileLook
}

// fileLook is what one walker has for itself: memory for the look at a file, and what it has seen. A count that all
// walkers share would go from one processor's cache to another's for each file.
type fileLook struct {
	w     *walkers
	st    unix.Statx_t
	entry dirscan.Entry
	tally tally
	uid   uint32 // of the last file
	owned bool   // it may go, as far as that goes
}

// mayLookAside reports whether the kernel says all that walkers has to know: which folders and files are
// mounts, before one is opened and of one that was looked at.
func mayLookAside(fd int) bool {
	var st unix.Statx_t
	return dirscan.Openat2() == nil && statAt(fd, thisFD, &st) == 0 && st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// except makes the Except of a walker, which looks at each file: none is to be looked at by the scan. The first
// reason ends it.
func (w *walkers) except() func(in *dirscan.Folder, name []byte) bool {
	at := &fileLook{w: w}
	w.each = append(w.each, at)
	return func(in *dirscan.Folder, name []byte) bool {
		if w.l.ended.Load() {
			return true
		}
		if why := at.look(in.FD(), name[:len(name)+1]); why != Removed { // its NUL
			w.l.stop(why)
			w.cancel()
		}
		return true
	}
}

// sum adds up what the walkers have seen, when all are done.
func (w *walkers) sum() {
	for _, at := range w.each {
		w.l.merge(&at.tally)
	}
}

// look looks at a file, whose name ends with a NUL.
func (at *fileLook) look(dirfd int, name []byte) Reason {
	if at.w.l.open == nil {
		return at.judge(dirfd, name)
	}
	fd, why := openHere(dirfd, name)
	if why != Removed {
		return why
	}
	if why = at.judge(fd, thisFD); why == Removed {
		why = at.w.inUse(fd, &at.entry)
	}
	closeFD(fd) // gives the lease back
	return why
}

// judge looks at what a name, or a descriptor, means.
func (at *fileLook) judge(dirfd int, name []byte) Reason {
	st, e, l := &at.st, &at.entry, at.w.l
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_EMPTY_PATH
	switch err := dirscan.Statx(dirfd, name, flags, lookMask, st); {
	case err == unix.ENOENT:
		return Changed
	case err != 0:
		return errorReason(err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return NotRegular
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return Mount
	}
	e.Ino, e.DevMajor, e.DevMinor = st.Ino, st.Dev_major, st.Dev_minor
	e.Mode, e.Nlink, e.UID, e.GID = st.Mode, st.Nlink, st.Uid, st.Gid
	e.SizeBytes, e.AllocatedBytes = int64(st.Size), int64(st.Blocks)*512
	e.AtimeNs, e.MtimeNs, e.CtimeNs = dirscan.Nanoseconds(&st.Atime), dirscan.Nanoseconds(&st.Mtime), dirscan.Nanoseconds(&st.Ctime)
	e.Fixed = st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
	if !at.owned || at.uid != e.UID {
		if why := l.owner(e.UID); why != Removed {
			return why
		}
		at.uid, at.owned = e.UID, true
	}
	if why := l.old(e); why != Removed {
		return why
	}
	if e.Nlink > 1 {
		l.mu.Lock()
		defer l.mu.Unlock()
		if why := l.link(e); why != Removed {
			return why
		}
	}
	if at.tally.add(e)%pulseEvery == 0 && l.r.pulse() != nil {
		return Stopped
	}
	return Removed
}

// inUse reports whether an open file is also open, mapped or locked elsewhere.
func (w *walkers) inUse(fd int, e *dirscan.Entry) Reason {
	if !w.elsewhere && takeLease(fd) == 0 {
		return Removed
	}
	w.slow.Lock()
	defer w.slow.Unlock()
	id := IdentityOf(e)
	if w.l.open.used(id) || w.elsewhere && w.l.open.maps(id) {
		return InUse
	}
	return w.l.r.openElsewhere(fd, id, e.UID)
}
