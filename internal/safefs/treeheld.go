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
	spare     sync.Pool  // of *fileLook
}

// fileLook is the memory for the look at one file.
type fileLook struct {
	st    unix.Statx_t
	entry dirscan.Entry
}

// mayLookAside reports whether the kernel says all that walkers has to know: which folders and files are
// mounts, before one is opened and of one that was looked at.
func mayLookAside(fd int) bool {
	var st unix.Statx_t
	return dirscan.Openat2() == nil && statAt(fd, thisFD, &st) == 0 && st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// except looks at a file, as dirscan.Options.Except, which is called by all walkers at the same time: none
// is to be looked at by the scan. The first reason ends it.
func (w *walkers) except(in *dirscan.Folder, name []byte) bool {
	if w.l.ended.Load() {
		return true
	}
	at, ok := w.spare.Get().(*fileLook)
	if !ok {
		at = new(fileLook)
	}
	if why := w.look(at, in.FD(), name[:len(name)+1]); why != Removed { // its NUL
		w.l.stop(why)
		w.cancel()
	}
	w.spare.Put(at)
	return true
}

// look looks at a file, whose name ends with a NUL.
func (w *walkers) look(at *fileLook, dirfd int, name []byte) Reason {
	fd := -1
	if w.l.open != nil {
		var why Reason
		if fd, why = openHere(dirfd, name); why != Removed {
			return why
		}
		defer unix.Close(fd) // gives the lease back
		dirfd, name = fd, thisFD
	}
	st, e := &at.st, &at.entry
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
	*e = dirscan.Entry{
		Ino: st.Ino, DevMajor: st.Dev_major, DevMinor: st.Dev_minor, Mode: st.Mode, Nlink: st.Nlink, UID: st.Uid, GID: st.Gid,
		SizeBytes: int64(st.Size), AllocatedBytes: int64(st.Blocks) * 512,
		AtimeNs: dirscan.Nanoseconds(&st.Atime), MtimeNs: dirscan.Nanoseconds(&st.Mtime), CtimeNs: dirscan.Nanoseconds(&st.Ctime),
		Fixed: st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0,
	}
	if why := w.l.judge(e); why != Removed || fd < 0 {
		return why
	}
	return w.inUse(fd, e)
}

// inUse reports whether an open file is also open, mapped or locked elsewhere.
func (w *walkers) inUse(fd int, e *dirscan.Entry) Reason {
	if !w.elsewhere && leased(fd) {
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
