package safefs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

const (
	// idleFor is how long no one may have written to a log that is cut to nothing where its front
	// could be cut off instead.
	idleFor = time.Second
	// pause is how long a log must not grow before it is cut to nothing, or pausePerLook times as long as a
	// look at it takes: a program that writes at intervals would else begin again between the last look
	// and the cut, where those are slow. patience is how long such a pause is waited for.
	pause        = 5 * time.Millisecond
	pausePerLook = 20
	patience     = 2 * time.Second
	// maxCatchUp bounds what is copied of what came meanwhile, for a log that is smaller than this;
	// a larger one may double.
	maxCatchUp = 64 << 20
)

// CopyTruncate rotates a log during the Visit that found it while its writer keeps it open: a copy
// is written alongside it, synced and named; then the log is cut. Until the cut every line is in
// the log, so a kill loses none and may leave a copy of some.
//
// A log that is being written loses its front: whole blocks, which the kernel removes while it
// keeps writers out (FALLOC_FL_COLLAPSE_RANGE, fallocate(2): ext4, XFS, F2FS), so that nothing is
// lost at any speed of the writer. The line at the edge is then split between the two files. A log
// that is idle, or lies on another file system, is cut to nothing, and only after it has stood
// still with every byte of it in the copy, synced; else it stays whole (Busy) and the copy goes.
func (r *Rotator) CopyTruncate(ctx context.Context, e *dirscan.Entry) (out Rotated, why Reason) {
	if r.opts.DryRun {
		if why := r.foreseeHold(e, unix.R_OK|unix.W_OK); why != Removed {
			return out, why
		}
		if why := r.mayCopy(e); why != Removed {
			return out, why
		}
		return out, r.foresee(e, true)
	}
	// O_APPEND, although nothing is written: for another rotation that looks for writers.
	log, why := r.hold(e, unix.O_RDWR|unix.O_APPEND)
	if why != Removed {
		return out, why
	}
	defer log.Close()
	uid := r.st.Uid
	if why := r.mayCopy(e); why != Removed {
		return out, why
	}
	l, err := layoutOf(log)
	if err != nil {
		return out, errorReason(err)
	}
	hidden := sync.OnceValue(func() bool { return r.mayHide(uid) || isShared(int(log.Fd())) })
	into, why := r.openOldDir(e)
	if why != Removed {
		return out, why
	}
	defer into.close()
	if l.holed && hidden() && (r.wasRotated(into.fd, string(e.Name)) || r.wasRotated(e.Parent.FD(), string(e.Name))) {
		return out, NotAppending
	}
	c, err := r.newCopy(into.fd, log, r.opts.Compress && !l.sparse())
	if err != nil {
		return out, errorReason(err)
	}
	defer c.close()
	t := &cutting{r: r, c: c, folder: e.Parent, into: &into, hidden: hidden, id: fileID{e.DevMajor, e.DevMinor, e.Ino}, limit: l.size + max(min(l.size, l.allocated), maxCatchUp)}
	if err := t.run(ctx, l, string(e.Name)); err != nil {
		if !errors.Is(err, errCut) { // else it may be the only one
			c.withdraw()
		}
		return out, copyReason(err)
	}
	return Rotated{Name: c.name, FreedBytes: t.freed, LostBytes: t.lost, MayHaveLost: t.mayHaveLost, Private: c.private}, Removed
}

// mayCopy reports whether a log can be copied and cut, as far as that can be seen without opening
// it: all its writers append, and there is room for a copy.
func (r *Rotator) mayCopy(e *dirscan.Entry) Reason {
	if why := r.appended(fileID{e.DevMajor, e.DevMinor, e.Ino}); why != Removed {
		return why
	}
	need := min(e.SizeBytes, e.AllocatedBytes)
	if r.opts.Compress {
		need = 0 // not known: looked at while it is written
	}
	if err := checkRoom(e.Parent.FD(), need); err != nil {
		return errorReason(err)
	}
	return Removed
}

// cutting is one log on its way to be cut.
type cutting struct {
	r *Rotator
	c *logCopy
	// folder is where the log lay when the walk found it
	folder *dirscan.Folder
	into   *oldDir
	id     fileID
	limit  int64         // offset in the log beyond which it is not followed
	hidden func() bool   // whether a writer may not be seen
	pause  time.Duration // that is waited for at present; 0 = the log has been idle
	freed  int64
	lost   int64

	mayHaveLost bool
}

func (t *cutting) run(ctx context.Context, l layout, name string) error {
	r, c := t.r, t.c
	if err := c.add(ctx, l.front); err != nil {
		return err
	}
	if err := c.keep(); err != nil {
		return err
	}
	idle := isIdle(c.src)
	if idle {
		if err := c.add(ctx, l.size); err != nil {
			return err
		}
	}
	err := c.publish(func(temp string) (string, error) { return r.take(c.dirfd, temp, c.dirfd, name, c.zip != nil) })
	if err != nil {
		return err
	}
	if r.beforeTruncate != nil {
		r.beforeTruncate()
	}
	if r.opts.Remover != nil { // a copy takes its time
		if why := r.opts.Remover.lookAtPlace(t.folder); why != Removed {
			return errMoved
		}
	}
	if !t.into.stays() {
		return errMoved
	}
	before := allocatedOf(c.src)
	if err := t.cut(ctx, idle); err != nil {
		return err
	}
	t.freed = max(0, before-allocatedOf(c.src)-c.allocated())
	return nil
}

func (t *cutting) cut(ctx context.Context, idle bool) error {
	if idle {
		err := t.truncate()
		if !errors.Is(err, errBusy) {
			return err
		}
		if err := t.c.back(); err != nil {
			return err
		}
	}
	err := t.c.collapse()
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return t.truncateInPause(ctx)
}

// collapse cuts off the front of the log that is in the copy.
func (c *logCopy) collapse() error {
	if c.kept <= c.start {
		return errors.ErrUnsupported
	}
	fd := int(c.src.Fd())
	// The kernel writes out what is to be moved while it keeps writers out: leave it little.
	if err := unix.Fdatasync(fd); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	size, err := sizeOf(c.src)
	if err != nil {
		return err
	}
	if size <= c.kept { // it was larger
		return errCut
	}
	for {
		switch err := unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, 0, c.kept); err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM: // EINVAL: clusters larger than blocks; EPERM: a filter of system calls
			return errors.ErrUnsupported
		default:
			return fmt.Errorf("cut the front off the log: %w", err)
		}
	}
}

// truncateInPause follows the log and cuts it to nothing as soon as its writer pauses.
func (t *cutting) truncateInPause(ctx context.Context) error {
	t.pause = pause
	wait := time.NewTimer(t.pause)
	defer wait.Stop()
	for end := time.Now().Add(patience); ; {
		if err := t.catchUp(ctx); err != nil {
			return err
		}
		wait.Reset(t.pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
		}
		err := t.truncate()
		if err == nil {
			t.mayHaveLost = t.hidden() // what such a writer wrote in that moment shows nowhere
		}
		if !errors.Is(err, errBusy) || time.Now().After(end) {
			return err
		}
	}
}

// catchUp copies what the log has gained, and syncs it: what is cut is never only in memory.
func (t *cutting) catchUp(ctx context.Context) error {
	size, err := sizeOf(t.c.src)
	switch {
	case err != nil:
		return err
	case size > t.limit:
		return errBusy
	case size <= t.c.copied: // less is for truncate to see
		return nil
	}
	if err := t.c.add(ctx, size); err != nil {
		return err
	}
	return t.c.sync()
}

// truncate cuts the log to nothing if all of it is in the copy. What is written between the look
// at its size and the cut is lost; the places of its writers say afterwards how much that was.
func (t *cutting) truncate() error {
	before := t.r.writers.of(t.id)
	began := time.Now()
	size, err := sizeOf(t.c.src)
	slow := pausePerLook * time.Since(began)
	switch {
	case err != nil:
		return err
	case size < t.c.copied:
		return errCut
	case size > t.c.copied:
		return errBusy
	case t.pause > 0 && t.pause < patience/4 && slow > t.pause: // it was not still for long enough
		t.pause = min(slow, patience/4)
		return errBusy
	}
	if t.r.inWindow != nil {
		t.r.inWindow()
	}
	if err := unix.Ftruncate(int(t.c.src.Fd()), 0); err != nil {
		return fmt.Errorf("truncate the log: %w", err)
	}
	t.lost = lostBytes(before, t.r.writers.of(t.id), t.c.copied)
	return nil
}

// isIdle reports whether no one has written to a log for a while.
func isIdle(log *os.File) bool {
	var st unix.Stat_t
	if err := unix.Fstat(int(log.Fd()), &st); err != nil {
		return false
	}
	return time.Since(time.Unix(st.Mtim.Unix())) >= idleFor
}

// isShared reports whether other hosts may write to a file, whose descriptors are not seen here: it is
// on a network file system, or on one that a program serves (FUSE).
func isShared(fd int) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return true
	}
	return shared(int64(st.Type))
}

// shared reports whether other hosts, or a program, may have files of a filesystem open that this kernel does not see.
func shared(filesystem int64) bool {
	switch uint32(filesystem) {
	case unix.NFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC, unix.V9FS_MAGIC,
		unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.CODA_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC:
		return true
	}
	return false
}

// sizeOf returns the size of a file as it is now, and moves its offset. A network file system, and FUSE,
// would else give one that they knew a second ago, or one without the write that is under way: the
// seek waits for its end there, as the cut does, and what was written until then would be cut off.
func sizeOf(f *os.File) (int64, error) {
	var st unix.Statx_t
	if err := statPath(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC, unix.STATX_SIZE, &st); err != nil {
		return 0, err
	}
	return unix.Seek(int(f.Fd()), 0, unix.SEEK_END)
}
