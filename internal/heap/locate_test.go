package heap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// trackCommand returns the processes whose command line holds text, as a tracker sees them.
func trackCommand(t *testing.T, text string) func() []proc.Member {
	t.Helper()
	tracker, err := proc.New(proc.Options{Root: "/proc", Targets: []proc.Target{
		{Name: "t", Config: proc.Config{Match: proc.Match{Cmdline: proc.Exprs{regexp.QuoteMeta(text)}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracker.Close() })
	return func() []proc.Member {
		tracker.Refresh(t.Context(), time.Now())
		return tracker.Members("t")
	}
}

func locatedClient(t testing.TB, p *Pool, cfg Config, of Target) *Client {
	t.Helper()
	cfg.Validate(true, func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	of.Name = "t"
	c, err := p.Get(cfg, of)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestNodeIsFoundByItsProcess(t *testing.T) {
	address := freeAddress(t)
	startNode(t, address)
	c := locatedClient(t, newPool(t), Config{Provider: ProviderNode}, Target{Members: trackCommand(t, "--inspect="+address)})
	if u := readSoon(t, c); !u.Used.OK || !u.Limit.OK {
		t.Errorf("read %v of an inspector that was found", u)
	}
}

// The inspector of a process that runs without one is opened by SIGUSR1 and closed again.
func TestNodeOpensItsInspectorAndClosesIt(t *testing.T) {
	address := freeAddress(t)
	n := startNode(t, "", "--inspect-port="+address)
	signals := 0
	of := Target{
		Members: trackCommand(t, "--inspect-port="+address),
		Activate: func(_ context.Context, m proc.Member) error {
			signals++
			h, err := proc.Hold(m)
			if err != nil {
				return err
			}
			defer h.Close()
			return h.Signal("SIGUSR1")
		},
	}
	p := newPool(t)
	dry := of
	dry.Activate = nil
	c := locatedClient(t, p, Config{Provider: ProviderNode, Activate: ActivateSIGUSR1}, dry)
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "with mode: dry_run it is not sent SIGUSR1") {
		t.Errorf("in dry run: %v", err)
	}
	if listens(address) {
		t.Fatal("an inspector listens already")
	}
	c2 := locatedClient(t, p, Config{Provider: ProviderNode, Activate: ActivateSIGUSR1}, of) // a reload with mode: enforce
	c.Close()
	for range 3 {
		if u := readSoon(t, c2); !u.Used.OK || !u.Limit.OK {
			t.Errorf("read %v", u)
		}
	}
	if signals != 1 || !listens(address) {
		t.Errorf("%d signals, listens %v, want one signal and an open inspector", signals, listens(address))
	}
	c2.Close()
	deadline := time.Now().Add(10 * time.Second)
	for listens(address) {
		if time.Now().After(deadline) {
			t.Fatal("the inspector is still open after its session was left")
		}
		<-time.After(5 * time.Millisecond)
	}
	n.do("garbage", 1) // the target goes on
	n.expect("end")
}

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// The service's own port is asked once, and never again while the process lives.
func TestLocateAsksEachPortOnce(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	defer s.Close()
	members := []proc.Member{{PID: os.Getpid(), Start: time.Unix(1, 0)}}
	ports := func(proc.Member) ([]netip.AddrPort, error) {
		return []netip.AddrPort{s.Listener.Addr().(*net.TCPAddr).AddrPort()}, nil
	}
	p := newPool(t, func(o *Options) { o.Ports = ports })
	c := locatedClient(t, p, Config{Provider: ProviderNode}, Target{Members: func() []proc.Member { return members }})
	l := c.shared.backend.(*inspector).locator
	for range 3 {
		if _, _, _, err := l.locate(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "--inspect") {
			t.Errorf("%v, want a failure that says how to start the target", err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times, want once", asked.Load())
	}
	members[0].Start = time.Unix(2, 0) // another process with the same pid
	if _, _, _, err := l.locate(t.Context()); err == nil || asked.Load() != 2 {
		t.Errorf("%v, asked %d times after a restart, want twice", err, asked.Load())
	}
	members = nil
	if _, _, _, err := l.locate(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("without processes: %v", err)
	}
}

func TestLocateTellsWhatItCannotRead(t *testing.T) {
	p := newPool(t, func(o *Options) {
		o.Ports = func(proc.Member) ([]netip.AddrPort, error) { return nil, proc.ErrOtherNetwork }
	})
	c := locatedClient(t, p, Config{Provider: ProviderNode}, Target{Members: func() []proc.Member { return []proc.Member{{PID: 1}} }})
	if _, err := c.Read(t.Context()); !errors.Is(err, proc.ErrOtherNetwork) || !strings.Contains(err.Error(), "provider: node_agent") {
		t.Errorf("%v, want the reason and what to write", err)
	}
}

// A process that was asked and opened nothing is not asked again.
func TestActivateOncePerStart(t *testing.T) {
	asked := 0
	p := newPool(t, func(o *Options) { o.Ports = func(proc.Member) ([]netip.AddrPort, error) { return nil, nil } })
	c := locatedClient(t, p, Config{Provider: ProviderNode, Activate: ActivateSIGUSR1}, Target{
		Members:  func() []proc.Member { return []proc.Member{{PID: 7, Resident: 1 << 20}, {PID: 8, Resident: 2 << 20}} },
		Activate: func(_ context.Context, m proc.Member) error { asked += m.PID; return nil },
	})
	l := c.shared.backend.(*inspector).locator
	for _, want := range []string{"opened no inspector in time", "once for each start of it", "once for each start of it"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, _, _, err := l.locate(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if asked != 8 {
		t.Errorf("asked %d, want the largest process, once", asked)
	}
}

// A child that is larger than the service, such as an encoder that it started, is no reason to
// leave the service without a reading.
func TestActivatePassesOverWhatIsNotNode(t *testing.T) {
	var asked []int
	p := newPool(t, func(o *Options) { o.Ports = func(proc.Member) ([]netip.AddrPort, error) { return nil, nil } })
	c := locatedClient(t, p, Config{Provider: ProviderNode, Activate: ActivateSIGUSR1}, Target{
		Members: func() []proc.Member {
			return []proc.Member{{PID: 6, Resident: 1 << 20}, {PID: 7, Resident: 2 << 20}, {PID: 8, Resident: 3 << 20}}
		},
		Activate: func(_ context.Context, m proc.Member) error {
			asked = append(asked, m.PID)
			if m.PID == 8 {
				return fmt.Errorf("%w: it runs /usr/bin/ffmpeg", ErrNotSent)
			}
			return nil
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, _, err := c.shared.backend.(*inspector).locator.locate(ctx)
	if err == nil || !strings.Contains(err.Error(), "process 7 was sent SIGUSR1") || !slices.Equal(asked, []int{8, 7}) {
		t.Errorf("%v, asked %v, want the largest that takes it", err, asked)
	}
}

// What was not sent is not reported as sent, and is tried again: the journal may be writable by then.
func TestActivateThatSentNothing(t *testing.T) {
	refusal, sent := fmt.Errorf("%w: there is no durable journal", ErrNotSent), 0
	p := newPool(t, func(o *Options) { o.Ports = func(proc.Member) ([]netip.AddrPort, error) { return nil, nil } })
	c := locatedClient(t, p, Config{Provider: ProviderNode, Activate: ActivateSIGUSR1}, Target{
		Members: func() []proc.Member { return []proc.Member{{PID: 7}} },
		Activate: func(context.Context, proc.Member) error {
			if refusal == nil {
				sent++
			}
			return refusal
		},
	})
	l := c.shared.backend.(*inspector).locator
	f := func(want string, signals int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, _, _, err := l.locate(ctx); err == nil || !strings.Contains(err.Error(), want) || sent != signals {
			t.Errorf("%v, %d signals, want %q, %d", err, sent, want, signals)
		}
	}
	f("no durable journal", 0)
	f("no durable journal", 0)
	refusal = nil
	f("opened no inspector in time", 1)
	f("once for each start of it", 1)
}

// An inspector of a process that was stopped, or of a host that was overloaded, is asked again a
// while later; one that never answers is given up.
func TestLocateAsksAgainWhoDidNotAnswer(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	tries, answer := 0, false
	p := newPool(t, func(o *Options) {
		o.Ports = func(proc.Member) ([]netip.AddrPort, error) {
			return []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:4545")}, nil
		}
		o.Now = func() time.Time { return now }
	})
	c := locatedClient(t, p, Config{Provider: ProviderNode}, Target{Members: func() []proc.Member { return []proc.Member{{PID: 7}} }})
	l := c.shared.backend.(*inspector).locator
	l.try = func(context.Context, proc.Member, bool, string) (debuggee, error) {
		tries++
		if answer {
			return debuggee{id: "x"}, nil
		}
		return debuggee{}, context.DeadlineExceeded
	}
	f := func(after time.Duration, want int, found bool) {
		t.Helper()
		now = now.Add(after)
		_, _, _, err := l.locate(t.Context())
		if tries != want || (err == nil) != found {
			t.Errorf("%v, asked %d times, want %d, found %v", err, tries, want, found)
		}
	}
	f(0, 1, false)
	f(time.Second, 1, false)
	f(time.Minute, 2, false)
	f(time.Second, 2, false)
	answer = true
	f(time.Minute, 3, true)
	l.refused, tries, answer = make(map[place]refusal), 0, false
	for range 10 {
		now = now.Add(time.Hour)
		_, _, _, _ = l.locate(t.Context())
	}
	if tries != maxSilent {
		t.Errorf("asked %d times who never answers, want %d", tries, maxSilent)
	}
}

// node --inspect=[::1]:9229 and --inspect=localhost listen on ::1 only, where that is the address.
func TestLocateOnIPv6(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `[{"id":"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee","type":"node","webSocketDebuggerUrl":"ws://%s/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"}]`, r.Host)
	}))
	var err error
	if s.Listener, err = net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("no IPv6 loopback:", err)
	}
	s.Start()
	defer s.Close()
	c := locatedClient(t, newPool(t), Config{Provider: ProviderNode}, Target{Members: func() []proc.Member { return []proc.Member{{PID: os.Getpid()}} }})
	address, _, _, err := c.shared.backend.(*inspector).locator.locate(t.Context())
	if err != nil || address != s.Listener.Addr().String() {
		t.Errorf("%q, %v, want %s", address, err, s.Listener.Addr())
	}
}
