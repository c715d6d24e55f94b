package safefs

import (
	"bytes"
	"context"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// EmptyDirs is what a run did with the empty folders below its root.
type EmptyDirs struct {
	Removed int64
	Skipped map[Reason]int64 // empty ones that stay; those that are too young are not counted
}

// RemoveEmptyDirs removes the folders below the root that are empty, or hold nothing but such folders, from
// the bottom up. Each is older than MinAge by the newer of its mtime and ctime, belongs to one whose files
// may go, is not locked (flock(2)), and is no one's working directory. It goes by rmdir(2) in its place: what is
// filled at that moment stays, and none is ever away for a moment. keep says which stay, with all that is in
// them, by their paths relative to the root. In a dry run they are only counted.
func (r *Remover) RemoveEmptyDirs(ctx context.Context, keep func(path []byte) bool) (EmptyDirs, error) {
	out := EmptyDirs{Skipped: make(map[Reason]int64)}
	root, err := r.root()
	if err != nil {
		return out, err
	}
	own, err := dirscan.OpenBeneath(root, ".") // a listing of its own
	if err != nil {
		return out, err
	}
	defer unix.Close(own)
	above, _, err := lookAtFolder(own, "..")
	if err != nil {
		return out, err
	}
	w := &emptyWalk{r: r, ctx: ctx, keep: keep, out: &out, place: &clearing{above: above}, buf: make([]byte, clearBuffer)}
	if w.r.mayLockFolder(own) != Removed { // it keeps what is in it
		out.Skipped[InUse]++
		return out, nil
	}
	top := &level{fd: own}
	if err := top.identify(); err != 0 {
		return out, err
	}
	w.folder(top, 0)
	return out, ctx.Err()
}

// emptyWalk is one walk over the folders of a root.
type emptyWalk struct {
	r     *Remover
	ctx   context.Context //nolint:containedctx // it lives as long as the walk
	keep  func(path []byte) bool
	path  []byte
	out   *EmptyDirs
	place *clearing
	buf   []byte
}

// folder walks the folders below an open one. It reports whether nothing is left in it, and how many
// it removed from it.
func (w *emptyWalk) folder(l *level, depth int) (empty bool, removed int64) {
	empty = true
	var names []byte // of folders, each with a NUL
	for more := true; more; {
		if w.ctx.Err() != nil || w.r.pulse() != nil {
			return false, removed
		}
		names = names[:0]
		var err error
		more, err = dirscan.List(l.fd, w.buf, func(d dirscan.Listed) error {
			name := d.Name[:len(d.Name)+1]
			switch {
			case d.Kind != unix.DT_DIR && (d.Kind != unix.DT_UNKNOWN || !isFolder(l.fd, name)),
				depth == 0 && string(d.Name) == policy.HoldingName, w.keeps(l, d.Name):
				empty = false
			default:
				names = append(names, name...)
			}
			return nil
		})
		if err != nil || depth >= maxTreeDepth && len(names) > 0 {
			return false, removed
		}
		for rest := names; len(rest) > 0; {
			end := bytes.IndexByte(rest, 0) + 1
			if w.enter(l, rest[:end], depth+1) {
				removed++
			} else {
				empty = false
			}
			rest = rest[end:]
		}
	}
	return empty, removed
}

// keeps reports whether a folder in an open one stays.
func (w *emptyWalk) keeps(in *level, name []byte) bool {
	if w.keep == nil {
		return false
	}
	w.path = append(in.appendPath(w.path[:0]), name...)
	return w.keep(w.path)
}

// appendPath appends the path of a folder relative to the root, with a slash at its end; nothing for the root.
func (l *level) appendPath(path []byte) []byte {
	if l.up == nil {
		return path
	}
	path = append(l.up.appendPath(path), l.name[:len(l.name)-1]...)
	return append(path, '/')
}

// enter walks a sub-folder and removes it where nothing is left in it. It reports whether it is gone, or in a
// dry run would be.
func (w *emptyWalk) enter(up *level, name []byte, depth int) bool {
	fd, err := dirscan.OpenBeneath(up.fd, string(name[:len(name)-1]))
	if err != nil { // a mount, or not ours to open: what is in it is not known
		return false
	}
	defer unix.Close(fd)
	if why := w.r.mayLockFolder(fd); why != Removed { // until it is closed: it keeps what is in it
		w.out.Skipped[why]++
		return false
	}
	l := &level{up: up, fd: fd, name: name}
	var before unix.Statx_t
	if err := statAt(fd, thisFD, &before); err != 0 {
		return false
	}
	l.id = fileID{before.Dev_major, before.Dev_minor, before.Ino}
	empty, removed := w.folder(l, depth)
	if !empty {
		return false
	}
	why := w.judge(l, &before)
	if why == Removed && !w.r.opts.DryRun {
		why = w.remove(l, &before, removed > 0)
	}
	switch why {
	case Removed:
		w.out.Removed++
		return true
	case TooYoung, Changed: // someone is at it, which is as it should be
	default:
		w.out.Skipped[why]++
	}
	return false
}

// judge says whether an empty folder may go, as it was before anything was removed from it.
func (w *emptyWalk) judge(l *level, st *unix.Statx_t) Reason {
	r := w.r
	age := r.opts.Now.UnixNano() - max(dirscan.Nanoseconds(&st.Mtime), dirscan.Nanoseconds(&st.Ctime))
	switch {
	case r.foreign(st.Uid):
		return Foreign
	case r.isOthers(st.Uid):
		return Owner
	case age < -int64(futureSlack):
		return Future
	case age < int64(r.opts.MinAge):
		return TooYoung
	case st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0:
		return errorReason(unix.EPERM)
	}
	if !r.opts.NoInUse {
		if r.look.now().folders[l.id] {
			return InUse
		}
	}
	r.st.Uid = st.Uid
	if !r.opts.DryRun {
		return Removed
	}
	return r.foreseeUnlink(l.up.fd) // what holds for a file holds for it
}

// remove removes a folder that is old enough and empty. Its times have not changed since, but for what this
// walk itself has removed from it.
func (w *emptyWalk) remove(l *level, before *unix.Statx_t, emptied bool) Reason {
	if !w.place.lies(l) {
		return Moved
	}
	var st unix.Statx_t
	switch err := statAt(l.up.fd, l.name, &st); {
	case err == unix.ENOENT:
		return Changed
	case err != 0:
		return errorReason(err)
	case fileID{st.Dev_major, st.Dev_minor, st.Ino} != l.id:
		return Changed
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return Mount
	}
	was := before
	if emptied {
		was = &l.after
	}
	if st.Mtime != was.Mtime || st.Ctime != was.Ctime {
		return Changed
	}
	why := rmdir(l.up.fd, l.name)
	if why == Removed {
		_ = statAt(l.up.fd, thisFD, &l.up.after)
	}
	return why
}
