package safefs

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hold opens the file and makes sure that nobody else has it open: a write lease is granted only
// where there is no other open description (fcntl(2), F_SETLEASE), which includes mappings; an
// advisory lock of somebody else is respected too. Lease and lock last as long as the returned
// descriptor, around the removal, and no longer. The runtime ignores the SIGIO of a lease that is
// broken; whoever breaks it waits for the close, a few microseconds, and then has the file, which
// broken tells.
func (r *Remover) hold(dirfd int, id Identity) (int, Reason) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := openAt(dirfd, r.name, flags|unix.O_NOATIME)
	if err == unix.EPERM {
		fd, err = openAt(dirfd, r.name, flags)
	}
	switch err {
	case 0:
	case unix.ENOENT:
		return -1, Changed
	case unix.ELOOP:
		return -1, Symlink
	case unix.ENXIO: // a socket, or a fifo with no reader
		return -1, NotRegular
	case unix.EWOULDBLOCK, unix.ETXTBSY: // somebody else's lease
		return -1, InUse
	default:
		return -1, errorReason(err)
	}
	why := r.same(fd, thisFD, id)
	if why == Removed {
		why = r.exclusive(fd, id)
	}
	if why != Removed {
		unix.Close(fd)
		return -1, why
	}
	return fd, Removed
}

// exclusive takes the lock and the lease, or looks through the open descriptors of the host where
// the filesystem or our rights do not allow a lease.
func (r *Remover) exclusive(fd int, id Identity) Reason {
	switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
	case nil:
	case unix.EWOULDBLOCK:
		return InUse
	case unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSYS: // no locks here
	case unix.EBADF: // NFS makes it a lock of the file, which asks for a descriptor that may write
	default:
		return errorReason(err)
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
	r.leased = err == nil
	switch err {
	case nil:
		if r.stacked(fd) && r.lookAround().maps(id) {
			return InUse
		}
		return Removed
	case unix.EAGAIN:
		return InUse
	case unix.EINVAL, unix.EACCES, unix.EPERM, unix.ENOLCK, unix.EOPNOTSUPP:
	default:
		return errorReason(err)
	}
	owner := r.st.Uid
	open := r.lookAround()
	switch {
	case open.holds(id):
		return InUse
	case open.hides(owner):
		return NoLease
	}
	return Removed
}

// lookAround returns the files that are open now, or were a moment ago.
func (r *Remover) lookAround() *openFiles {
	if r.open == nil || r.open.stale() {
		r.open = scanOpenFiles(r.opts.ProcRoot)
	}
	return r.open
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

// broken reports whether somebody has come for the file since the lease was granted.
func (r *Remover) broken(fd int) bool {
	if !r.leased {
		return false
	}
	kind, err := unix.FcntlInt(uintptr(fd), unix.F_GETLEASE, 0)
	return err != nil || kind != unix.F_WRLCK
}

// openFiles are the files that processes of this host have open or mapped, as far as this user
// may see them.
type openFiles struct {
	files    map[fileID]bool
	mapped   map[uint64]bool // inode numbers of mapped files
	hidden   map[uint32]bool // users with a process that could not be looked into
	hidesAll bool            // other users' processes are not even listed
	at       time.Time
	took     time.Duration
}

type fileID struct {
	major, minor uint32
	ino          uint64
}

func (o *openFiles) holds(id Identity) bool {
	return o.files[fileID{id.DevMajor, id.DevMinor, id.Ino}]
}

// maps reports whether a file may be mapped. On an overlay the maps may show the device of the layer
// below, so the inode number alone decides; another file that has it stays for nothing, once.
func (o *openFiles) maps(id Identity) bool { return o.mapped[id.Ino] }

// hides reports whether a process of the user may have files open that were not seen.
func (o *openFiles) hides(uid uint32) bool {
	return o.hidden[uid] || o.hidesAll && int(uid) != os.Geteuid()
}

// stale reports whether it is time to look again: a long run would rely on what was open at its
// start, and one that looks too often would do nothing else.
func (o *openFiles) stale() bool { return time.Since(o.at) > max(2*time.Second, 20*o.took) }

// scanOpenFiles looks at every mapping, and at every descriptor of every other process, once.
func scanOpenFiles(root string) *openFiles {
	o := &openFiles{files: make(map[fileID]bool), mapped: make(map[uint64]bool), hidden: make(map[uint32]bool), hidesAll: true, at: time.Now()}
	self := strconv.Itoa(os.Getpid())
	pids, err := os.ReadDir(root)
	if err != nil {
		return o
	}
	for _, p := range pids {
		name := p.Name()
		if name == "1" {
			o.hidesAll = false // proc(5): with hidepid=invisible the first process is not listed
		}
		if strings.Trim(name, "0123456789") != "" {
			continue
		}
		var fds error
		if name != self { // which has the file at work open
			fds = o.scanDescriptors(filepath.Join(root, name, "fd"))
		}
		maps := o.scanMaps(filepath.Join(root, name, "maps"))
		if err := cmp.Or(fds, maps); errors.Is(err, fs.ErrPermission) {
			var st unix.Stat_t
			if unix.Stat(filepath.Join(root, name), &st) == nil {
				o.hidden[st.Uid] = true
			}
		}
	}
	o.took = time.Since(o.at)
	return o
}

func (o *openFiles) scanDescriptors(dir string) error {
	fds, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var st unix.Statx_t
	for _, fd := range fds {
		err := unix.Statx(unix.AT_FDCWD, filepath.Join(dir, fd.Name()), unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_TYPE, &st)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			o.files[fileID{st.Dev_major, st.Dev_minor, st.Ino}] = true
		}
	}
	return nil
}

func (o *openFiles) scanMaps(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if id, ok := parseMapsLine(lines.Bytes()); ok {
			o.files[id] = true
			o.mapped[id.ino] = true
		}
	}
	return lines.Err()
}

// parseMapsLine reads device and inode of a line of /proc/pid/maps (proc(5)):
// "7f0-7f1 r--p 00000000 fe:00 1234  /usr/lib/libc.so".
func parseMapsLine(line []byte) (id fileID, ok bool) {
	fields := bytes.Fields(line)
	if len(fields) < 5 {
		return id, false
	}
	major, minor, ok := strings.Cut(string(fields[3]), ":")
	if !ok {
		return id, false
	}
	a, err1 := strconv.ParseUint(major, 16, 32)
	b, err2 := strconv.ParseUint(minor, 16, 32)
	ino, err3 := strconv.ParseUint(string(fields[4]), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || ino == 0 {
		return id, false
	}
	return fileID{uint32(a), uint32(b), ino}, true
}
