package heap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
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
		{Name: "t", Config: proc.Config{Match: proc.Match{Cmdline: regexp.QuoteMeta(text)}}},
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
		time.Sleep(5 * time.Millisecond)
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
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	members := []proc.Member{{PID: os.Getpid(), Start: time.Unix(1, 0)}}
	ports := func(proc.Member) ([]int, error) { return []int{number}, nil }
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
		o.Ports = func(proc.Member) ([]int, error) { return nil, proc.ErrOtherNetwork }
	})
	c := locatedClient(t, p, Config{Provider: ProviderNode}, Target{Members: func() []proc.Member { return []proc.Member{{PID: 1}} }})
	if _, err := c.Read(t.Context()); !errors.Is(err, proc.ErrOtherNetwork) || !strings.Contains(err.Error(), "write address") {
		t.Errorf("%v, want the reason and what to write", err)
	}
}

// A process that was asked and opened nothing is not asked again.
func TestActivateOncePerStart(t *testing.T) {
	asked := 0
	p := newPool(t, func(o *Options) { o.Ports = func(proc.Member) ([]int, error) { return nil, nil } })
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
