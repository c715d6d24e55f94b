package proc

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Births notices that the oldest process of one target has ended, and that a process was made on the
// host, without listing any. It sends nothing to a process. Watch, Newest and Close belong to one
// goroutine; Wakes may be read by another.
type Births struct {
	tracker *Tracker
	target  string
	wakes   chan struct{}

	r      *reader // nil until the first Newest
	lister lister

	id   uint64   // of the process that is watched, 0 = none
	file *os.File // its pidfd
	done sync.WaitGroup

	mu   sync.Mutex
	over uint64 // the last process that was seen to end
}

// NewBirths returns one that has opened nothing yet.
func NewBirths(t *Tracker, target string) *Births {
	return &Births{tracker: t, target: target, wakes: make(chan struct{}, 1)}
}

// Wakes receives when the process that is watched has ended.
func (b *Births) Wakes() <-chan struct{} { return b.wakes }

// Newest returns the number that was given to a process last, -1 when that is not known.
func (b *Births) Newest() int64 {
	if b.r == nil {
		r, err := newReader(b.tracker.opts.Root)
		if err != nil {
			return -1
		}
		b.r, b.lister = r, newLister(r)
	}
	return b.lister.newestPID(b.r)
}

// Watch watches the oldest process of the target, given by its start as Usage.OldestTicks has it, in
// place of the one before.
func (b *Births) Watch(id uint64) {
	if id == b.id {
		return
	}
	b.stop()
	m, ok := b.tracker.oldest(b.target, id)
	if !ok {
		return
	}
	file, err := openEnd(m)
	if err != nil {
		return
	}
	b.id, b.file = id, file
	b.done.Go(func() { b.wait(file, id) })
}

// Watched reports whether a process is watched, and whether it has ended.
func (b *Births) Watched(id uint64) (watched, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id == id && id != 0, b.over == id && id != 0
}

// oldest returns the member of a target that started at a time.
func (t *Tracker) oldest(target string, id uint64) (Member, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.lists {
		if t.usages[t.lists[i].usage].Target == target && t.lists[i].startTicks == id {
			return t.lists[i].Member, true
		}
	}
	return Member{}, false
}

// openEnd opens a pidfd that becomes readable when the process ends. It is looked for in the pid
// namespace of this process, as Hold does.
func openEnd(m Member) (*os.File, error) {
	fd, err := unix.PidfdOpen(m.PID, 0)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(Verify("/proc", m), unix.SetNonblock(fd, true)); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// wait returns when the process has ended or the file is closed.
func (b *Births) wait(file *os.File, id uint64) {
	conn, err := file.SyscallConn()
	if err != nil {
		return
	}
	ended := false
	err = conn.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		ended = err == nil && n > 0
		return ended || err != nil && !errors.Is(err, unix.EINTR)
	})
	if err != nil || !ended {
		return
	}
	b.mu.Lock()
	b.over = id
	b.mu.Unlock()
	select {
	case b.wakes <- struct{}{}:
	default:
	}
}

func (b *Births) stop() {
	if b.file != nil {
		_ = b.file.Close()
	}
	b.done.Wait()
	b.id, b.file = 0, nil
}

// Close ends the watch.
func (b *Births) Close() error {
	b.stop()
	if b.r != nil {
		b.lister.close()
		b.r.close()
		b.r = nil
	}
	return nil
}
