package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoEvents says that the kernel does not report to this process forks and exits.
var ErrNoEvents = errors.New("the kernel's process events cannot be read: run as root or with CAP_NET_ADMIN in the host's namespaces, or write procevents: false")

// Of linux/connector.h and linux/cn_proc.h.
const (
	connectorHead = 20 // struct cn_msg
	eventHead     = 16 // struct proc_event before its union
	cnIdxProc     = 1
	cnListen      = 1
	eventFork     = 0x00000001
	eventExit     = 0x80000000
)

// Of linux/taskstats.h and linux/genetlink.h.
const (
	genHead          = 4
	ctrlFamily       = 0x10
	ctrlGetFamily    = 3
	ctrlFamilyID     = 1
	ctrlFamilyName   = 2
	statsGet         = 1
	statsRegisterCPU = 3 // TASKSTATS_CMD_ATTR_REGISTER_CPUMASK
	statsAggregate   = 4 // TASKSTATS_TYPE_AGGR_PID
	statsOfPID       = 3 // TASKSTATS_TYPE_STATS
	statsPID         = 128
	statsPeak        = 200 // hiwater_rss, in KiB
	attrHead         = 4
	nested           = 0x3fff // without the flags of a nested attribute
)

const (
	eventBuffer = 4 << 20 // of the sockets
	mostKnown   = 64 << 10
	eventPoll   = 200 * time.Millisecond
	mostRounds  = 4096 // messages of one socket before the other has its turn
)

// Events follows the forks and exits of the processes of targets, as the kernel reports them
// (the process connector and taskstats): exits with their reason, and the peak of a child that
// lived for milliseconds. Its methods are safe for concurrent use.
type Events struct {
	connector, stats int
	done             chan struct{}
	wg               sync.WaitGroup

	mu        sync.Mutex
	known     map[int32]origin
	ended     [2][]int32 // processes that ended since the last turn, and in the one before
	waiting   []peak
	exits     map[ExitKey]uint64
	peaks     map[string]int64 // by target, since the last Take
	overflows uint64
}

// peak is the largest resident memory that a process ever had.
type peak struct {
	pid   int32
	bytes int64
}

type origin struct {
	target   string
	children bool
	forked   bool // since the last listing, which may not have it yet
	ended    bool // its statistics may still come
	left     bool // it was neither listed nor alive at the last Follow
}

// ExitKey is what exits are counted by. Reason is exit_0, exit_error or the name of the signal
// that ended the process, such as SIGKILL.
type ExitKey struct{ Target, Reason string }

// MemberOf is a process of a target.
type MemberOf struct {
	PID      int
	Target   string
	Children bool // its children belong to the target too
}

// OpenEvents asks the kernel for its events. The error wraps ErrNoEvents where it refuses.
func OpenEvents() (*Events, error) {
	e := &Events{connector: -1, stats: -1, done: make(chan struct{}), known: make(map[int32]origin), exits: make(map[ExitKey]uint64), peaks: make(map[string]int64)}
	var err error
	if e.connector, err = listenConnector(); err == nil {
		e.stats, err = listenTaskstats()
	}
	if err != nil {
		e.closeSockets()
		return nil, fmt.Errorf("%w: %w", ErrNoEvents, err)
	}
	e.wg.Go(e.read)
	return e, nil
}

// Close ends the reading.
func (e *Events) Close() error {
	close(e.done)
	e.wg.Wait()
	e.closeSockets()
	return nil
}

func (e *Events) closeSockets() {
	for _, fd := range []int{e.connector, e.stats} {
		if fd >= 0 {
			_ = unix.Close(fd) // of a socket that is only read
		}
	}
}

// Follow says which processes are members now. What is not among them and is not a child of one is
// forgotten, one that has ended with the next call only: its exit may still be reported.
func (e *Events) Follow(members []MemberOf) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := make(map[int32]origin, len(members))
	for _, m := range members {
		now[int32(m.PID)] = origin{target: m.Target, children: m.Children}
	}
	for pid, o := range e.known {
		if _, listed := now[pid]; listed || len(now) >= mostKnown {
			continue
		}
		lives := alive(pid)
		switch {
		case o.ended, o.forked && lives:
			now[pid] = o // its statistics may still come, or the listing has not seen it yet
		case !lives && !o.left:
			o.left = true // it has ended, and the kernel's word of it may still wait in the socket
			now[pid] = o
		}
	}
	e.known = now
}

func alive(pid int32) bool { return !errors.Is(unix.Kill(int(pid), 0), unix.ESRCH) }

// Take returns the exits since the start, the peaks of what ended since the last Take, and how
// often the kernel dropped events because they were not read in time.
func (e *Events) Take() (exits map[ExitKey]uint64, peaks map[string]int64, overflows uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	peaks = e.peaks
	e.peaks = make(map[string]int64)
	return maps.Clone(e.exits), peaks, e.overflows
}

// read takes events until Close. The two sockets are read in turns: forks and exits first, then the
// statistics, which are of processes that were forked before and may have ended since.
func (e *Events) read() {
	buf := make([]byte, 64<<10)
	wait := []unix.PollFd{{Fd: int32(e.connector), Events: unix.POLLIN}, {Fd: int32(e.stats), Events: unix.POLLIN}}
	for {
		select {
		case <-e.done:
			return
		default:
		}
		n, err := unix.Poll(wait, int(eventPoll.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return // closed
		}
		if n > 0 {
			e.drain(e.connector, buf, e.takeEvent)
		}
		e.settle()
		if n > 0 {
			e.drain(e.stats, buf, e.takeStats)
		}
	}
}

// drain hands all messages that wait to take.
func (e *Events) drain(fd int, buf []byte, take func([]byte)) {
	for range mostRounds {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			e.mu.Lock()
			e.overflows++
			e.mu.Unlock()
		case err != nil:
			return
		default:
			eachMessage(buf[:n], take)
		}
	}
}

// settle gives the statistics of processes that were not known at the last turn to their targets,
// and forgets those that ended two turns ago.
func (e *Events) settle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.waiting {
		if o, ok := e.known[p.pid]; ok {
			e.peaks[o.target] = max(e.peaks[o.target], p.bytes)
		}
	}
	e.waiting = e.waiting[:0]
	for _, pid := range e.ended[1] {
		if o, ok := e.known[pid]; ok && o.ended {
			delete(e.known, pid)
		}
	}
	e.ended[0], e.ended[1] = e.ended[1][:0], e.ended[0]
}

// eachMessage calls take with the body of every netlink message.
func eachMessage(b []byte, take func([]byte)) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return
		}
		take(b[unix.NLMSG_HDRLEN:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

// takeEvent reads a struct proc_event.
func (e *Events) takeEvent(b []byte) {
	if len(b) < connectorHead+eventHead+16 {
		return
	}
	b = b[connectorHead:]
	what := binary.NativeEndian.Uint32(b)
	data := b[eventHead:]
	word := func(i int) int32 { return int32(binary.NativeEndian.Uint32(data[4*i:])) }
	e.mu.Lock()
	defer e.mu.Unlock()
	switch what {
	case eventFork: // parent_pid, parent_tgid, child_pid, child_tgid
		parent, child, tgid := word(1), word(2), word(3)
		if o, ok := e.known[parent]; ok && o.children && child == tgid && len(e.known) < mostKnown {
			o.forked, o.ended = true, false
			e.known[child] = o
		}
	case eventExit: // process_pid, process_tgid, exit_code, exit_signal
		pid, tgid, status := word(0), word(1), word(2)
		if o, ok := e.known[pid]; ok && !o.ended && pid == tgid {
			e.exits[ExitKey{o.target, exitReason(unix.WaitStatus(status))}]++
			o.ended = true
			e.known[pid] = o
			e.ended[0] = append(e.ended[0], pid)
		}
	}
}

func exitReason(status unix.WaitStatus) string {
	switch {
	case status.Signaled():
		if name := unix.SignalName(status.Signal()); name != "" {
			return name
		}
		return fmt.Sprintf("signal_%d", int(status.Signal()))
	case status.ExitStatus() == 0:
		return "exit_0"
	}
	return "exit_error"
}

// takeStats reads the statistics that a task leaves behind.
func (e *Events) takeStats(b []byte) {
	if len(b) < genHead {
		return
	}
	eachAttribute(b[genHead:], func(kind uint16, value []byte) {
		if kind != statsAggregate {
			return
		}
		eachAttribute(value, func(kind uint16, s []byte) {
			if kind != statsOfPID || len(s) < statsPeak+8 {
				return
			}
			pid := int32(binary.NativeEndian.Uint32(s[statsPID:]))
			kib := int64(binary.NativeEndian.Uint64(s[statsPeak:]))
			if kib <= 0 || kib > 1<<40 {
				return
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if o, ok := e.known[pid]; ok {
				e.peaks[o.target] = max(e.peaks[o.target], kib<<10)
			} else if len(e.waiting) < mostKnown { // its fork may still wait in the other socket
				e.waiting = append(e.waiting, peak{pid, kib << 10})
			}
		})
	})
}

func eachAttribute(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= attrHead {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attrHead || size > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&nested, b[attrHead:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

func listenConnector() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return -1, fmt.Errorf("process connector: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer) // smaller than wanted is not a failure
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: cnIdxProc}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("process connector: %w", err)
	}
	body := make([]byte, 0, connectorHead+4)
	for _, v := range []uint32{cnIdxProc, 1 /* CN_VAL_PROC */, 0, 0} {
		body = binary.NativeEndian.AppendUint32(body, v)
	}
	body = binary.NativeEndian.AppendUint16(body, 4)
	body = binary.NativeEndian.AppendUint16(body, 0)
	body = binary.NativeEndian.AppendUint32(body, cnListen)
	if err := unix.Sendto(fd, message(unix.NLMSG_DONE, 0, body), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("process connector: %w", err)
	}
	return fd, nil
}

// message puts a netlink header before a body.
func message(kind, flags uint16, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, 1)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, body...)
}

// request is a generic netlink command with one text attribute.
func request(family, flags uint16, command, version byte, kind uint16, text string) []byte {
	body := []byte{command, version, 0, 0}
	body = binary.NativeEndian.AppendUint16(body, uint16(attrHead+len(text)+1))
	body = binary.NativeEndian.AppendUint16(body, kind)
	body = append(body, text...)
	for body = append(body, 0); len(body)%4 != 0; {
		body = append(body, 0)
	}
	return message(family, flags, body)
}

func listenTaskstats() (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC); err != nil {
		return -1, fmt.Errorf("taskstats: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			fd, err = -1, fmt.Errorf("taskstats: %w", err)
		}
	}()
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer)
	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fd, err
	}
	family := uint16(0)
	if err = ask(fd, request(ctrlFamily, 0, ctrlGetFamily, 1, ctrlFamilyName, "TASKSTATS"), func(body []byte) {
		if len(body) >= genHead {
			eachAttribute(body[genHead:], func(kind uint16, value []byte) {
				if kind == ctrlFamilyID && len(value) >= 2 {
					family = binary.NativeEndian.Uint16(value)
				}
			})
		}
	}); err != nil {
		return fd, err
	}
	if family == 0 {
		return fd, errors.New("the kernel was built without it")
	}
	cpus, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if err != nil {
		return fd, err
	}
	return fd, ask(fd, request(family, unix.NLM_F_ACK, statsGet, 1, statsRegisterCPU, strings.TrimSpace(string(cpus))), nil)
}

// ask sends a request and reads one answer, an error or what take is called with.
func ask(fd int, b []byte, take func([]byte)) error {
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000); err != nil || n == 0 {
		return cmpError(err, unix.ETIMEDOUT)
	}
	buf := make([]byte, 8<<10)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return err
	}
	if n >= unix.NLMSG_HDRLEN+4 && binary.NativeEndian.Uint16(buf[4:]) == unix.NLMSG_ERROR {
		if code := int32(binary.NativeEndian.Uint32(buf[unix.NLMSG_HDRLEN:])); code != 0 {
			return unix.Errno(-code)
		}
		return nil
	}
	if take != nil {
		eachMessage(bytes.Clone(buf[:n]), take)
	}
	return nil
}

func cmpError(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
