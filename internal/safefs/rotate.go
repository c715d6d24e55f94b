package safefs

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// maxSerial bounds how many rotations of one log fall into one second.
const maxSerial = 1000

// RotateOptions configure a Rotator. Now, Oversize and Remover are required.
type RotateOptions struct {
	DryRun   bool // everything but the effect
	Compress bool // copies are written with gzip
	Now      time.Time
	Naming   policy.Naming                              // of what is rotated
	OldDir   string                                     // the name of a folder next to each log, for what is rotated; it is made where it is missing; "" = next to the log
	Oversize func(sizeBytes, allocatedBytes int64) bool // asked again when the log is held
	Remover  *Remover                                   // of the root, for what Compress replaces; it looks at what is open too
	ProcRoot string                                     // where the writers of a log are looked for; default the Remover's
}

// Rotator rotates the logs below one root, for one run. A log is the only kind of file that is
// dealt with while someone has it open; what holds instead is that not one byte leaves it before
// a copy of it, synced, bears its final name, and that the file under that name is the copy.
type Rotator struct {
	opts    RotateOptions
	st      unix.Statx_t
	writers *descriptors // scanned when the first log is held
	look    *OpenFiles

	// For tests: beforeTruncate is called when the copy is complete, inWindow between the last look
	// at a log and its cut to nothing.
	beforeTruncate, inWindow func()
}

// Rotated is the result of one rotation or compression.
type Rotated struct {
	Name       string // the new name; "" in a dry run
	FreedBytes int64  // blocks given back to the disk
	LostBytes  int64  // written between the last look at the log and its cut, and in neither file
	// MayHaveLost says that a loss cannot be ruled out: the log was being written when it was cut to nothing, and its
	// writers may not all be seen.
	MayHaveLost bool
	Private     bool // the access list or label could not be kept, so only the owner may open the file
}

// NewRotator returns a Rotator for one run.
func NewRotator(o RotateOptions) *Rotator {
	r := &Rotator{opts: o}
	if o.Remover != nil {
		r.look = o.Remover.look
	} else {
		r.look = NewOpenFiles("")
	}
	if o.ProcRoot == "" {
		r.opts.ProcRoot = r.look.procRoot
	}
	return r
}

// hold opens a log, makes sure that it is the one that the walk saw, and locks it against another
// rotation. flags say how it is opened.
func (r *Rotator) hold(e *dirscan.Entry, flags int) (f *os.File, why Reason) {
	name := append(append([]byte(nil), e.Name...), 0)
	flags |= unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, errno := openAt(e.Parent.FD(), name, flags|unix.O_NOATIME)
	if errno == unix.EPERM {
		fd, errno = openAt(e.Parent.FD(), name, flags)
	}
	switch errno {
	case 0:
	case unix.ENOENT:
		return nil, Changed
	case unix.ELOOP:
		return nil, Symlink
	case unix.ENXIO, unix.EISDIR:
		return nil, NotRegular
	case unix.EWOULDBLOCK, unix.ETXTBSY:
		return nil, InUse
	default:
		return nil, errorReason(errno)
	}
	f = os.NewFile(uintptr(fd), string(e.Name))
	if r.opts.Remover != nil {
		why = r.opts.Remover.inPlace(e.Parent)
	}
	if why != Removed {
		f.Close()
		return nil, why
	}
	why = r.check(fd, thisFD, e.Ino, e.DevMajor, e.DevMinor)
	if why == Removed && r.st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 && !dirscan.SameMount(fd, e.Parent.FD()) {
		why = Mount // before Linux 5.8 check does not see it
	}
	if why != Removed {
		f.Close()
		return nil, why
	}
	switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
	case nil, unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSYS, unix.EBADF: // no locks here
	case unix.EWOULDBLOCK: // another rotation, or a writer that wants to be alone with its log
		f.Close()
		return nil, InUse
	default:
		f.Close()
		return nil, errorReason(err)
	}
	if why := r.stillOversize(fd); why != Removed {
		f.Close()
		return nil, why
	}
	return f, Removed
}

// check looks whether a name is the log that the walk saw: a log grows, so only what it is must be
// the same.
func (r *Rotator) check(dirfd int, name []byte, ino uint64, major, minor uint32) Reason {
	switch err := statAt(dirfd, name, &r.st); err {
	case 0:
	case unix.ENOENT:
		return Changed
	default:
		return errorReason(err)
	}
	switch st := &r.st; {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return Symlink
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return NotRegular
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return Mount
	case st.Ino != ino || st.Dev_major != major || st.Dev_minor != minor:
		return Changed
	case r.opts.Remover != nil && r.opts.Remover.foreign(st.Uid):
		return Foreign
	case r.opts.Remover != nil && r.opts.Remover.isOthers(st.Uid):
		return Owner
	case st.Nlink > 1:
		return Hardlink
	case st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0:
		return errorReason(unix.EPERM)
	}
	return Removed
}

// stillOversize asks again under the lock: another rotation may have been faster.
func (r *Rotator) stillOversize(fd int) Reason {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return errorReason(err)
	}
	if !r.opts.Oversize(st.Size, st.Blocks*512) {
		return Changed
	}
	return Removed
}

// foreseeHold returns what hold would say to a log, and opens nothing.
func (r *Rotator) foreseeHold(e *dirscan.Entry, rights uint32) Reason {
	dirfd, name := e.Parent.FD(), append(append([]byte(nil), e.Name...), 0)
	if why := r.check(dirfd, name, e.Ino, e.DevMajor, e.DevMinor); why != Removed {
		return why
	}
	if err := mayOpen(dirfd, name, rights); err != nil {
		return errorReason(err)
	}
	if r.look.now().locks(IdentityOf(e)) {
		return InUse
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, string(e.Name), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return moveReason(err)
	}
	if !r.opts.Oversize(st.Size, st.Blocks*512) {
		return Changed
	}
	return Removed
}

// foresee returns what the kernel would say to a new name for the log that was just looked at and,
// for a copy, to giving it the log's owner.
func (r *Rotator) foresee(e *dirscan.Entry, copied bool) Reason {
	into, why := r.openOldDir(e)
	if why != Removed {
		return why
	}
	defer into.close()
	dirfd := into.fd
	if !copied { // the name that it had goes, too
		if err := access(e.Parent.FD(), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			return errorReason(err)
		}
	}
	if me := unix.Geteuid(); copied && me != 0 && int(r.st.Uid) != me {
		return errorReason(unix.EPERM)
	}
	if err := access(dirfd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return errorReason(err)
	}
	return Removed
}

// Rename gives a log its rotated name during the Visit that found it. Its writer goes on writing
// to it until it opens a new one: nothing is lost. name is the new name.
func (r *Rotator) Rename(e *dirscan.Entry) (name string, why Reason) {
	dirfd := e.Parent.FD()
	if r.opts.DryRun {
		if why := r.foreseeHold(e, unix.R_OK); why != Removed {
			return "", why
		}
		return "", r.foresee(e, false)
	}
	f, why := r.hold(e, unix.O_RDONLY)
	if why != Removed {
		return "", why
	}
	defer f.Close()
	into, why := r.openOldDir(e)
	if why != Removed {
		return "", why
	}
	defer into.close()
	name, err := r.take(dirfd, string(e.Name), into.fd, string(e.Name), false)
	if err != nil {
		return "", moveReason(err)
	}
	why = r.check(into.fd, append([]byte(name), 0), e.Ino, e.DevMajor, e.DevMinor)
	if why == Removed && !into.stays() {
		why = Moved
	}
	if why != Removed {
		if err := moveBack(into.fd, name, dirfd, string(e.Name)); err != nil {
			return "", errorReason(err)
		}
		return "", why
	}
	if err := errors.Join(unix.Fsync(into.fd), unix.Fsync(dirfd)); err != nil {
		return name, errorReason(err)
	}
	return name, Removed
}

// take renames a file to the first free rotated name of a log in a folder.
func (r *Rotator) take(fromDir int, from string, dirfd int, log string, compressed bool) (name string, err error) {
	for serial := 1; serial <= maxSerial; serial++ {
		name = r.opts.Naming.Rotated(log, r.opts.Now, serial, compressed)
		if isTaken(dirfd, r.opts.Naming.Rotated(log, r.opts.Now, serial, !compressed)) {
			continue // one rotation is one number
		}
		err = moveTo(fromDir, from, dirfd, name)
		if !errors.Is(err, unix.EEXIST) {
			return name, err
		}
	}
	return "", unix.EEXIST
}

// Born returns when a file was made, zero where its file system does not say.
func Born(e *dirscan.Entry) time.Time {
	var st unix.Statx_t
	err := statPath(e.Parent.FD(), string(e.Name), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}

func isTaken(dirfd int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

func moveReason(err error) Reason {
	switch {
	case errors.Is(err, unix.ENOENT):
		return Changed
	case errors.Is(err, unix.EBUSY):
		return Mount
	}
	return errorReason(err)
}

// Compress replaces a rotated log, which was found earlier in the run and which no one has open,
// by its gzip file. One with large holes stays as it is: its zeros would only cost time.
func (r *Rotator) Compress(ctx context.Context, found Found) (out Rotated, why Reason) {
	root, err := r.opts.Remover.root()
	if err != nil {
		return out, errorReason(err)
	}
	how := r.opts.Remover.manner()
	how.dry, how.opens = true, !r.opts.DryRun
	_, why = r.opts.Remover.removeFound(found, how) // which it has to be in the end
	if why == Removed && isSparse(found.Identity.SizeBytes, found.AllocatedBytes) {
		why = Sparse
	}
	if why != Removed || r.opts.DryRun {
		return out, why
	}
	dirfd, name := root, found.Path
	if i := strings.LastIndexByte(found.Path, '/'); i >= 0 {
		name = found.Path[i+1:]
		if dirfd, err = dirscan.OpenBeneath(root, found.Path[:i]); err != nil {
			return out, pathReason(err)
		}
		defer unix.Close(dirfd)
	}
	id := found.Identity
	fd, errno := openAt(dirfd, append([]byte(name), 0), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC)
	if errno != 0 {
		return out, moveReason(errno)
	}
	src := os.NewFile(uintptr(fd), name)
	defer src.Close()
	if why := r.check(fd, thisFD, id.Ino, id.DevMajor, id.DevMinor); why != Removed {
		return out, why
	}
	if l, err := layoutOf(src); err != nil || l.sparse() {
		if err != nil {
			return out, errorReason(err)
		}
		return out, Sparse
	}
	return r.replace(ctx, dirfd, src, found, name)
}

// replace writes the gzip file of src, and removes src if it is still what it was when it was
// found; else the gzip file goes again.
func (r *Rotator) replace(ctx context.Context, dirfd int, src *os.File, found Found, name string) (out Rotated, why Reason) {
	if _, ok := r.opts.Naming.Parse([]byte(name)); !ok {
		return out, NotRegular
	}
	c, err := r.newCopy(dirfd, src, true)
	if err != nil {
		return out, errorReason(err)
	}
	defer c.close()
	if err := c.add(ctx, found.Identity.SizeBytes); err != nil {
		return out, copyReason(err)
	}
	final := policy.Compressed(name)
	if err := c.publish(func(temp string) (string, error) {
		return final, moveTo(dirfd, temp, dirfd, final)
	}); err != nil {
		c.withdraw()
		return out, copyReason(err)
	}
	src.Close() // else it is open, by us
	was, why := r.opts.Remover.RemoveFound(found)
	if why != Removed {
		c.withdraw()
		return out, why
	}
	return Rotated{Name: final, FreedBytes: max(0, was-c.allocated()), Private: c.private}, Removed
}
