package wake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mostEvents   = 32 // taken from epoll at once
	inotifyBytes = 4 << 10
	inotifyTurns = 16 // buffers of inotify read at once
)

// loop is the one goroutine that waits; a nil *loop has nothing to wait for. Its epoll descriptor is itself waited for by the runtime,
// so that it occupies no thread.
type loop struct {
	wake  func(target, reason string)
	epoll *os.File
	conn  syscall.RawConn
	done  chan struct{}

	mu      sync.Mutex
	closed  bool
	epfd    int
	inotify int                // -1 until the first memory.events
	byFD    map[int32]*watch   // triggers and eventfds
	byWD    map[int32][]*watch // several targets may share a cgroup
	dead    map[*watch]bool    // the kernel has ended a source of theirs

	paces map[string]*pace // of the goroutine alone
	buf   []byte
}

// report is an event on its way to a target.
type report struct{ target, reason string }

func newLoop(wake func(target, reason string)) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll descriptor: %w", err)
	}
	if err := unix.SetNonblock(epfd, true); err != nil { // for os.NewFile to wait through the runtime
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("make an epoll descriptor: %w", err)
	}
	l := &loop{
		wake: wake, epoll: os.NewFile(uintptr(epfd), "epoll"), done: make(chan struct{}), epfd: epfd, inotify: -1,
		byFD: make(map[int32]*watch), byWD: make(map[int32][]*watch), dead: make(map[*watch]bool),
		paces: make(map[string]*pace), buf: make([]byte, inotifyBytes),
	}
	l.conn, err = l.epoll.SyscallConn()
	if err = errors.Join(err, l.epoll.SetReadDeadline(time.Time{})); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for epoll: %w", err), l.epoll.Close())
	}
	go l.run()
	return l, nil
}

// close ends the goroutine.
func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	_ = l.epoll.Close() // of a descriptor that is only waited for
	if l.inotify >= 0 {
		_ = unix.Close(l.inotify)
	}
}

// add waits for events on a descriptor, edge by edge: it is never read, so that a number that was
// given to another file meanwhile does no harm.
func (l *loop) add(x *watch, s source, events uint32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: events | unix.EPOLLET, Fd: int32(s.fd)}); err != nil {
		_ = unix.Close(s.fd)
		return fmt.Errorf("wait for %s: %w", s.reason, err)
	}
	l.byFD[int32(s.fd)] = x
	x.sources = append(x.sources, s)
	return nil
}

// follow watches a file by inotify.
func (l *loop) follow(x *watch, file string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inotify < 0 {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return fmt.Errorf("make an inotify instance (see the sysctl fs.inotify.max_user_instances): %w", err)
		}
		if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("wait for inotify: %w", err)
		}
		l.inotify = fd
	}
	wd, err := unix.InotifyAddWatch(l.inotify, file, unix.IN_MODIFY)
	if err != nil {
		return fmt.Errorf("watch %s (see the sysctl fs.inotify.max_user_watches): %w", file, err)
	}
	l.byWD[int32(wd)] = append(l.byWD[int32(wd)], x)
	x.sources = append(x.sources, source{reason: ReasonEvents, fd: -1, wd: wd})
	return nil
}

// remove closes what is registered for a subject.
func (l *loop) remove(x *watch) {
	if len(x.sources) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range x.sources {
		if s.fd >= 0 {
			delete(l.byFD, int32(s.fd))
			_ = unix.Close(s.fd) // leaves epoll with it
			continue
		}
		wd := int32(s.wd)
		l.byWD[wd] = slices.DeleteFunc(l.byWD[wd], func(y *watch) bool { return y == x })
		if len(l.byWD[wd]) == 0 {
			delete(l.byWD, wd)
			_, _ = unix.InotifyRmWatch(l.inotify, uint32(wd)) // gone already with its cgroup
		}
	}
	x.sources = nil
	delete(l.dead, x)
}

func (l *loop) anyDead() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.dead) > 0
}

func (l *loop) isDead(x *watch) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead[x]
}

// run waits for events until the descriptor is closed.
func (l *loop) run() {
	defer close(l.done)
	var events [mostEvents]unix.EpollEvent
	var reports []report
	for {
		n := 0
		err := l.conn.Read(func(fd uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(fd), events[:], 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return // closed
		}
		reports = l.take(events[:max(n, 0)], reports[:0])
		if !l.pass(reports, time.Now()) {
			return
		}
	}
}

// take turns events into reports.
func (l *loop) take(events []unix.EpollEvent, out []report) []report {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		e := &events[i]
		if int(e.Fd) == l.inotify {
			out = l.readInotify(out)
			continue
		}
		x := l.byFD[e.Fd]
		if x == nil {
			continue // closed meanwhile
		}
		if e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			l.dead[x] = true // its cgroup is gone
		}
		for _, s := range x.sources {
			if s.fd == int(e.Fd) {
				out = append(out, report{x.subject.Target, s.reason})
			}
		}
	}
	return out
}

// readInotify reads what inotify has; the descriptor does not block. After an overflow all targets
// count as reported. It is called with the lock held.
func (l *loop) readInotify(out []report) []report {
	for range inotifyTurns {
		n, err := unix.Read(l.inotify, l.buf)
		if err != nil || n <= 0 {
			return out
		}
		out = l.parse(l.buf[:n], out)
	}
	return out
}

// parse turns the events of a buffer of inotify into reports. It is called with the lock held.
func (l *loop) parse(b []byte, out []report) []report {
	for len(b) >= unix.SizeofInotifyEvent {
		wd, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		b = b[min(size, len(b)):]
		out = l.reported(wd, mask, out)
	}
	return out
}

// reported turns one event of inotify into reports. It is called with the lock held.
func (l *loop) reported(wd int32, mask uint32, out []report) []report {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		for _, all := range l.byWD {
			for _, x := range all {
				out = append(out, report{x.subject.Target, ReasonEvents})
			}
		}
		return out
	}
	for _, x := range l.byWD[wd] {
		if mask&(unix.IN_IGNORED|unix.IN_UNMOUNT) != 0 {
			l.dead[x] = true
			continue
		}
		out = append(out, report{x.subject.Target, ReasonEvents})
	}
	return out
}

// pass wakes the targets of reports, and those whose earlier report has become due, and sets the
// time of the next. It is false when the loop is closed.
func (l *loop) pass(reports []report, now time.Time) bool {
	for _, r := range reports {
		p := l.paces[r.target]
		if p == nil {
			p = &pace{}
			l.paces[r.target] = p
		}
		if p.note(now, r.reason) {
			l.wake(r.target, r.reason)
		}
	}
	var next time.Time
	for target, p := range l.paces {
		switch {
		case p.due.IsZero():
			if now.Sub(p.last) > 2*maxGap {
				delete(l.paces, target) // it would begin anew
			}
			continue
		case !now.Before(p.due):
			p.late(now)
			l.wake(target, p.reason)
			continue
		}
		if next.IsZero() || p.due.Before(next) {
			next = p.due
		}
	}
	return l.epoll.SetReadDeadline(next) == nil
}
