package safefs

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// smallTree is how many files a tree has of which each is looked at once more before it goes.
const smallTree = 4096

// clearing is the removal of one tree that no one else can reach, from the bottom up.
//
// No file of a large tree is looked at directly before it goes: each was, with a lease, after the tree had been moved
// where no path leads for others. Only who has a folder of it open from before, or works in it, can still change
// anything. A name that is added, exchanged or moved changes the times of its folder, which are compared before the
// first file of each listing goes; a folder that is moved lies elsewhere, which is looked at then and after each
// lookAgain names. One more look at each file, a quarter of what an rm costs, would find in addition what such a one
// has opened by name after the second look, and written. That look itself, and its lease, cannot be left out: it is
// the only one at each file, and no table of this host says what is open in a message between two processes, in a
// ring of io_uring or in the kernel.
type clearing struct {
	changedNs int64  // nothing that was looked at is newer, by mtime and ctime
	topNs     int64  // of the tree's own folder, which the move has changed
	each      bool   // each file is looked at
	above     fileID // the folder that the tree lies in
	remove    func(dirfd int, name []byte) Reason
	pulse     func() error
	linked    map[fileID]*linkSet // files with several links, as they were seen
	files     atomic.Int64
	idle      chan *batch // to a worker that waits; nil when there is one
	spare     sync.Pool   // of *batch
	waiting   atomic.Int32
	work      sync.WaitGroup
	ended     atomic.Bool // there is a reason
	mu        sync.Mutex
	why       Reason // the first one
}

// batch is sub-folders of one folder that another worker empties.
type batch struct {
	up    *level
	names []byte // each with a NUL
}

// end ends the work of all workers, for the first reason, which it returns.
func (c *clearing) end(why Reason) Reason {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == Removed {
		c.why = why
		c.ended.Store(true)
	}
	return c.why
}

// level is a folder at work, and those above it.
type level struct {
	up    *level
	fd    int
	id    fileID
	name  []byte // with its NUL
	given sync.WaitGroup
	mu    sync.Mutex
	why   Reason       // of what another worker has left in it
	after unix.Statx_t // as it was after the last removal from it, of empty folders
}

func (l *level) fail(why Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == Removed {
		l.why = why
	}
}

// clearAside removes a tree that was looked at in the holding folder. Its name says so from then on, so that
// the next start can finish what is cut off.
func (r *Remover) clearAside(fd int, t Tree, as string, seen *treeLook) (freed, files int64, skipped Reason) {
	going := goingName(t, seen.filesNs) + r.serialName()
	if err := unix.Renameat2(r.holding, as, r.holding, going, 0); err != nil {
		if err = unix.Renameat(r.holding, as, r.holding, going); err != nil {
			return 0, 0, errorReason(err)
		}
	}
	files, why := r.clearTree(fd, going, seen)
	if why != Removed {
		return 0, files, why
	}
	return seen.freed, files, Removed
}

// clearTree empties a folder of the holding folder and removes it.
func (r *Remover) clearTree(fd int, name string, seen *treeLook) (files int64, why Reason) {
	above, _, err := lookAtFolder(r.holding, "")
	if err != nil {
		return 0, errorReason(err)
	}
	c := &clearing{changedNs: seen.changedNs, topNs: seen.topNs, each: seen.files < r.small, above: above, remove: unlink, pulse: r.pulse, linked: seen.linked}
	if seen.files >= r.big {
		c.idle = make(chan *batch)
		c.work.Go(c.serve)
	}
	why = c.emptyTop(fd)
	if c.idle != nil {
		close(c.idle)
		c.work.Wait()
	}
	if why == Removed {
		why = rmdir(r.holding, append([]byte(name), 0))
	}
	if why == Removed {
		return seen.files, Removed
	}
	return c.files.Load(), why
}

// emptyTop empties the tree's own folder.
func (c *clearing) emptyTop(fd int) Reason {
	own, err := dirscan.OpenBeneath(fd, ".") // a listing of its own
	if err != nil {
		return errorReason(err)
	}
	defer unix.Close(own)
	return c.empty(&level{fd: own}, newHand())
}

// clearInPlace removes a tree where it lies, each file with all checks of one, from the bottom up. What
// changes meanwhile stays, with the folders that hold it.
func (r *Remover) clearInPlace(j *treeJob) (freed, files int64, skipped Reason) {
	above, _, err := lookAtFolder(j.parent, "")
	if err != nil {
		return 0, 0, errorReason(err)
	}
	c := &clearing{changedNs: j.seen.changedNs, topNs: j.seen.topNs, each: true, above: above, pulse: r.pulse, linked: j.seen.linked}
	how := r.manner()
	how.strict = false
	c.remove = func(dirfd int, name []byte) Reason {
		if !j.inPlace() {
			return Moved
		}
		var st unix.Statx_t
		switch err := dirscan.Statx(dirfd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask|unix.STATX_BLOCKS, &st); {
		case err == unix.ENOENT:
			return Changed
		case err != 0:
			return errorReason(err)
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			return unlink(dirfd, name)
		}
		id := Identity{st.Ino, st.Dev_major, st.Dev_minor, int64(st.Size), dirscan.Nanoseconds(&st.Mtime), dirscan.Nanoseconds(&st.Ctime)}
		r.name = append(r.name[:0], name...)
		why := r.remove(dirfd, id, how)
		if why == Removed {
			freed += r.freed(st.Nlink, int64(st.Blocks)*512)
		}
		return why
	}
	why := c.emptyTop(j.fd)
	if why == Removed {
		why = rmdir(j.parent, append([]byte(j.name), 0))
	}
	files = c.files.Load()
	if why == Removed {
		files = j.seen.files
	}
	return freed, files, why
}

// clearBuffer is how much of a listing is read at once, and lookAgain after how many names the place of a
// folder is looked at again.
const (
	clearBuffer = 16 << 10
	lookAgain   = 32
)

// hand is what one worker has for itself.
type hand struct {
	buf   []byte // of a listing
	turns dirscan.Turns
}

func newHand() *hand { return &hand{buf: make([]byte, clearBuffer)} }

// serve empties what another worker gives away.
func (c *clearing) serve() {
	h := newHand()
	for {
		c.waiting.Add(1)
		b, ok := <-c.idle
		c.waiting.Add(-1)
		if !ok {
			return
		}
		if why := c.enterAll(b.up, b.names, h); why != Removed {
			b.up.fail(why)
		}
		b.up.given.Done()
		c.spare.Put(b)
	}
}

// enter empties a folder and removes it.
func (c *clearing) enter(l *level, h *hand) Reason {
	fd, err := openFolder(l.up.fd, l.name)
	if err != nil {
		return pathReason(err)
	}
	l.fd = fd
	why := c.empty(l, h)
	unix.Close(fd)
	if why != Removed {
		return why
	}
	return rmdir(l.up.fd, l.name)
}

// empty removes all that is in an open folder. The sub-folders of a part of the listing go before the
// next part is read, so that memory holds the names of one part per level.
func (c *clearing) empty(l *level, h *hand) Reason {
	if err := l.identify(); err != 0 {
		return errorReason(err)
	}
	var folders []byte // names, each with a NUL
	for first := true; ; first = false {
		h.turns.Take()
		if c.pulse() != nil {
			l.fail(c.end(Stopped))
			break
		}
		p := part{c: c, l: l, each: c.each || !first, folders: folders[:0]}
		more, err := dirscan.List(l.fd, h.buf, p.name)
		c.files.Add(p.gone) // not for each file: the other worker counts here too
		why := lookReason(err)
		if why == Removed {
			why = c.enterAll(l, p.folders, h)
		}
		if why != Removed {
			l.fail(c.end(why))
			break
		}
		if !more {
			break
		}
		folders = p.folders
	}
	l.given.Wait()
	return l.why
}

func (l *level) identify() unix.Errno {
	var st unix.Statx_t
	err := statAt(l.fd, thisFD, &st)
	l.id = fileID{st.Dev_major, st.Dev_minor, st.Ino}
	return err
}

// part is one part of a folder's listing.
type part struct {
	c       *clearing
	l       *level
	n       int
	gone    int64 // files that were removed
	each    bool  // each file is looked at
	folders []byte
}

// name removes a file, and keeps the name of a folder.
func (p *part) name(d dirscan.Listed) error {
	if p.n == 0 && !p.each { // what is listed was there when the tree was looked at, if the folder has not changed since
		if why := p.c.unchanged(p.l); why != Removed {
			return stays(why)
		}
	}
	if p.n%lookAgain == 0 && !p.c.lies(p.l) {
		return stays(Moved)
	}
	p.n++
	name := d.Name[:len(d.Name)+1] // its NUL
	if d.Kind == unix.DT_DIR || d.Kind == unix.DT_UNKNOWN && isFolder(p.l.fd, name) {
		p.folders = append(p.folders, name...)
		return nil
	}
	if p.each {
		if why := p.c.same(p.l.fd, name); why != Removed {
			return stays(why)
		}
	}
	if why := p.c.remove(p.l.fd, name); why != Removed && why != Changed { // gone is gone
		return stays(why)
	}
	if d.Kind == unix.DT_REG {
		p.gone++
	}
	return nil
}

func isFolder(fd int, name []byte) bool {
	var st unix.Statx_t
	return statAt(fd, name, &st) == 0 && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// unchanged reports whether a folder is as it was when the tree was looked at.
func (c *clearing) unchanged(l *level) Reason {
	var st unix.Statx_t
	if err := statAt(l.fd, thisFD, &st); err != 0 {
		return errorReason(err)
	}
	if l.up == nil { // the move has changed its ctime
		st.Ctime = st.Mtime
		return notAfter(&st, max(c.changedNs, c.topNs))
	}
	return notAfter(&st, c.changedNs)
}

// same reports whether a file, or a link, is as old as what was looked at.
func (c *clearing) same(fd int, name []byte) Reason {
	var st unix.Statx_t
	switch err := statAt(fd, name, &st); {
	case err == unix.ENOENT:
		return Removed
	case err != 0:
		return errorReason(err)
	case st.Mode&unix.S_IFMT == unix.S_IFLNK: // its folder's times say that it was there
		return Removed
	case c.linked[fileID{st.Dev_major, st.Dev_minor, st.Ino}] != nil: // a name that went has changed its ctime
		return Removed
	}
	return notAfter(&st, c.changedNs)
}

func notAfter(st *unix.Statx_t, limit int64) Reason {
	if max(dirscan.Nanoseconds(&st.Mtime), dirscan.Nanoseconds(&st.Ctime)) > limit {
		return Changed
	}
	return Removed
}

// lies reports whether a folder still lies in the tree, and the tree in the holding folder: whoever had one
// open from before could have moved it out.
func (c *clearing) lies(l *level) bool {
	for ; l != nil; l = l.up {
		above := c.above
		if l.up != nil {
			above = l.up.id
		}
		if !isAbove(l.fd, above) {
			return false
		}
	}
	return true
}

// isAbove reports whether a folder lies in this one.
func isAbove(fd int, id fileID) bool {
	var st unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	err := dirscan.Statx(fd, upName, flags, unix.STATX_TYPE|unix.STATX_INO, &st)
	return err == 0 && id == fileID{st.Dev_major, st.Dev_minor, st.Ino}
}

// enterAll empties the folders of a part of the listing, or gives half of what is left of them to another worker that
// waits. They share the memory of one level.
func (c *clearing) enterAll(l *level, names []byte, h *hand) Reason {
	var child *level
	for len(names) > 0 {
		if c.ended.Load() {
			return c.end(Stopped)
		}
		if names = c.give(l, names); len(names) == 0 {
			break
		}
		if child == nil {
			child = new(level)
		}
		end := bytes.IndexByte(names, 0) + 1
		*child = level{up: l, name: names[:end]} // what was below the one before has been left
		names = names[end:]
		if why := c.enter(child, h); why != Removed {
			return c.end(why)
		}
	}
	return Removed
}

// give gives the second half of these folders to a worker that waits, if there is one, and returns the rest. To give one
// at a time would wake the worker for each.
func (c *clearing) give(up *level, names []byte) (rest []byte) {
	if c.waiting.Load() == 0 { // else a copy would be made for nothing
		return names
	}
	b, ok := c.spare.Get().(*batch)
	if !ok {
		b = new(batch)
	}
	cut := bytes.LastIndexByte(names[:len(names)/2], 0) + 1 // of one name nothing is left
	b.up, b.names = up, append(b.names[:0], names[cut:]...)
	up.given.Add(1)
	select {
	case c.idle <- b:
		return names[:cut]
	default:
		up.given.Done()
		c.spare.Put(b)
		return names
	}
}

// lookReason is the reason in an error of a listing.
func lookReason(err error) Reason {
	if err == nil {
		return Removed
	}
	if s, ok := errors.AsType[stays](err); ok {
		return Reason(s)
	}
	return errorReason(err)
}

func rmdir(dirfd int, name []byte) Reason {
	switch err := rmdirAt(dirfd, name); err {
	case 0:
		return Removed
	case unix.ENOENT, unix.ENOTEMPTY, unix.EEXIST:
		return Changed
	case unix.ENOTDIR:
		return NotRegular
	case unix.EBUSY:
		return Mount
	default:
		return errorReason(err)
	}
}
