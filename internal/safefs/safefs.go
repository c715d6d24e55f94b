package safefs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// Reason says why a file that was due stayed; "" means that it was removed (in a dry run: that it
// would be).
type Reason string

// The reasons. An unexpected error is "error_" and the errno's name.
const (
	Removed    Reason = ""
	TooYoung   Reason = "too_young"
	InUse      Reason = "in_use"
	Changed    Reason = "changed"
	Symlink    Reason = "symlink"
	Hardlink   Reason = "hardlink"
	NotRegular Reason = "not_regular"
	Mount      Reason = "mount"
	Future     Reason = "future"
	// Owner says that the file belongs neither to the owner of the root nor to one of Options.Owners.
	Owner Reason = "owner"
	// Moved says that the file's folder was moved out of the root while the run went on.
	Moved Reason = "moved"
	// Foreign says that a file in the folder of a target belongs to a user that the target's user
	// namespace does not have: the file is not the target's, whoever showed it there.
	Foreign Reason = "foreign"
	Stopped Reason = "stopped" // the run was stopped in the middle of a copy
	// Busy says that a log was never still for long enough to be cut without losing a line.
	Busy Reason = "busy"
	// NotAppending says that a writer of the log does not append (O_APPEND): after a cut it would
	// go on at its old place, behind a hole.
	NotAppending Reason = "not_appending"
	// Sparse says that a rotated log stays uncompressed because of its large holes.
	Sparse Reason = "sparse"
	// NoLease says that it is not known whether the file is open: a lease was refused, and there
	// are processes of the file's owner that this user may not look into. CAP_LEASE helps.
	NoLease Reason = "error_no_lease"
)

func errorReason(err error) Reason {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		errno = unix.EIO
	}
	return Reason(dirscan.ErrorReason(errno))
}

// futureSlack is how far ahead of the clock a time may be before it is called future.
const futureSlack = 2 * time.Second

// Options configure a Remover. Dir and Now are required.
type Options struct {
	Dir         string                         // the root; it has passed CheckRoot
	OpenRoot    func() (dirscan.Opened, error) // opens a root that has no path on this host; Dir is what it is called then. nil = by its path
	Roots       *Roots                         // what the root and the quarantine must be; nil: not compared
	DryRun      bool                           // everything but the effect; no file is opened
	RemoveLinks bool                           // files with several hard links too
	MinAge      time.Duration                  // floor
	AgeNs       func(*dirscan.Entry) int64     // what ages are measured from; default the newer of mtime and ctime
	Strict      bool                           // move into a holding folder and look again first
	Quarantine  string                         // move into this folder, which has passed CheckQuarantine, in place of removing
	// Owners are those whose files may go as well as those of the root's owner. nil: with root's rights no one's, else
	// everyone's; of a root that OpenRoot opens everyone's whom the target has.
	Owners []uint32
	Now    time.Time
	Open   *OpenFiles // asked in a dry run, and where leases are not to be had; default one of its own
	// Pulse, when set, is called now and then while a tree or a group is looked at and removed, by one or two
	// goroutines. An error stops it: what is looked at is moved back, and what is going is finished by
	// the next start.
	Pulse   func() error
	NoInUse bool // benchmarks only: leave out the in-use check, and the look after the time that it takes
}

// Identity is what must not change between the judgement and the removal.
type Identity struct {
	Ino                uint64
	DevMajor, DevMinor uint32
	SizeBytes          int64
	MtimeNs, CtimeNs   int64
}

// IdentityOf returns the identity of an entry as the walk saw it.
func IdentityOf(e *dirscan.Entry) Identity {
	return Identity{e.Ino, e.DevMajor, e.DevMinor, e.SizeBytes, e.MtimeNs, e.CtimeNs}
}

// Remover removes files below one root, one at a time, for one run. It owns the descriptors that it
// opens on the way, so that it must not be copied: what a copy opens, Close does not see.
type Remover struct {
	_          noCopy
	opts       Options
	look       *OpenFiles
	rootFD     int                   // descriptor of the root; -1 until it is needed
	rootUID    uint32                // whose the root is, once it is open
	holding    int                   // descriptor of the holding folder; -1 until it is needed
	into       int                   // descriptor of Options.Quarantine; -1 until it is needed
	owns       func(uid uint32) bool // whose files may go; nil = everybody's
	place      string                // of a root that was opened by OpenRoot
	lies       place
	locks      folderLock
	path       []byte // of a folder, for a moment
	gone       gone
	serial     int
	name       []byte // of the file at work, with its NUL
	leased     bool   // the file at work is under our lease
	picks      bool   // by owner
	careful    bool   // looks before it opens: see isRefusal
	filesystem int64  // statfs's type of the root; 0 until it was asked
	most       uint32 // names that the file at work may have; 1 but for RemoveLinked
	nth        int    // which of them is at work
	ctimeNs    int64  // of the file at work after it has lost a name
	big        int64  // bigTree and smallTree, but for tests
	small      int64
	st         unix.Statx_t
}

// noCopy lets go vet (copylocks) report a copy of what holds it.
type noCopy struct{}

// Lock and Unlock are what go vet looks for.
func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// manner is how one file is dealt with: as the options say, unless a part of the run says otherwise.
type manner struct {
	dry    bool // everything but the effect
	opens  bool // in a dry run too, files are opened to see whether they are in use
	strict bool // moved aside and looked at again first
	seen   bool // the walk has looked at the name this moment
}

func (r *Remover) manner() manner { return manner{dry: r.opts.DryRun, strict: r.opts.Strict} }

// NewRemover returns a Remover for one run. Close it.
func NewRemover(o Options) *Remover {
	if o.AgeNs == nil {
		o.AgeNs = (*dirscan.Entry).NewestNs
	}
	if o.Open == nil {
		o.Open = NewOpenFiles("")
	}
	r := &Remover{opts: o, look: o.Open, rootFD: -1, holding: -1, into: -1, most: 1, big: bigTree, small: smallTree}
	r.picks = o.Owners != nil || o.OpenRoot == nil && (unix.Geteuid() == 0 || capable(unix.CAP_DAC_OVERRIDE) || capable(unix.CAP_FOWNER))
	return r
}

func (r *Remover) pulse() error {
	if r.opts.Pulse == nil {
		return nil
	}
	return r.opts.Pulse()
}

// Close closes what the run held open.
func (r *Remover) Close() {
	for _, fd := range []int{r.rootFD, r.holding, r.into} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// Scan walks the root of the run. Its Dir need not be set.
func (r *Remover) Scan(ctx context.Context, o dirscan.Options) (dirscan.Result, error) {
	root, err := r.root()
	if err != nil {
		return dirscan.Result{}, err
	}
	fd, err := dirscan.OpenBeneath(root, ".") // a listing of its own
	if err != nil {
		return dirscan.Result{}, fmt.Errorf("open %s again: %w", r.opts.Dir, err)
	}
	o.Dir, o.Open, o.Foreign = r.opts.Dir, nil, r.opts.OpenRoot != nil
	return dirscan.ScanFD(ctx, fd, o)
}

const statMask = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_SIZE | unix.STATX_MTIME | unix.STATX_CTIME | unix.STATX_NLINK | unix.STATX_UID

// Remove removes an entry, or moves it into the quarantine, during the Visit that found it. freed is
// the space given back: the allocated blocks of a last link, and nothing for a move.
func (r *Remover) Remove(e *dirscan.Entry) (freed int64, why Reason) {
	if why := r.Allowed(e); why != Removed {
		return 0, why
	}
	if why := r.inPlace(e.Parent); why != Removed {
		return 0, why
	}
	if why := r.parentLocked(e.Parent); why != Removed {
		return 0, why
	}
	r.name = append(append(r.name[:0], e.Name...), 0)
	how := r.manner()
	how.seen = true
	if why := r.remove(e.Parent.FD(), IdentityOf(e), how); why != Removed {
		return 0, why
	}
	return r.gives(IdentityOf(e), r.freed(e.Nlink, e.AllocatedBytes)), Removed
}

func (r *Remover) freed(links uint32, allocated int64) int64 {
	if links > 1 || r.opts.Quarantine != "" {
		return 0
	}
	return allocated
}

// Allowed makes the checks that need no further system call.
func (r *Remover) Allowed(e *dirscan.Entry) Reason {
	age := r.opts.Now.UnixNano() - r.opts.AgeNs(e)
	switch {
	case e.Mode&unix.S_IFMT != unix.S_IFREG:
		return NotRegular
	case r.foreign(e.UID):
		return Foreign
	case r.isOthers(e.UID):
		return Owner
	case e.Nlink > 1 && !r.opts.RemoveLinks:
		return Hardlink
	case age < -int64(futureSlack):
		return Future
	case age < int64(r.opts.MinAge):
		return TooYoung
	}
	return Removed
}

// foreign reports whether a file belongs to a user whose files this root does not have.
func (r *Remover) foreign(uid uint32) bool { return r.owns != nil && !r.owns(uid) }

// Found is a file to be removed later in the same run, when its folder is not open any more.
type Found struct {
	Path           string // relative to the root
	Identity       Identity
	Nlink          uint32
	AllocatedBytes int64
	why            Reason // what Allowed said when it was found
}

// Why returns what Allowed said when the file was found.
func (f *Found) Why() Reason { return f.why }

// Find notes an entry for RemoveFound.
func (r *Remover) Find(e *dirscan.Entry) Found {
	return Found{
		Path: string(e.AppendPath(nil)), Identity: IdentityOf(e), Nlink: e.Nlink,
		AllocatedBytes: e.AllocatedBytes, why: r.Allowed(e),
	}
}

// RemoveFound is Remove for a file that was found earlier. The folders on the way are opened as
// the walk opened them.
func (r *Remover) RemoveFound(f Found) (freed int64, why Reason) { return r.removeFound(f, r.manner()) }

func (r *Remover) removeFound(f Found, how manner) (freed int64, why Reason) {
	if f.why != Removed {
		return 0, f.why
	}
	if why := r.removePath(f.Path, f.Identity, how); why != Removed {
		return 0, why
	}
	if how.dry {
		return r.freed(f.Nlink, f.AllocatedBytes), Removed
	}
	return r.gives(f.Identity, r.freed(f.Nlink, f.AllocatedBytes)), Removed
}

func pathReason(err error) Reason {
	switch {
	case errors.Is(err, unix.ENOENT):
		return Changed
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return Symlink
	case errors.Is(err, unix.EXDEV):
		return Mount
	}
	return errorReason(err)
}

// remove makes the checks on the file itself and, outside a dry run, removes it. dirfd is the
// folder that r.name lies in.
func (r *Remover) remove(dirfd int, id Identity, how manner) Reason {
	if how.dry && !how.opens {
		return r.foresee(dirfd, id)
	}
	if r.careful {
		if why := r.foresee(dirfd, id); why != Removed {
			return why
		}
	}
	why := r.removeNow(dirfd, id, how)
	r.careful = r.careful || isRefusal(why)
	return why
}

// removeNow opens the file to see whether it is in use, and removes it.
func (r *Remover) removeNow(dirfd int, id Identity, how manner) Reason {
	fd, named := -1, how.seen
	if !r.opts.NoInUse {
		held, why := r.hold(dirfd, id)
		if why != Removed {
			return why
		}
		defer closeFD(held) // also gives back lease and lock
		fd, named = held, r.isNamed(id)
	}
	if !named {
		if why := r.same(dirfd, r.name, id); why != Removed {
			return why
		}
	}
	if how.dry {
		return r.foreseeUnlink(dirfd)
	}
	if fd >= 0 && r.broken(fd) {
		return InUse
	}
	defer r.after(fd) // before it is closed
	if r.opts.Quarantine != "" {
		return r.moveOut(dirfd, id)
	}
	if how.strict {
		return r.removeStrictly(dirfd, id)
	}
	return unlink(dirfd, r.name)
}

func unlink(dirfd int, name []byte) Reason {
	switch err := removeAt(dirfd, name, 0); err {
	case 0:
		return Removed
	case unix.ENOENT:
		return Changed
	case unix.EISDIR:
		return NotRegular
	case unix.EBUSY: // something is mounted on it
		return Mount
	default:
		return errorReason(err)
	}
}

// thisFD is the name that means the descriptor itself, and upName that of the folder above.
var thisFD, upName = []byte{0}, []byte("..\x00")

// same reports whether a name still means the file that was judged.
func (r *Remover) same(dirfd int, name []byte, id Identity) Reason {
	switch err := statAt(dirfd, name, &r.st); err {
	case 0:
		return r.compare(id, true)
	case unix.ENOENT:
		return Changed
	default:
		return errorReason(err)
	}
}

func (r *Remover) compare(id Identity, ctime bool) Reason {
	st := &r.st
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFLNK:
		return Symlink
	case kind != unix.S_IFREG:
		return NotRegular
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return Mount
	case st.Ino != id.Ino || st.Dev_major != id.DevMajor || st.Dev_minor != id.DevMinor || int64(st.Size) != id.SizeBytes ||
		dirscan.Nanoseconds(&st.Mtime) != id.MtimeNs || ctime && dirscan.Nanoseconds(&st.Ctime) != id.CtimeNs:
		return Changed
	case st.Nlink > r.most && !r.opts.RemoveLinks:
		return Hardlink
	case st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0: // what unlink would say, also in a dry run
		return errorReason(unix.EPERM)
	}
	return Removed
}
