package heap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const (
	defaultInspectorPort = 9229
	maxAskedMembers      = 64
	maxAskedPorts        = 16 // per member and start; the inspector's usual port comes first
	askTimeout           = 300 * time.Millisecond
	silentPause          = time.Minute // before a port that did not answer is asked again
	maxSilent            = 5           // times that such a port is asked
	activatePoll         = 20 * time.Millisecond
)

// ActivateSIGUSR1 makes Node.js open its inspector by a signal.
const ActivateSIGUSR1 = "sigusr1"

// place is where one start of a process listens.
type place struct {
	pid   int
	start time.Time
	at    netip.AddrPort
}

// refusal is what is known of a place that is not an inspector, as far as it has answered.
type refusal struct {
	silent int       // times that it did not answer; 0: it has answered
	since  time.Time // when that was
}

// locator finds the address of a target's inspector among the ports on which its processes listen.
// Each port of each start of a process is asked until it has answered: one that is not an inspector
// belongs to the service itself. It is used by one opening at a time.
type locator struct {
	target *target
	ports  func(proc.Member) ([]netip.AddrPort, error)
	// try asks one port, of a process whose loopback is another one from inside its namespace.
	try     func(ctx context.Context, m proc.Member, inside bool, address string) (debuggee, error)
	open    bool // a process that has no inspector is asked to open one
	now     func() time.Time
	refused map[place]refusal
	asked   map[place]bool // with no address: were sent the signal
}

func newLocator(t *target, o *Options, activate bool) *locator {
	return &locator{target: t, ports: o.Ports, open: activate, now: o.Now, refused: make(map[place]refusal), asked: make(map[place]bool)}
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
		inside := errors.Is(err, proc.ErrOtherNetwork)
		switch {
		case inside && len(ports) == 0: // and it is not asked to open one, which might not be reached
			unread = fmt.Errorf("%w and listens on no port there: start node with --inspect=127.0.0.1:%d, or with --require=/usr/share/spillway/spillway-agent.cjs and write provider: %s", err, defaultInspectorPort, ProviderAgent)
			continue
		case err != nil && !inside:
			unread = fmt.Errorf("%w: write address: host:port", err)
			continue
		}
		slices.SortStableFunc(ports, func(a, b netip.AddrPort) int { return usual(b) - usual(a) })
		for _, port := range ports[:min(len(ports), maxAskedPorts)] {
			at := place{m.PID, m.Start, port}
			if !l.worthAsking(at) {
				continue
			}
			// An inspector answers from a thread of its own, however busy the target is.
			asking, cancel := context.WithTimeout(ctx, askTimeout)
			found, err := l.try(asking, m, inside, port.String())
			cancel()
			if err == nil {
				found.of = keyOf(m)
				return port.String(), found, nil
			}
			if ctx.Err() != nil {
				return "", debuggee{}, classify(ctx.Err(), port.String(), "")
			}
			if errors.Is(err, proc.ErrOtherNetwork) {
				unread = err
				break
			}
			l.refuse(at, err)
		}
	}
	if unread != nil {
		return "", debuggee{}, fmt.Errorf("look for its inspector: %w", unread)
	}
	return "", debuggee{}, errNoInspector
}

// worthAsking reports whether a place may be an inspector, as far as is known.
func (l *locator) worthAsking(at place) bool {
	r, known := l.refused[at]
	return !known || r.silent > 0 && r.silent < maxSilent && l.now().Sub(r.since) >= silentPause
}

// refuse takes note of a place that is not an inspector. One that did not answer in time may be: its
// process may be stopped, or the host overloaded.
func (l *locator) refuse(at place, err error) {
	r := refusal{since: l.now()}
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		r.silent = l.refused[at].silent + 1
	}
	l.refused[at] = r
}

func usual(at netip.AddrPort) int {
	if at.Port() == defaultInspectorPort {
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
	var refused error
	bySize := slices.SortedFunc(slices.Values(members), func(a, b proc.Member) int { return cmp.Compare(b.Resident, a.Resident) })
	for _, m := range bySize[:min(len(bySize), maxAskedMembers)] {
		at := place{pid: m.PID, start: m.Start}
		if l.asked[at] {
			return proc.Member{}, fmt.Errorf("%w: process %d was sent SIGUSR1 before, which is done once for each start of it", ErrUnreachable, m.PID)
		}
		err := f(ctx, m)
		if errors.Is(err, ErrNotSent) {
			refused = cmp.Or(refused, fmt.Errorf("ask process %d to open its inspector: %w", m.PID, err))
			continue
		}
		l.asked[at] = true
		if err != nil {
			return proc.Member{}, fmt.Errorf("ask process %d to open its inspector: %w", m.PID, err)
		}
		return m, nil
	}
	return proc.Member{}, refused
}

// forget drops what was noted of processes that are gone.
func (l *locator) forget(members []proc.Member) {
	live := make(map[place]bool, len(members))
	for _, m := range members {
		live[place{pid: m.PID, start: m.Start}] = true
	}
	gone := func(at place) bool { return !live[place{pid: at.pid, start: at.start}] }
	maps.DeleteFunc(l.refused, func(at place, _ refusal) bool { return gone(at) })
	maps.DeleteFunc(l.asked, func(at place, _ bool) bool { return gone(at) })
}
