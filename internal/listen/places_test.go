package listen

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// serve serves a handler on a free port of this host.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	open, err := Open(t.Context(), flags("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, open, options(handler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return open[0].Addr().String()
}

// dial opens a connection and sends text.
func dial(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// answered sends a request on a new connection and reports how long its answer took.
func answered(t *testing.T, addr, header string) (int, time.Duration, error) {
	t.Helper()
	begin := time.Now()
	c := dial(t, addr, fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", addr, header))
	c.SetDeadline(begin.Add(2 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, time.Since(begin), err
	}
	resp.Body.Close()
	c.Close()
	return resp.StatusCode, time.Since(begin), nil
}

// TestConnectionsMakeRoom: whatever 520 connections of one client wait for, the next one is served.
func TestConnectionsMakeRoom(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	for name, text := range map[string]string{
		"nothing sent":       "",
		"half a header":      "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"idle after one":     "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"half a second":      "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nX-Slow: ",
		"a body that is due": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, hello)
			for range 520 {
				dial(t, addr, text)
			}
			code, took, err := answered(t, addr, "")
			t.Logf("the next was answered %d after %s", code, took)
			if err != nil || code != http.StatusOK {
				t.Errorf("%d, %v, want 200", code, err)
			}
		})
	}
}

// far is a connection from an address.
type far struct {
	net.Conn
	addr   string
	closed bool
}

func (f *far) RemoteAddr() net.Addr { return f }
func (f *far) Network() string      { return "tcp" }
func (f *far) String() string       { return f.addr }
func (f *far) Close() error         { f.closed = true; return nil }

// crowd is places with a clock, and who has come.
type crowd struct {
	*places
	t     *testing.T
	clock time.Time
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{places: newPlaces(slog.New(slog.DiscardHandler)), t: t, clock: time.Now()}
	c.now = func() time.Time { return c.clock }
	return c
}

// come opens n connections from an address, a millisecond apart, in a state.
func (c *crowd) come(n int, addr string, state http.ConnState) (out []*conn) {
	for range n {
		c.clock = c.clock.Add(time.Millisecond)
		o := c.take(&far{addr: addr})
		if o != nil && state != http.StateNew {
			c.mark(o, state)
			if state == http.StateActive {
				c.request(o, false, false)
			}
		}
		out = append(out, o)
	}
	return out
}

// open returns how many of connections are open.
func (c *crowd) open(of []*conn) (n int) {
	for _, o := range of {
		if _, ok := c.conns[o]; ok && !o.Conn.(*far).closed {
			n++
		}
	}
	return n
}

func (c *crowd) want(what string, got, want int) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("%s: %d, want %d", what, got, want)
	}
}

const here, attacker, other = "127.0.0.1:1", "192.0.2.1:1", "192.0.2.2:1"

// TestPlacesOfOnePeer: one host takes its own places only, whatever it does with them.
func TestPlacesOfOnePeer(t *testing.T) {
	for _, state := range []http.ConnState{http.StateNew, http.StateActive, http.StateIdle} {
		c := newCrowd(t)
		local, friend := c.come(1, here, http.StateIdle), c.come(1, other, http.StateIdle)
		flood := c.come(1000, attacker, state)
		c.want(state.String()+": of this host", c.open(local), 1)
		c.want(state.String()+": of another host", c.open(friend), 1)
		c.want(state.String()+": of the attacker", c.open(flood), maxPeer)
		c.want(state.String()+": the last of another host", c.open(c.come(1, other, http.StateNew)), 1)
	}
}

// TestPlacesAreKept: where all others are busy, who proves who he is has a place, and no one else.
func TestPlacesAreKept(t *testing.T) {
	c := newCrowd(t)
	busy := c.come(maxUnproved, here, http.StateActive)
	c.want("busy", c.open(busy), maxUnproved)
	last := c.come(2, here, http.StateNew)
	c.want("on a kept place", c.open(last), 2)
	if c.request(last[0], false, false) {
		t.Error("a request that proves nothing is answered on a kept place")
	}
	last[0].Close()
	if !c.request(last[1], true, false) {
		t.Error("a request with proof is refused")
	}
	c.mark(last[1], http.StateIdle)
	c.clock = c.clock.Add(patience + time.Second)
	next := c.come(10, here, http.StateNew)
	c.want("those that take long go", c.open(busy), maxUnproved-10)
	c.want("the next", c.open(next), 10)
	c.want("who has proved it stays, although it is idle", c.open(last), 1)
	c.want("all", len(c.conns), maxUnproved+1)
}

// TestRequestThatIsRead: a request whose header is being read has not failed to prove anything yet: it does
// not go before connections that sent nothing, whether all places are scarce or those of its host.
func TestRequestThatIsRead(t *testing.T) {
	for _, from := range []string{here, attacker} {
		c := newCrowd(t)
		c.come(maxConnections, from, http.StateNew)
		last := c.come(1, from, http.StateNew)
		c.mark(last[0], http.StateActive)
		c.come(10, from, http.StateNew)
		c.want(from+": the one whose header is read", c.open(last), 1)
		if !c.request(last[0], true, false) {
			t.Error("a request with proof is refused")
		}
		c.come(1000, from, http.StateNew)
		c.want(from+": with proof", c.open(last), 1)
	}
}

// TestStreamsStay: a stream is not closed for a new connection, however long it takes.
func TestStreamsStay(t *testing.T) {
	c := newCrowd(t)
	streams := c.come(64, here, http.StateActive)
	for _, s := range streams {
		c.request(s, false, true)
	}
	c.clock = c.clock.Add(time.Hour)
	c.come(1000, here, http.StateIdle)
	c.want("streams", c.open(streams), 64)
	c.want("all", len(c.conns), maxUnproved)
}

// TestPlacesAreBounded: with proof, too, there are not more than all; one that is idle goes.
func TestPlacesAreBounded(t *testing.T) {
	c := newCrowd(t)
	for range maxConnections {
		c.request(c.come(1, other, http.StateActive)[0], true, false)
	}
	c.want("with proof", len(c.conns), maxConnections)
	c.want("no one waits", c.open(c.come(1, here, http.StateNew)), 0)
	for o := range c.conns {
		c.mark(o, http.StateIdle)
	}
	c.want("all wait", c.open(c.come(1, here, http.StateNew)), 1)
	c.want("all", len(c.conns), maxConnections)
}

// TestProofHasAPlace: on real connections, 600 requests without proof that are not answered yet.
func TestProofHasAPlace(t *testing.T) {
	release := make(chan struct{})
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		io.WriteString(w, "hello")
	}))
	defer close(release)
	for range 600 {
		dial(t, addr, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	for range 10 {
		code, took, err := answered(t, addr, "Authorization: Bearer x\r\n")
		if code != http.StatusOK || err != nil {
			t.Errorf("with proof: %d after %s, %v, want 200", code, took, err)
		}
	}
}
