package heap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const (
	defaultInspectorPort = 9229
	maxAskedMembers      = 64
	maxAskedPorts        = 16 // per member and start; the inspector's usual port comes first
	askTimeout           = 300 * time.Millisecond
	activatePoll         = 20 * time.Millisecond
)

// ActivateSIGUSR1 makes Node.js open its inspector by a signal.
const ActivateSIGUSR1 = "sigusr1"

// place is a port of one start of a process.
type place struct {
	pid   int
	start time.Time
	port  int
}

// locator finds the address of a target's inspector among the ports on which its processes listen.
// Each port of each start of a process is asked at most once: one that is no inspector belongs to
// the service itself. It is used by one opening at a time.
type locator struct {
	target  *target
	ports   func(proc.Member) ([]int, error)
	try     func(ctx context.Context, address string) (debuggee, error)
	open    bool // a process that has no inspector is asked to open one
	refused map[place]bool
	asked   map[place]bool // with port 0: were sent the signal
}

func newLocator(t *target, o *Options, activate bool) *locator {
	return &locator{target: t, ports: o.Ports, open: activate, refused: make(map[place]bool), asked: make(map[place]bool)}
}

// locate returns the first inspector, and whether it was opened because this exporter asked for it.
func (l *locator) locate(ctx context.Context) (address string, found debuggee, activated bool, err error) {
	members := l.target.members()
	if len(members) == 0 {
		return "", debuggee{}, false, ErrNoProcess
	}
	l.forget(members)
	address, found, err = l.search(ctx, members)
	if !errors.Is(err, errNoInspector) || !l.open {
		return address, found, false, err
	}
	m, err := l.activate(ctx, members)
	if err != nil {
		return "", debuggee{}, false, err
	}
	for {
		address, found, err = l.search(ctx, []proc.Member{m})
		if !errors.Is(err, errNoInspector) {
			return address, found, true, err
		}
		select {
		case <-ctx.Done():
			return "", debuggee{}, false, fmt.Errorf("%w: process %d was sent SIGUSR1 and opened no inspector in time; is its port taken?", ErrUnreachable, m.PID)
		case <-time.After(activatePoll):
		}
	}
}

var errNoInspector = fmt.Errorf("%w: no process of the target listens as an inspector: start node with --inspect=127.0.0.1:%d, or write activate: %s", ErrUnreachable, defaultInspectorPort, ActivateSIGUSR1)

func (l *locator) search(ctx context.Context, members []proc.Member) (string, debuggee, error) {
	var unread error
	for _, m := range members[:min(len(members), maxAskedMembers)] {
		ports, err := l.ports(m)
		if err != nil {
			unread = err
			continue
		}
		slices.SortStableFunc(ports, func(a, b int) int { return usual(b) - usual(a) })
		for _, port := range ports[:min(len(ports), maxAskedPorts)] {
			at := place{m.PID, m.Start, port}
			if l.refused[at] {
				continue
			}
			address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
			// An inspector answers from a thread of its own, however busy the target is.
			asking, cancel := context.WithTimeout(ctx, askTimeout)
			found, err := l.try(asking, address)
			cancel()
			if err == nil {
				return address, found, nil
			}
			if ctx.Err() != nil {
				return "", debuggee{}, classify(ctx.Err(), address, "")
			}
			l.refused[at] = true
		}
	}
	if unread != nil {
		return "", debuggee{}, fmt.Errorf("look for its inspector: %w: write address: host:port", unread)
	}
	return "", debuggee{}, errNoInspector
}

func usual(port int) int {
	if port == defaultInspectorPort {
		return 1
	}
	return 0
}

// activate asks the largest process that is Node.js to open its inspector, at most once for each
// start of it.
func (l *locator) activate(ctx context.Context, members []proc.Member) (proc.Member, error) {
	f := l.target.now.Load().Activate
	if f == nil {
		return proc.Member{}, fmt.Errorf("%w; and with mode: dry_run it is not sent SIGUSR1 to open one", errNoInspector)
	}
	largest := slices.MaxFunc(members, func(a, b proc.Member) int { return int(a.Resident>>10) - int(b.Resident>>10) })
	at := place{pid: largest.PID, start: largest.Start}
	if l.asked[at] {
		return proc.Member{}, fmt.Errorf("%w: process %d was sent SIGUSR1 before, which is done once for each start of it", ErrUnreachable, largest.PID)
	}
	l.asked[at] = true
	if err := f(ctx, largest); err != nil {
		return proc.Member{}, fmt.Errorf("ask process %d to open its inspector: %w", largest.PID, err)
	}
	return largest, nil
}

// forget drops what was noted of processes that are gone.
func (l *locator) forget(members []proc.Member) {
	live := make(map[place]bool, len(members))
	for _, m := range members {
		live[place{pid: m.PID, start: m.Start}] = true
	}
	for _, notes := range []map[place]bool{l.refused, l.asked} {
		for at := range notes {
			if !live[place{pid: at.pid, start: at.start}] {
				delete(notes, at)
			}
		}
	}
}
