package safefs

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

const (
	// bigTree is how many files a tree has that is looked at and removed by two workers.
	bigTree = 20_000
	// maxLinked bounds how many files with links elsewhere in their tree are kept in memory.
	maxLinked = 1 << 14
	// pulseEvery is after how many files Options.Pulse is called.
	pulseEvery = 256
)

// treeAsk is what a look at a tree wants of it.
type treeAsk struct {
	newestNs int64 // nothing in it is newer, by the policy's age_by
	counted  bool  // there are so many files and bytes
	files    int64
	bytes    int64
	dry      bool // nothing is opened but folders, nothing is locked
	aside    bool // no one else can reach it: files are leased, and the folder's ctime is that of the move
	rest     bool // of a removal that was cut off: folders have been changed by it, newestNs is of all times of files
}

// treeLook is what was seen in a tree. Folders of a big tree are looked at by two workers.
type treeLook struct {
	r    *Remover
	ask  treeAsk
	open *openFiles // as they were when the look began; nil without the in-use check

	spare sync.Pool   // of *dirscan.Entry, for folders
	whole bool        // each file was looked at
	ended atomic.Bool // there is a reason

	mu sync.Mutex
	tally
	changedNs int64               // newest mtime or ctime of all that is in it
	topNs     int64               // mtime of its own folder
	linked    map[fileID]*linkSet // of files with several links
	why       Reason
}

// tally counts files.
type tally struct {
	files, bytes int64
	freed        int64 // by those with one link
	filesNs      int64 // newest mtime or ctime
}

// add returns the number of files.
func (t *tally) add(e *dirscan.Entry) int64 {
	t.filesNs = max(t.filesNs, e.NewestNs())
	t.files++
	t.bytes += e.SizeBytes
	if e.Nlink <= 1 {
		t.freed += e.AllocatedBytes
	}
	return t.files
}

func (t *tally) merge(o *tally) {
	t.files += o.files
	t.bytes += o.bytes
	t.freed += o.freed
	t.filesNs = max(t.filesNs, o.filesNs)
}

type linkSet struct {
	missing   uint32 // names that have not been seen
	allocated int64
}

// stays is the error that ends a look.
type stays Reason

// Error returns the reason.
func (s stays) Error() string { return string(s) }

// lookAtTree looks at all that is in an open folder, and says why it must stay as a whole.
func (r *Remover) lookAtTree(fd int, ask treeAsk) (seen *treeLook, why Reason) {
	own, err := dirscan.OpenBeneath(fd, ".") // a listing of its own
	if err != nil {
		return nil, errorReason(err)
	}
	l := &treeLook{r: r, ask: ask, whole: true}
	if !r.opts.NoInUse {
		r.stacked(fd) // once, before there are two workers
		l.open = r.look.now()
	}
	workers := 1
	if ask.files >= r.big {
		workers = 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := dirscan.Options{
		Dir: r.opts.Dir, Recursive: true, MaxDepth: maxTreeDepth, Foreign: r.opts.OpenRoot != nil, Workers: workers, Visit: l.file,
		Enter: func(f *dirscan.Folder) {
			if why := l.folder(f.FD(), f.Depth()); why != Removed {
				l.stop(why)
				cancel()
			}
		},
	}
	w := &walkers{l: l, cancel: cancel}
	if ask.aside && mayLookAside(fd) {
		w.elsewhere = r.mapsElsewhere(fd)
		o.ExceptOf = w.except
	}
	res, err := dirscan.ScanFD(ctx, own, o)
	w.sum()
	l.note(l.filesNs)
	if why := l.outcome(&res, err); why != Removed {
		return nil, why
	}
	return l, Removed
}

// stop keeps the first reason.
func (l *treeLook) stop(why Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == Removed {
		l.why = why
		l.ended.Store(true)
	}
}

// outcome is what the whole look comes to.
func (l *treeLook) outcome(res *dirscan.Result, err error) Reason {
	var s stays
	switch {
	case l.why != Removed:
		return l.why
	case errors.As(err, &s):
		return Reason(s)
	case err != nil:
		return errorReason(err)
	case res.Skipped[dirscan.SkipMount] > 0:
		return Mount
	case res.Skipped[dirscan.SkipNotRegular] > 0:
		return NotRegular
	case res.Skipped[dirscan.SkipDepth] > 0:
		return TooDeep
	case res.Skipped[dirscan.SkipVanished] > 0:
		return Changed
	}
	for errno := range res.Errnos {
		return errorReason(errno)
	}
	for _, set := range l.linked {
		if set.missing == 0 {
			l.freed += set.allocated
		} else if !l.r.opts.RemoveLinks {
			return Hardlink
		}
	}
	if l.ask.counted && (l.files != l.ask.files || l.bytes != l.ask.bytes) {
		return Changed
	}
	return Removed
}

// age compares a time with what may be in the tree.
func (l *treeLook) age(ns int64) Reason {
	now, floor := l.r.opts.Now.UnixNano(), int64(l.r.opts.MinAge)
	switch {
	case l.ask.rest && ns > l.ask.newestNs:
		return Changed
	case l.ask.rest:
		return Removed
	case now-ns < -int64(futureSlack):
		return Future
	case now-ns < floor:
		return TooYoung
	case ns > l.ask.newestNs:
		return Changed
	}
	return Removed
}

// owner says whether a file or folder of this user may go.
func (l *treeLook) owner(uid uint32) Reason {
	switch {
	case l.r.foreign(uid):
		return Foreign
	case l.r.isOthers(uid):
		return Owner
	}
	return Removed
}

// folder looks at a folder of the tree when it is entered.
func (l *treeLook) folder(fd, depth int) Reason {
	if l.r.pulse() != nil {
		return Stopped
	}
	var st unix.Statx_t
	if err := statAt(fd, thisFD, &st); err != 0 {
		return errorReason(err)
	}
	e, ok := l.spare.Get().(*dirscan.Entry)
	if !ok {
		e = new(dirscan.Entry)
	}
	defer l.spare.Put(e)
	folderEntry(&st, e)
	if l.ask.aside && depth == 0 {
		l.topNs = e.MtimeNs
		e.CtimeNs = e.MtimeNs // it was moved
	}
	l.note(e.NewestNs())
	if why := l.owner(e.UID); why != Removed {
		return why
	}
	if !l.ask.rest {
		if why := l.age(l.r.opts.AgeNs(e)); why != Removed {
			return why
		}
	}
	if why := mayEmpty(fd, &st); why != Removed {
		return why
	}
	if l.open == nil {
		return Removed
	}
	id, ours := fileID{e.DevMajor, e.DevMinor, e.Ino}, !l.ask.dry && depth == 0 // locked by us
	if l.open.folders[id] || l.open.locked[id] && !ours {
		return InUse
	}
	if l.ask.dry || ours {
		return Removed
	}
	why := lockFolder(fd)
	_ = unix.Flock(fd, unix.LOCK_UN)
	return why
}

// mayEmpty returns what the kernel would say to the removal of what is in a folder.
func mayEmpty(fd int, st *unix.Statx_t) Reason {
	if st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0 {
		return errorReason(unix.EPERM)
	}
	if err := access(fd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return errorReason(err)
	}
	if st.Mode&unix.S_ISVTX != 0 && st.Uid != uint32(unix.Geteuid()) && !capable(unix.CAP_FOWNER) {
		return errorReason(unix.EPERM)
	}
	return Removed
}

// file looks at a file of the tree.
func (l *treeLook) file(e *dirscan.Entry) error {
	why := l.judge(e)
	if why == Removed && l.open != nil {
		why = l.inUse(e)
	}
	if why != Removed {
		return stays(why)
	}
	return nil
}

func (l *treeLook) judge(e *dirscan.Entry) Reason {
	if why := l.owner(e.UID); why != Removed {
		return why
	}
	if why := l.old(e); why != Removed {
		return why
	}
	files, why := l.count(e)
	if why == Removed && files%pulseEvery == 0 && l.r.pulse() != nil {
		return Stopped
	}
	return why
}

// old says whether a file may go because of its times and flags.
func (l *treeLook) old(e *dirscan.Entry) Reason {
	ns := e.NewestNs()
	if !l.ask.rest {
		ns = l.r.opts.AgeNs(e)
	}
	if why := l.age(ns); why != Removed {
		return why
	}
	if e.Fixed {
		return errorReason(unix.EPERM)
	}
	return Removed
}

// count adds a file to what was seen.
func (l *treeLook) count(e *dirscan.Entry) (files int64, why Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Nlink > 1 {
		why = l.link(e)
	}
	return l.add(e), why
}

// link counts a name of a file that has several. All of them may lie in the tree.
func (l *treeLook) link(e *dirscan.Entry) Reason {
	id := fileID{e.DevMajor, e.DevMinor, e.Ino}
	set := l.linked[id]
	if set == nil {
		if len(l.linked) >= maxLinked {
			return Hardlink
		}
		if l.linked == nil {
			l.linked = make(map[fileID]*linkSet)
		}
		set = &linkSet{missing: e.Nlink, allocated: e.AllocatedBytes}
		l.linked[id] = set
	}
	if set.missing > 0 {
		set.missing--
	}
	return Removed
}

func (l *treeLook) note(ns int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changedNs = max(l.changedNs, ns)
}

// inUse looks a file up among those that are open, and where no one else can open it any more asks
// for a lease too.
func (l *treeLook) inUse(e *dirscan.Entry) Reason {
	id := IdentityOf(e)
	if l.open.used(id) || l.r.mapsElsewhere(e.Parent.FD()) && l.open.maps(id) {
		return InUse
	}
	if !l.ask.aside {
		return Removed
	}
	l.r.name = append(append(l.r.name[:0], e.Name...), 0)
	return l.r.heldElsewhere(e.Parent.FD(), l.r.name, id, e.UID)
}
